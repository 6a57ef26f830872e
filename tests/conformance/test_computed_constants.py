# SPDX-License-Identifier: Apache-2.0
"""What a program computes from constants alone: by PyTorch while it is compiled, and by an engine where it is large."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .harness import compile_function

CONSTANTS = {
    "w": torch.rand(3, 3, generator=torch.manual_seed(0)),
    "v": torch.rand(3, 3),
    "x": torch.rand(2, 3, 5, 5),
    "k": torch.rand(3, 3, 3, 3),
    "b": torch.rand(2, 3, 3),
    "c": torch.rand(2, 3, 3),
    "n": torch.rand(9),
}
Get = Callable[[str], Tensor]
COMPUTED: dict[str, Callable[[Tensor], Tensor]] = {
    "itself": lambda x: x,
    "exp": lambda x: x.exp(),
    "maximum": lambda x: torch.maximum(x, x.flip(-1)),
    "sorted": lambda x: x.sort(-1)[0],
    "summed": lambda x: x.cumsum(-1),
    "scaled": lambda x: x * 0.5 + 0.25,
    "squared": lambda x: x * x,
}
"""What is done to each constant. The vendor's library computes some itself before it compiles, others behind that."""
READERS: dict[str, Callable[[Get, Tensor], Tensor]] = {
    "mm": lambda of, x: of("w").mT @ of("v"),
    "mm, transposed": lambda of, x: of("w") @ of("v").mT,
    "mm, both": lambda of, x: of("w").mT @ of("v").mT,
    "mm, with itself": lambda of, x: of("w").mT @ of("w"),
    "bmm": lambda of, x: of("b").mT @ of("c"),
    "bmm, transposed": lambda of, x: of("b") @ of("c").mT,
    "linear": lambda of, x: F.linear(of("w").t(), of("v"), of("w")[0]),
    "addmm": lambda of, x: torch.addmm(of("w"), of("v").t(), of("w")),
    "mv": lambda of, x: of("w").t() @ of("v")[0],
    "outer": lambda of, x: torch.outer(of("w")[0], of("v")[1]),
    "einsum": lambda of, x: torch.einsum("ij,kj->ki", of("w"), of("v")),
    "attention": lambda of, x: F.scaled_dot_product_attention(of("b")[None], of("c")[None], of("b").mT[None]),
    "convolution": lambda of, x: F.conv2d(of("x").permute(0, 1, 3, 2), of("k")),
    "convolution of channels last": lambda of, x: F.conv2d(
        of("x").permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2), of("k").transpose(2, 3)
    ),
    "two layouts": lambda of, x: x @ of("w") @ of("w").t(),
    "two layouts, linear": lambda of, x: F.linear(F.linear(x, of("w")), of("w").t()),
    "two layouts of a vector": lambda of, x: x @ of("n").view(3, 3) @ of("n").view(3, 3).t(),
    "two layouts of a batch": lambda of, x: (x @ of("b")) @ of("b").mT,
    "two layouts of a window": lambda of, x: F.conv_transpose2d(
        F.conv2d(x.expand(1, 3, 3, 3), of("k"), padding=1), of("k"), padding=1
    ),
}


class Reading(nn.Module):
    """Of each constant a value anew for each reader: the vendor's library makes one of those that are equal."""

    def __init__(self, computed: str, dtype: torch.dtype) -> None:
        super().__init__()
        self.computed = COMPUTED[computed]
        for name, value in CONSTANTS.items():
            self.register_buffer(name, value.to(dtype))

    def forward(self, x: Tensor) -> list[Tensor]:
        return [reader(lambda name: self.computed(getattr(self, name)), x) for reader in READERS.values()]


@pytest.mark.usefixtures("by_pytorch")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("computed", COMPUTED)
def test_layouts_of_computed_constants(computed: str, dtype: torch.dtype) -> None:
    x = torch.rand(3, 3, generator=torch.manual_seed(1)).to(dtype)
    outcome = compile_function(Reading(computed, dtype), x)
    for _ in range(2):
        outcome.check(x, roundings=4)


SPECIAL = [0.0, -0.0, 1e-40, -1e-40, 1e-38, 3e-20, 1.0, 1.0, 2e19, -3e38, float("inf"), float("nan")]
EXACT: dict[str, Callable[[Tensor], Any]] = {
    "product": lambda x: x * 0.3,
    "subnormal product": lambda x: x * 1e-20,
    "deviation": lambda x: torch.stack([x[:4].std(), x[:9].std(), x.var(correction=0)]),
    "norm": lambda x: F.layer_norm(x[7:9], (2,)),
    "norm of one": lambda x: F.layer_norm(x[8:9], (1,)),
    "interpolated": lambda x: F.interpolate(x[None, None], scale_factor=2.0, mode="linear"),
    "sorted": lambda x: torch.sort(x, stable=True),
    "largest": lambda x: x.topk(5),
    "softmax": lambda x: x[:9].softmax(0),
    "gelu": F.gelu,
    "half": lambda x: x.half().float() * 3,
    "cast": lambda x: (x[:7] * 300).to(torch.int8),
}


@pytest.mark.parametrize("name", EXACT)
def test_pytorch_computes_what_depends_on_constants_alone(name: str) -> None:
    """Bit by bit, what an engine's own kernels would give otherwise."""

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("values", torch.tensor(SPECIAL))

        def forward(self, x: Tensor) -> Any:
            made = EXACT[name](self.values)
            made = list(made) if isinstance(made, tuple) else [made]
            return [*made, *(part.reshape(-1)[:1] + x for part in made)]

    x = torch.tensor([0.0])
    outcome = compile_function(Model(), x)
    for _ in range(2):
        results, expected = outcome.answer(x), outcome.reference(x)
        for result, wanted in zip(results, expected, strict=True):
            assert result.dtype == wanted.dtype
            bits = {4: torch.int32, 8: torch.int64, 1: torch.int8}[result.element_size()]
            same = result.view(bits) == wanted.view(bits)
            if result.is_floating_point():
                same |= result.isnan() & wanted.isnan()
            assert same.all()
            result.fill_(1)  # the caller's own
