# SPDX-License-Identifier: Apache-2.0
"""What becomes of composite operators: the same as ExportedProgram.run_decompositions makes of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from py_forms import in_form
from py_models import Function
from torch import fx, nn

import torch_tensorrt
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


# With numbers that half precision does not hold: eager's kernels round some of them to the dtype, and keep others.
HALF: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "xlogy": lambda x: torch.xlogy(x, 1.0117),
    "xlogy_of_number": lambda x: torch.xlogy(1.0117, x),
    "xlog1py": lambda x: torch.special.xlog1py(x, 1.0117),
    "lerp": lambda x: torch.lerp(x, x + 1, 1.0117),
    "addcmul": lambda x: torch.addcmul(x, x, x, value=1.0117),
    "addcdiv": lambda x: torch.addcdiv(x, x, x, value=1.0117),
    "add": lambda x: torch.add(x, x, alpha=1.0117),
    "rsub": lambda x: torch.rsub(x, x + 1, alpha=1.0117),
    "hardtanh": lambda x: F.hardtanh(x, -1.0117, 1.0117),
    "threshold": lambda x: F.threshold(x, 1.0117, 1.0117),
    "softplus": lambda x: F.softplus(x, 1.0117),
    "celu": lambda x: F.celu(x, 1.0117),
    "elu": lambda x: F.elu(x, 1.0117),
    "leaky_relu": lambda x: F.leaky_relu(x, 1.0117),
    "hardshrink": lambda x: F.hardshrink(x, 1.0117),
    "softshrink": lambda x: F.softshrink(x, 1.0117),
    "fmod": lambda x: torch.fmod(x, 1.0117),
    "remainder": lambda x: torch.remainder(x, 1.0117),
    "power": lambda x: x.abs() ** 1.0117,
    "exponential": lambda x: 1.0117**x,
    "quotient": lambda x: x / 1.0117,
    "floor_quotient": lambda x: torch.div(x, 1.0117, rounding_mode="floor"),
    "masked_fill": lambda x: x.masked_fill(x > 0, 1.0117),
    "deg2rad": torch.deg2rad,
    "logaddexp": lambda x: torch.logaddexp(x, x + 1),
    "nan_to_num": lambda x: torch.nan_to_num(x, 1.0117),
    "huber_loss": lambda x: F.huber_loss(x, x + 1, delta=1.0117),
    "smooth_l1_loss": lambda x: F.smooth_l1_loss(x, x + 1, beta=1.0117),
    "renorm": lambda x: torch.renorm(x, 2, 0, 1.0117),
    "addmm": lambda x: torch.addmm(x, x, x, beta=1.0117, alpha=1.0117),
    "baddbmm": lambda x: torch.baddbmm(x[None], x[None], x[None], beta=1.0117, alpha=1.0117),
    "isclose": lambda x: torch.isclose(x, x * 1.0117, rtol=0.0117),
    "normalize": F.normalize,
    "cosine_similarity": lambda x: F.cosine_similarity(x, x + 1),
    "logsumexp": lambda x: x.logsumexp(-1),
    "std": lambda x: x.std(-1),
}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("name", HALF)
def test_half_precision_is_eagers(name: str, dtype: torch.dtype) -> None:
    """To a last bit, of PyTorch's own operators: what is taken apart is no other function."""
    torch.manual_seed(0)
    x = (torch.randn(8, 8) * 2).to(dtype)
    program = torch.export.export(Function(HALF[name]).eval(), (x,), strict=False)
    answer = _decompositions.decompose(program).module()(x)
    torch.testing.assert_close(answer, HALF[name](x), rtol=torch.finfo(dtype).eps, atol=0, equal_nan=True)


