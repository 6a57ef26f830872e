# SPDX-License-Identifier: Apache-2.0
"""Operators that only move elements: views, permutations, slices, joining and splitting. Every dtype, exactly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.export import Dim
from torch.utils import _pytree as pytree

from .harness import ON_GPU, check, check_refused, compile_function, on_the_cpu_only

NAN, INF = float("nan"), float("inf")
# Bits that arithmetic would change: moving must not.
SPECIAL = torch.tensor([NAN, INF, -INF, -0.0, 0.0, 1e-45, -3.4e38, 65504.0])


def data(dtype: torch.dtype, *shape: int) -> Tensor:
    count = torch.Size(shape).numel()
    if dtype == torch.bool:
        return (torch.arange(count) % 3 == 0).view(shape)
    if dtype.is_floating_point:
        numbers = torch.arange(count, dtype=torch.float32) / 8 - 3
        numbers[: min(count, len(SPECIAL))] = SPECIAL[: min(count, len(SPECIAL))]
        return numbers.to(dtype).view(shape)
    limits = torch.iinfo(dtype if dtype != torch.int64 else torch.int32)
    numbers = torch.arange(count) % 100
    numbers[0], numbers[-1] = limits.min, limits.max
    return numbers.to(dtype).view(shape)


DTYPES = (
    torch.float32,
    torch.float16,
    torch.bfloat16,
    torch.int64,
    torch.int32,
    torch.int16,
    torch.int8,
    torch.uint8,
    torch.bool,
)

# Of x: [4, 6, 5].
MOVES: dict[str, Callable[[Tensor], Any]] = {
    "view": lambda x: x.view(-1, 10),
    "view_flat": lambda x: x.view(-1),
    "reshape": lambda x: x.reshape(2, 2, -1, 3),
    "reshape_of_transposed": lambda x: x.transpose(0, 1).reshape(6, -1),
    "unsqueeze": lambda x: x.unsqueeze(0).unsqueeze(-1).unsqueeze(-2),
    "squeeze": lambda x: x[:1, :, :1].squeeze(),
    "squeeze_dim": lambda x: x[:1].squeeze(0).squeeze(0),
    "squeeze_dims": lambda x: x[:1, :, :1].squeeze((0, -1)),
    "flatten": lambda x: x.flatten(1, -1),
    "flatten_all": lambda x: x.flatten(),
    "unflatten": lambda x: x.unflatten(-2, (3, -1)),
    "clone": lambda x: x.transpose(0, 1).clone(),
    "contiguous": lambda x: x.transpose(0, 1).contiguous(),
    "detach": lambda x: x.detach()[1:],
    "permute": lambda x: x.permute(-1, 0, 1),
    "permute_identity": lambda x: x.permute(0, 1, 2),
    "transpose": lambda x: x.transpose(-1, 0),
    "t": lambda x: x[0].t(),
    "t_of_a_row": lambda x: x[0, 0].t(),
    "movedim": lambda x: x.movedim(0, -1),
    "expand": lambda x: x[:, :1].expand(2, -1, 7, 5),
    "expand_same": lambda x: x.expand(-1, -1, -1),
    "repeat": lambda x: x.repeat(2, 1, 3),
    "repeat_more_dims": lambda x: x.repeat(2, 1, 1, 2),
    "repeat_none": lambda x: x.repeat(1, 0, 1),
    "tile": lambda x: x.tile(2, 3),
    "repeat_interleave": lambda x: x.repeat_interleave(2, dim=1),
    "slice": lambda x: x[1:3, 2:, :-1],
    "slice_negative": lambda x: x[-2:, -5:-1],
    "slice_over_the_end": lambda x: x[:, 2:100, -100:3],
    "slice_step": lambda x: x[::2, 1::3, :4:2],
    "slice_nothing": lambda x: x[:, 4:2],
    "slice_past_the_end": lambda x: x[:, 7:],
    "select": lambda x: x[2, :, -1],
    "select_to_0d": lambda x: x[-1, 0, 2],
    "narrow": lambda x: x.narrow(1, 2, 3),
    "flip": lambda x: x.flip(0),
    "flip_several": lambda x: x.flip(-1, 0),
    "flip_none": lambda x: x.flip(()),
    "roll": lambda x: x.roll(2, 1),
    "rot90": lambda x: x.rot90(1, (0, 1)),
    "cat": lambda x: torch.cat((x, x[:1], x[1:]), 0),
    "cat_last": lambda x: torch.cat((x, x[..., :2]), -1),
    "cat_one": lambda x: torch.cat((x,), 1),
    "cat_empty_1d": lambda x: torch.cat((x.new_zeros(0), x), 1),
    "cat_empty_part": lambda x: torch.cat((x[:, :0], x, x[:, :0]), 1),
    "stack": lambda x: torch.stack((x, x.flip(0)), 1),
    "stack_last": lambda x: torch.stack((x[0], x[1], x[2]), -1),
    "split": lambda x: x.split(4, 1),
    "split_first": lambda x: x.split(3),
    "split_with_sizes": lambda x: x.split([1, 0, 5], -2),
    "tensor_split": lambda x: x.tensor_split(4, 1),
    "chunk": lambda x: x.chunk(4, 1),
    "chunk_more_than_there_are": lambda x: x.chunk(9, -1),
    "unbind": lambda x: x.unbind(),
    "unbind_last": lambda x: x.unbind(-1),
    "diff_of_positions": lambda x: (x[:, 1:], x[:, :-1]),
    "same_output_twice": lambda x: (x.view(24, 5), x.view(24, 5)),
}
# Composites whose parts belong to other families may be refused for a dtype, and the CPU plugin fills nothing.
MAY_BE_REFUSED = ("roll", "repeat_interleave", "repeat_none", "cat_empty_1d")


def apart(function: Callable[[Tensor], Any], x: Tensor) -> Any:
    """Results that share memory with an input or with each other stay in PyTorch; these do not."""
    return pytree.tree_map(torch.clone, function(x.clone()))


@pytest.mark.parametrize("name", MOVES)
def test_every_dtype(name: str) -> None:
    """One program moves tensors of every dtype, all of it in engines."""

    def function(*xs: Tensor) -> Any:
        return [apart(MOVES[name], x) for x in xs]

    inputs = tuple(data(dtype, 4, 6, 5) for dtype in DTYPES)
    outcome = compile_function(function, *inputs)
    outcome.check(*inputs)
    if name not in MAY_BE_REFUSED and not ON_GPU:  # int16 and float64 have no values there
        assert not outcome.refusals, outcome.refusals


def test_signed_zeros_and_denormals_survive() -> None:
    for dtype in (torch.float32, torch.float16, torch.bfloat16):
        x = SPECIAL.to(dtype).view(2, 4)
        outcome = check(lambda x: torch.cat((x.t(), x.flip(0).t()), 1).repeat(1, 2), x)
        kind = torch.int32 if dtype == torch.float32 else torch.int16
        assert torch.equal(outcome.answer(x).contiguous().view(kind), outcome.reference(x).contiguous().view(kind))


N, S = Dim("n", min=1, max=16), Dim("s", min=4, max=32)

# Of x: [n, s, 5].
DYNAMIC: dict[str, Callable[[Tensor], Any]] = {
    "view": lambda x: x.view(x.shape[0] * x.shape[1], 5),
    "view_minus_one": lambda x: x.reshape(-1, 5),
    "flatten": lambda x: x.flatten(1),
    "heads": lambda x: x.view(x.shape[0], x.shape[1], 1, 5).transpose(1, 2),
    "unsqueeze": lambda x: x.unsqueeze(1),
    "permute": lambda x: x.permute(2, 1, 0),
    "expand": lambda x: x[:, :1].expand(-1, x.shape[1], -1),
    "expand_by_a_size": lambda x: x[:1].expand(x.shape[0] * 2, -1, -1),
    "repeat": lambda x: x.repeat(2, x.shape[0], 1),
    "slice_from": lambda x: x[:, 1:],
    "slice_to": lambda x: x[:, :-1],
    "slice_last": lambda x: x[:, -1:],
    "slice_step": lambda x: x[:, ::2],
    "slice_odd": lambda x: x[:, 1::2],
    "select_last": lambda x: x[:, -1],
    "flip": lambda x: x.flip(1),
    "cat": lambda x: torch.cat((x, x[:, 1:], x), 1),
    "cat_rotate_half": lambda x: torch.cat((-x[..., 2:4], x[..., :2]), -1),
    "stack": lambda x: torch.stack((x, x), 1),
    "split_fixed": lambda x: x.split([2, 3], -1),
    "split_rest": lambda x: x.split([1, x.shape[1] - 1], 1),
    "chunk_fixed": lambda x: x.chunk(2, -1),
    "unbind_fixed": lambda x: x.unbind(-1),
}


@pytest.mark.parametrize("name", DYNAMIC)
def test_dynamic_sizes(name: str) -> None:
    sizes = ({0: N, 1: S},)
    function = DYNAMIC[name]
    outcome = compile_function(lambda x, i: (apart(function, x), apart(function, i)), *both(3, 8), dynamic=sizes * 2)
    for shape in ((3, 8), (1, 4), (16, 32), (2, 21), (5, 7)):
        outcome.check(*both(*shape))


def both(n: int, s: int) -> tuple[Tensor, Tensor]:
    return data(torch.float32, n, s, 5), data(torch.int32, n, s, 5)


def test_dynamic_sizes_go_to_the_engine() -> None:
    for name in ("view", "heads", "expand", "slice_from", "slice_last", "select_last", "flip", "cat"):
        more = [(data(torch.float32, 1, 4, 5),), (data(torch.float32, 16, 31, 5),)]
        function = DYNAMIC[name]
        check(lambda x, f=function: f(x.clone()), data(torch.float32, 3, 8, 5), dynamic=({0: N, 1: S},), more=more)


@pytest.mark.parametrize("shape", [(0, 6, 5), (4, 6, 0), (4, 0, 5)], ids=str)
def test_static_shapes_without_elements(shape: tuple[int, ...]) -> None:
    """Every move that PyTorch allows there, in one program."""
    x = torch.zeros(shape)
    allowed = []
    for function in MOVES.values():
        try:
            function(x)
        except (RuntimeError, IndexError):  # -1 is ambiguous, an index is out of range
            continue
        allowed.append(function)
    assert len(allowed) > len(MOVES) // 2
    outcome = compile_function(lambda x, y: ([apart(function, x) for function in allowed], y + 1), x, torch.ones(2))
    outcome.check(x, torch.ones(2))


def test_a_dynamic_batch_of_none() -> None:
    sizes = ({0: Dim("n", min=0, max=16)},)
    x = data(torch.float32, 3, 4)
    outcome = compile_function(
        lambda x: (x.t(), x[:, 1:], torch.cat((x, x), 0), x.unsqueeze(1).expand(-1, 2, -1), x.flip(1)), x, dynamic=sizes
    )
    outcome.check(x)
    outcome.check(torch.zeros(0, 4))
    check_refused(lambda x: x.flip(0), x, dynamic=sizes, reason="DYNAMIC_SHAPE").check(torch.zeros(0, 4))


PAIRS = [
    (torch.float32, torch.float16),
    (torch.float16, torch.bfloat16),
    (torch.float32, torch.int64),
    (torch.float16, torch.int32),
    (torch.int64, torch.int32),
    (torch.int32, torch.int8),
    (torch.int8, torch.uint8),
    (torch.uint8, torch.bool),
    (torch.bool, torch.float32),
]


@pytest.mark.parametrize(("one", "other"), PAIRS, ids=str)
def test_cat_and_stack_of_two_dtypes(one: torch.dtype, other: torch.dtype) -> None:
    x, y = data(one, 3, 4), data(other, 3, 4)
    compile_function(lambda x, y: torch.cat((x, y, x), 1), x, y).check(x, y)
    compile_function(lambda x, y: torch.stack((y, x)), x, y).check(x, y)


def move_0d(x: Tensor) -> tuple[Tensor, ...]:
    return x.view(1, 1), x.expand(2, 3), x.repeat(2), x.squeeze(), torch.stack((x, x)), x.unsqueeze(0)


def test_a_0d_tensor() -> None:
    x = torch.tensor(3.0)
    check(lambda x: apart(move_0d, x), x)
    compile_function(lambda x: (x.t() + 1, x.permute(()), x.transpose(0, -1), x.clone(), x.flatten()), x).check(x)


AXES_OF_0D: dict[str, Callable[[Tensor, int], Any]] = {
    "flip": lambda x, axis: x.flip(axis),
    "transpose": lambda x, axis: x.transpose(axis, 0),
    "squeeze": lambda x, axis: x.squeeze(axis),
    "sum": lambda x, axis: x.sum(axis),
    "amax": lambda x, axis: x.amax((axis,), keepdim=True),
    "max": lambda x, axis: tuple(x.max(axis)),
    "argmin": lambda x, axis: x.argmin(axis),
    "sort": lambda x, axis: tuple(x.sort(axis)),
    "topk": lambda x, axis: tuple(x.topk(1, axis)),
    "softmax": lambda x, axis: x.softmax(axis),
    "log_softmax": lambda x, axis: x.log_softmax(axis),
    "cumsum": lambda x, axis: x.cumsum(axis),
    "all": lambda x, axis: x.all(axis),
    "index_select": lambda x, axis: x.index_select(axis, torch.tensor([0])),
    "gather": lambda x, axis: x.gather(axis, torch.tensor(0)),
    "scatter": lambda x, axis: x.scatter(axis, torch.tensor(0), 2.0),
}


@pytest.mark.parametrize("name", AXES_OF_0D)
def test_axes_of_a_0d_tensor(name: str) -> None:
    """PyTorch lets a tensor without axes name axis 0 and -1."""
    for axis in (0, -1):
        outcome = compile_function(
            lambda x, axis=axis: pytree.tree_leaves(AXES_OF_0D[name](x * 2, axis)), torch.tensor(3.0)
        )
        outcome.check(torch.tensor(3.0))
        outcome.check(torch.tensor(NAN))


def test_dropout_in_training_is_refused() -> None:
    x = torch.randn(4, 4)
    check(lambda x: torch.dropout(x, 0.5, False) + 1, x)
    outcome = compile_function(lambda x: torch.dropout(x, 0.0, True) + 1, x)
    outcome.check(x)


@on_the_cpu_only
def test_int64_values_of_64_bits_are_not_cut() -> None:
    """What an engine would cut to 32 bits the exact form computes."""
    check(lambda x: x.flip(0), torch.tensor([1, 2]), more=[(torch.tensor([2**40, 2]),)])


def test_outputs_do_not_alias_inputs() -> None:
    outcome = check(lambda x: (x + 1, x.clone()), torch.ones(3))
    x = torch.ones(3)
    _, copy = outcome.answer(x)
    x.zero_()
    assert copy.tolist() == [1, 1, 1]
