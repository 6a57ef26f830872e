# SPDX-License-Identifier: Apache-2.0
"""What becomes of composite operators: the same as ExportedProgram.run_decompositions makes of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from py_models import Function
from torch import fx, nn

from torch_tensorrt.dynamo import _decompositions


def vision() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding="same"),
        nn.BatchNorm2d(8),
        nn.SiLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.GroupNorm(2, 8),
        nn.PixelShuffle(2),
        nn.Upsample(scale_factor=2, mode="nearest-exact"),
        nn.Flatten(),
        nn.Dropout(),
    )


FUNCTIONS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "vision": (vision, (2, 3, 8, 8)),
    "transformer": (lambda: nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), (2, 5, 8)),
    "lstm": (lambda: nn.LSTM(8, 4, bidirectional=True), (5, 2, 8)),
    "gru": (lambda: nn.GRU(8, 4, 2), (5, 2, 8)),
    "rnn": (lambda: nn.RNN(8, 4), (5, 2, 8)),
    "one_hot": (lambda: Function(lambda x: F.one_hot(x.argmax(-1), 8)), (3, 8)),
    "stft": (lambda: Function(lambda x: torch.stft(x, 8, 4, 8, return_complex=True).abs()), (2, 32)),
    "composites": (
        lambda: Function(lambda x: (x.std(0), x.var(), x.chunk(2, -1), torch.tile(x, (2, 1)), F.pad(x, (1, 1)))),
        (3, 8),
    ),
    "linear algebra": (
        lambda: Function(lambda x: (torch.einsum("ij,kj->ik", x, x), torch.kron(x, x), x @ x.mT, x.diagonal())),
        (3, 4),
    ),
    "losses": (lambda: Function(lambda x: (F.cosine_similarity(x, x + 1), F.mse_loss(x, x), F.normalize(x))), (3, 8)),
    "statements": (lambda: Function(lambda x: torch.where(x > 0, x, 2.0).masked_fill(x < 1, 3).roll(1, 0)), (3, 8)),
}


def layers(graph: fx.Graph) -> list[Any]:
    """The graph without the names of its values: they count what was traced and dropped, too."""
    places = {node: f"%{place}" for place, node in enumerate(graph.nodes)}
    return [
        (node.op, str(node.target) if node.op == "call_function" else "", str(fx.map_arg(node.args, places.get)),
         str(fx.map_arg(node.kwargs, places.get)), str(node.meta.get("val")))
        for node in graph.nodes
    ]  # fmt: skip


CASES = [(name, False, False) for name in FUNCTIONS]
CASES += [(name, True, False) for name in ("vision", "transformer", "losses")] + [("transformer", False, True)]


@pytest.mark.parametrize(("name", "dynamic", "attention"), CASES)
def test_programs_are_pytorchs(name: str, dynamic: bool, attention: bool) -> None:
    make, shape = FUNCTIONS[name]
    dims = ({0: torch.export.Dim("n", min=2, max=16)},) if dynamic else None
    program = torch.export.export(make().eval(), (torch.randn(shape),), dynamic_shapes=dims, strict=False)
    assert _decompositions._KNOWN, "PyTorch's own functions have changed: compilation is right, and slower than it was"
    ours = _decompositions.decompose(program, attention)
    theirs = program.run_decompositions(_decompositions._decomposition_table(attention))
    assert layers(ours.graph) == layers(theirs.graph)
    assert str(ours.range_constraints) == str(theirs.range_constraints)
