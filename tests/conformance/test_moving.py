# SPDX-License-Identifier: Apache-2.0
"""Operators that only move, repeat or choose elements: bit by bit what they read, at every dtype's ends.

They look as if nothing could be wrong with them, and an engine may compute them in float32 all the same. So each
operator that converters know is in one of two tables here, and a new one fails a test until it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.export import Dim
from torch.nn import functional as F
from torch.utils import _pytree as pytree

from torch_tensorrt._library import load_binding

from .harness import BFLOAT16_IN_HARDWARE, compile_function, on_the_cpu_only

pytestmark = on_the_cpu_only
aten = torch.ops.aten

Function = Callable[[Tensor, Tensor, Tensor], Any]

# Operator -> a call of x[n, 6], y[n, 6] of the dtype and m[n, 6]: bool. n is 3 at least.
MOVES: dict[str, Function] = {
    "_to_copy": lambda x, y, m: aten._to_copy(x),
    "_unique2": lambda x, y, m: aten._unique2(x[:, 0])[0],
    "_unsafe_view": lambda x, y, m: aten._unsafe_view(x, [-1]),
    "adaptive_max_pool1d": lambda x, y, m: aten.adaptive_max_pool1d(x[None], [3])[0],
    "adaptive_max_pool2d": lambda x, y, m: aten.adaptive_max_pool2d(x[None, None, :2], [1, 3])[0],
    "adaptive_max_pool3d": lambda x, y, m: aten.adaptive_max_pool3d(x[None, None, None, :2], [1, 1, 3])[0],
    "alias": lambda x, y, m: aten.alias(x),
    "amax": lambda x, y, m: aten.amax(x, [1]),
    "amin": lambda x, y, m: aten.amin(x, [0]),
    "cat": lambda x, y, m: (aten.cat([x, y], 1), aten.cat([y[:1], x])),
    "chunk": lambda x, y, m: aten.chunk(x, 3, 1),
    "clamp": lambda x, y, m: aten.clamp(x, y, y),
    "clamp_max": lambda x, y, m: aten.clamp_max(x, y),
    "clamp_min": lambda x, y, m: aten.clamp_min(x, y),
    "clone": lambda x, y, m: aten.clone(x.t()),
    "constant_pad_nd": lambda x, y, m: (aten.constant_pad_nd(x, [1, 2], 0), aten.constant_pad_nd(x, [-1, 0, 2, 1], 1)),
    "contiguous": lambda x, y, m: aten.contiguous(x.t()),
    "detach": lambda x, y, m: aten.detach(x),
    "dropout": lambda x, y, m: aten.dropout(x, 0.5, False),
    "embedding": lambda x, y, m: aten.embedding(x, torch.tensor([[1, 0], [1, 1]])),
    "expand": lambda x, y, m: aten.expand(x[:, None], [-1, 3, -1]),
    "flatten": lambda x, y, m: aten.flatten(x),
    "flip": lambda x, y, m: (aten.flip(x, [0]), aten.flip(x, [1])),
    "full": lambda x, y, m: aten.full([3], _end(x), dtype=x.dtype),
    "full_like": lambda x, y, m: aten.full_like(x, _end(x)),
    "gather": lambda x, y, m: aten.gather(x, 1, m.long() * 5),
    "index": lambda x, y, m: (aten.index(x, [torch.tensor([1, 0, 1])]), x[m]),
    "index_select": lambda x, y, m: aten.index_select(x, 1, torch.tensor([5, 0, 0])),
    "lift_fresh_copy": lambda x, y, m: aten.lift_fresh_copy(x),
    "masked_fill": lambda x, y, m: (
        aten.masked_fill(x, m, _end(x)),
        aten.masked_fill(x, x == y, 1),
        aten.masked_fill(x, x != x.flip(0), y[0, 0]),
    ),
    "masked_select": lambda x, y, m: aten.masked_select(x, m),
    "max": lambda x, y, m: (aten.max(x), aten.max(x, 1)[0]),
    "max_pool1d": lambda x, y, m: aten.max_pool1d(x[None], [2]),
    "max_pool1d_with_indices": lambda x, y, m: aten.max_pool1d_with_indices(x[None], [2])[0],
    "max_pool2d": lambda x, y, m: aten.max_pool2d(x[None, None], [1, 2]),
    "max_pool2d_with_indices": lambda x, y, m: aten.max_pool2d_with_indices(x[None, None], [1, 2])[0],
    "max_pool3d": lambda x, y, m: aten.max_pool3d(x[None, None, None], [1, 1, 2]),
    "max_pool3d_with_indices": lambda x, y, m: aten.max_pool3d_with_indices(x[None, None, None], [1, 1, 2])[0],
    "maximum": lambda x, y, m: aten.maximum(x, y),
    "min": lambda x, y, m: (aten.min(x), aten.min(x, 0)[0]),
    "minimum": lambda x, y, m: aten.minimum(x, y),
    "new_full": lambda x, y, m: aten.new_full(x, [2, 2], _end(x)),
    "new_ones": lambda x, y, m: aten.new_ones(x, [2, 2]),
    "new_zeros": lambda x, y, m: aten.new_zeros(x, [2, 2]),
    "nonzero": lambda x, y, m: aten.nonzero(x),
    "ones": lambda x, y, m: aten.ones([2], dtype=x.dtype),
    "ones_like": lambda x, y, m: aten.ones_like(x),
    "permute": lambda x, y, m: aten.permute(x[None], [2, 0, 1]),
    "reflection_pad1d": lambda x, y, m: aten.reflection_pad1d(x, [2, 1]),
    "reflection_pad2d": lambda x, y, m: aten.reflection_pad2d(x[None], [2, 1, 1, 0]),
    "reflection_pad3d": lambda x, y, m: aten.reflection_pad3d(x[None, None], [2, 1, 1, 0, 0, 0]),
    "repeat": lambda x, y, m: (aten.repeat(x, [2, 3]), x.tile(2)),
    "replication_pad1d": lambda x, y, m: aten.replication_pad1d(x, [2, 1]),
    "replication_pad2d": lambda x, y, m: aten.replication_pad2d(x[None], [2, 1, 1, 0]),
    "replication_pad3d": lambda x, y, m: aten.replication_pad3d(x[None, None], [2, 1, 1, 0, 2, 0]),
    "reshape": lambda x, y, m: (aten.reshape(x, [-1, 3]), x.reshape(-1, 3, 2).permute(2, 0, 1)),
    "scalar_tensor": lambda x, y, m: aten.scalar_tensor(_end(x), dtype=x.dtype),
    "scatter": lambda x, y, m: (
        aten.scatter(x, 1, torch.tensor([[5, 0], [1, 2]]), y),
        aten.scatter(x, 1, torch.tensor([[5, 0], [1, 2]]), _end(x)),
    ),
    "select": lambda x, y, m: (aten.select(x, 0, 1), aten.select(x, 1, -1)),
    "select_scatter": lambda x, y, m: aten.select_scatter(x, y[0], 0, 1),
    "slice": lambda x, y, m: (aten.slice(x, 1, 1, 6, 2), aten.slice(x, 0, 1)),
    "slice_scatter": lambda x, y, m: aten.slice_scatter(x, y[:, :2], 1, 1, 5, 2),
    "sort": lambda x, y, m: (aten.sort(x, 1)[0], aten.sort(x, 1, True)[0]),
    "split": lambda x, y, m: aten.split(x, 4, 1),
    "split_with_sizes": lambda x, y, m: aten.split_with_sizes(x, [1, 3, 2], 1),
    "squeeze": lambda x, y, m: (aten.squeeze(x[None], 0), aten.squeeze(x[None, :, None], [0, 2])),
    "stack": lambda x, y, m: aten.stack([x, y], 1),
    "t": lambda x, y, m: aten.t(x),
    "to": lambda x, y, m: aten.to(x, x.dtype, False, True),
    "topk": lambda x, y, m: aten.topk(x, 3, 1)[0],
    "transpose": lambda x, y, m: aten.transpose(x, 0, 1),
    "tril": lambda x, y, m: aten.tril(x, 1),
    "triu": lambda x, y, m: aten.triu(x, 1),
    "type_as": lambda x, y, m: aten.type_as(x, y),
    "unbind": lambda x, y, m: aten.unbind(x, 1),
    "unflatten": lambda x, y, m: aten.unflatten(x, 1, [2, 3]),
    "unique_consecutive": lambda x, y, m: aten.unique_consecutive(x[:, 0])[0],
    "unsqueeze": lambda x, y, m: aten.unsqueeze(x, 1),
    "_upsample_nearest_exact1d": lambda x, y, m: F.interpolate(x[None], scale_factor=2.0, mode="nearest-exact"),
    "_upsample_nearest_exact2d": lambda x, y, m: F.interpolate(x[None, None], scale_factor=2.0, mode="nearest-exact"),
    "_upsample_nearest_exact3d": lambda x, y, m: F.interpolate(
        x[None, None, None], scale_factor=2.0, mode="nearest-exact"
    ),
    "upsample_nearest1d": lambda x, y, m: F.interpolate(x[None], scale_factor=2.0, mode="nearest"),
    "upsample_nearest2d": lambda x, y, m: F.interpolate(x[None, None], scale_factor=2.0, mode="nearest"),
    "upsample_nearest3d": lambda x, y, m: F.interpolate(x[None, None, None], scale_factor=2.0, mode="nearest"),
    "view": lambda x, y, m: aten.view(x, [-1, 2, 3]),
    "where": lambda x, y, m: (
        aten.where(m, x, y),
        torch.where(x == y, x, 0),
        torch.where(m, _end(x), x),
        torch.where(x.flip(0) != x, x, y),
    ),
    "zeros": lambda x, y, m: aten.zeros([2], dtype=x.dtype),
    "zeros_like": lambda x, y, m: aten.zeros_like(x),
}

_COMPUTES = """
copy empty empty_like empty_permuted empty_strided new_empty new_empty_strided
_adaptive_avg_pool2d _adaptive_avg_pool3d _log_softmax _native_batch_norm_legit_no_training
_scaled_dot_product_cudnn_attention _scaled_dot_product_efficient_attention _scaled_dot_product_flash_attention
_scaled_dot_product_flash_attention_for_cpu _softmax _upsample_bicubic2d_aa _upsample_bilinear2d_aa abs acos acosh
adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d add addmm addmv all any arange argmax argmin asin asinh
atan atanh avg_pool1d avg_pool2d avg_pool3d baddbmm batch_norm bitwise_and bitwise_not bitwise_or bitwise_xor bmm
ceil conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d convolution cos cosh cudnn_batch_norm
cumsum div dot elu eq erf exp floor ge gelu grid_sampler_2d grid_sampler_3d group_norm gt hardsigmoid hardswish
hardtanh instance_norm isinf isnan layer_norm le leaky_relu linear log log_softmax logical_and logical_not
logical_or logical_xor lt matmul mean mish mm mul mv native_batch_norm native_group_norm native_layer_norm ne neg
nms pow prod reciprocal relu rms_norm round rsqrt rsub scaled_dot_product_attention scatter_add scatter_reduce
sigmoid silu sin sinh softmax softplus sqrt std sub sum tan tanh upsample_bicubic2d upsample_bilinear2d
upsample_linear1d upsample_trilinear3d var
"""
COMPUTES = set(_COMPUTES.split())


def _smallest(dtype: torch.dtype) -> float:
    """A quarter of the smallest normal number; that itself where the processor makes zeros of others."""
    is_kept = dtype is not torch.bfloat16 or not BFLOAT16_IN_HARDWARE
    return torch.finfo(dtype).smallest_normal / (4 if is_kept else 1)


WIDE = [2**24 + 1, -(2**24) - 1, 2**24 + 3, 2**31 - 1, -(2**31), 5, 0, -1, 16777219]
NARROW = {torch.int16: 2**15, torch.int8: 2**7}
USUAL: dict[torch.dtype, list[float]] = {
    torch.int64: WIDE,
    torch.int32: WIDE,
    **{dtype: [end - 1, -end, 5, 0, -1, end // 2 + 1, 1] for dtype, end in NARROW.items()},
    torch.uint8: [255, 128, 5, 0, 1, 254, 127],
    torch.bool: [True, False, False, True, True],
}
# What engines have another form for: numbers outside 32 bits, the largest ones, infinities and NaN.
UNUSUAL: dict[torch.dtype, list[float]] = {torch.int64: [2**63 - 1, -(2**63), 2**53 + 1, 2**32, *WIDE]}
for _dtype in (torch.float32, torch.float16, torch.bfloat16, torch.float64):
    _info, _least = torch.finfo(_dtype), _smallest(_dtype)
    USUAL[_dtype] = [0.0, -0.0, _info.smallest_normal, _least, -2 * _least]
    USUAL[_dtype] += [1 + _info.eps, -3.0, 100.0, 1 / 3, 257.0]
    UNUSUAL[_dtype] = [_info.max, _info.min, torch.inf, -torch.inf, torch.nan, 1.0, -0.0, _least]


def _end(x: Tensor) -> float:
    """A number that float32 does not hold, or the dtype's end."""
    if x.dtype.is_floating_point:
        return 2 * _smallest(x.dtype)
    return True if x.dtype == torch.bool else min(2**24 + 1, torch.iinfo(x.dtype).max)