Tensors = tuple[torch.Tensor, ...]
T = torch.tensor
# A function, inputs that it takes, and inputs of the same shapes that its kernel refuses.
CHECKED: dict[str, tuple[Callable[..., Any], Tensors, Tensors]] = {
    "nll_loss": (F.nll_loss, (torch.ones(3, 4), T([0, 1, 3])), (torch.ones(3, 4), T([0, 1, 4]))),
    "cross_entropy": (
        lambda x, classes: F.cross_entropy(x, classes, label_smoothing=0.1),
        (torch.ones(2, 4, 3, 3), torch.zeros(2, 3, 3, dtype=torch.int64)),
        (torch.ones(2, 4, 3, 3), torch.full((2, 3, 3), -1)),
    ),
    "multi_margin_loss": (F.multi_margin_loss, (torch.ones(2, 4), T([0, 3])), (torch.ones(2, 4), T([0, 4]))),
    "multilabel_margin_loss": (
        F.multilabel_margin_loss,
        (torch.ones(1, 4), T([[0, 1, -1, 3]])),
        (torch.ones(1, 4), T([[0, 1, 9, 3]])),
    ),
    "binary_cross_entropy": (F.binary_cross_entropy, (T([0.5]), T([1.0])), (T([-5.0]), T([1.0]))),
    "max_unpool2d": (
        lambda x, at: F.max_unpool2d(x, at, 2),
        (torch.ones(1, 1, 2, 2), T([[[[0, 1], [2, 3]]]])),
        (torch.ones(1, 1, 2, 2), T([[[[0, 1], [2, 99]]]])),
    ),
    "max_unpool3d": (
        lambda x, at: F.max_unpool3d(x, at, 2),
        (torch.ones(1, 1, 1, 1, 2), T([[[[[0, 1]]]]])),
        (torch.ones(1, 1, 1, 1, 2), T([[[[[0, 99]]]]])),
    ),
    "bernoulli": (torch.bernoulli, (T([0.0, 1.0]),), (T([0.0, 2.0]),)),
    "multinomial": (lambda x: torch.multinomial(x, 1), (T([0.0, 1.0]),), (T([0.0, -1.0]),)),
    "fake_quantize": (
        lambda x, zeros: torch.fake_quantize_per_channel_affine(x, torch.ones(2), zeros, 0, 0, 255),
        (torch.ones(2, 3), T([0, 1], dtype=torch.int32)),
        (torch.ones(2, 3), T([0, 300], dtype=torch.int32)),
    ),
    "inverse": (torch.inverse, (torch.eye(2),), (torch.zeros(2, 2),)),
    "inv": (torch.linalg.inv, (torch.eye(2),), (torch.zeros(2, 2),)),
    "cholesky": (torch.linalg.cholesky, (torch.eye(2),), (-torch.eye(2),)),
    "solve": (torch.linalg.solve, (torch.eye(2), torch.ones(2)), (torch.zeros(2, 2), torch.ones(2))),
    "matrix_power": (lambda x: torch.linalg.matrix_power(x, -2), (torch.eye(2),), (torch.zeros(2, 2),)),
    "tensorinv": (lambda x: torch.linalg.tensorinv(x, 1), (torch.eye(2),), (torch.zeros(2, 2),)),
    "tensorsolve": (torch.linalg.tensorsolve, (torch.eye(2), torch.ones(2)), (torch.zeros(2, 2), torch.ones(2))),
    "quantile": (torch.quantile, (torch.ones(4), T(0.5)), (torch.ones(4), T(1.5))),
    "one_hot": (lambda x: F.one_hot(x, 3), (T([0, 2]),), (T([0, 3]),)),
    "take": (torch.take, (torch.ones(3), T([0, -1])), (torch.ones(3), T([0, 3]))),
}


class Checked(nn.Module):
    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *inputs: torch.Tensor) -> Any:
        return self.function(*inputs)


@pytest.mark.parametrize("form", ["module", "exported_program", "torchscript"])
@pytest.mark.parametrize("name", CHECKED)
def test_errors_are_eagers(name: str, form: str, tmp_path: Path) -> None:
    """What an operator's kernel says of values, its parts do not."""
    function, good, bad = CHECKED[name]
    run = in_form(
        torch_tensorrt.compile(Checked(function).eval(), arg_inputs=list(good), min_block_size=1), form, tmp_path
    )
    torch.testing.assert_close(run(*good), function(*good), equal_nan=True)
    errors = (IndexError, RuntimeError)
    with pytest.raises(errors) as expected:
        function(*bad)
    with pytest.raises((*errors, torch.jit.Error)) as raised:
        run(*bad)
    if form != "torchscript":
        assert raised.type is expected.type


def test_an_engine_of_constants_in_a_package(tmp_path: Path) -> None:
    """Inductor's capture looks up calls whose arguments are no tensors by comparing those: here the engines."""
    function, good, bad = CHECKED["fake_quantize"]
    run = in_form(
        torch_tensorrt.compile(Checked(function).eval(), arg_inputs=list(good), min_block_size=1),
        "aot_inductor",
        tmp_path,
    )
    torch.testing.assert_close(run(*good), function(*good))
    with pytest.raises(RuntimeError):
        run(*bad)