def _inputs(dtype: torch.dtype, values: list[float], rows: int) -> tuple[Tensor, Tensor, Tensor]:
    count = rows * 6
    x = torch.tensor(values, dtype=dtype).repeat(count // len(values) + 1)[:count]
    return x.view(rows, 6), x.roll(2).view(rows, 6), (torch.arange(count) % 3 != 1).view(rows, 6)


def _same(actual: Tensor, expected: Tensor, zeros_are_equal: bool) -> bool:
    if actual.dtype != expected.dtype or actual.shape != expected.shape:
        return False
    if not expected.is_floating_point():
        return torch.equal(actual, expected)
    if zeros_are_equal:
        actual, expected = (torch.where(value == 0, 0, value) for value in (actual, expected))
    nan = expected.isnan()
    bits = {2: torch.int16, 4: torch.int32, 8: torch.int64}[expected.element_size()]
    one, other = (value.masked_fill(nan, 0).contiguous().view(bits) for value in (actual, expected))
    return torch.equal(actual.isnan(), nan) and torch.equal(one, other)


# Of equal elements, as the zeros of both signs are, these give any.
_CHOOSES = """
_unique2 adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d amax amin clamp clamp_max clamp_min max max_pool1d
max_pool1d_with_indices max_pool2d max_pool2d_with_indices max_pool3d max_pool3d_with_indices maximum min minimum sort
topk unique_consecutive
"""
ZEROS_ARE_EQUAL = set(_CHOOSES.split())


def _runs(function: Function, given: tuple[Tensor, Tensor, Tensor]) -> bool:
    try:
        function(*given)
    except (RuntimeError, NotImplementedError, TypeError, IndexError):
        return False
    return True


def _check(names: list[str], dtype: torch.dtype, dynamic: bool) -> None:
    given = _inputs(dtype, USUAL[dtype], 3)
    names = [name for name in names if _runs(MOVES[name], given)]
    if not names:
        return
    shapes = [{0: Dim("n", min=3, max=64)}] * 3 if dynamic else None
    outcome = compile_function(lambda *inputs: [MOVES[name](*inputs) for name in names], *given, dynamic=shapes)
    assert outcome.engines or dtype == torch.float64 or len(names) == 1, outcome.refusals
    for values in (USUAL[dtype], UNUSUAL.get(dtype, USUAL[dtype])):
        for rows in (3, 11) if dynamic else (3,):
            inputs = _inputs(dtype, values, rows)
            for name, actual, expected in zip(names, outcome.answer(*inputs), outcome.reference(*inputs), strict=True):
                for one, other in zip(pytree.tree_leaves(actual), pytree.tree_leaves(expected), strict=True):
                    assert _same(one, other, name in ZEROS_ARE_EQUAL), (name, rows, one, other)


def test_every_operator_is_known() -> None:
    """A new converter is put into one of the tables: it moves elements, or it computes."""
    known = {target.split(".")[1] for target in load_binding().supported_targets()}
    assert known == set(MOVES) | COMPUTES
    assert not set(MOVES) & COMPUTES


@pytest.mark.parametrize("name", MOVES)
def test_the_calls_are_of_the_operators(name: str) -> None:
    program = torch.export.export(_Module(MOVES[name]), _inputs(torch.float32, USUAL[torch.float32], 3))
    assert name in {
        node.target.name().split("::")[1].split(".")[0]
        for node in program.graph.nodes
        if node.op == "call_function" and isinstance(node.target, torch._ops.OpOverload)
    }


class _Module(torch.nn.Module):
    def __init__(self, function: Function) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor, y: Tensor, m: Tensor) -> Any:
        return self.function(x, y, m)


@pytest.mark.parametrize("dynamic", [False, True], ids=["static", "dynamic"])
@pytest.mark.parametrize("dtype", USUAL, ids=str)
def test_together(dtype: torch.dtype, dynamic: bool) -> None:
    """All of them in one program."""
    _check(list(MOVES), dtype, dynamic)


@pytest.mark.parametrize("name", MOVES)
def test_alone(name: str) -> None:
    """The plugin fuses a step with its neighbours, which are others in a larger program."""
    for dtype in (torch.int32, torch.float32, torch.bfloat16):
        _check([name], dtype, dynamic=False)
