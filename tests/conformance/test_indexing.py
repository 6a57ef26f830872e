# SPDX-License-Identifier: Apache-2.0
"""Reading and writing at indices, and padding."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.export import Dim

from .harness import FLOATS, check, check_refused, compile_function, on_the_cpu_only

X = torch.randn(4, 5, 6)
DATA = {
    "float32": X,
    "float16": X.half(),
    "bfloat16": X.bfloat16(),
    "int64": torch.arange(120).view(4, 5, 6),
    "int32": torch.arange(120, dtype=torch.int32).view(4, 5, 6),
    "bool": X > 0,
}


def index(*values: int) -> torch.Tensor:
    return torch.tensor(values)


READS: dict[str, tuple[Callable[..., Any], tuple[torch.Tensor, ...]]] = {
    "index_select": (lambda x, i: x.index_select(1, i), (index(4, 0, 0),)),
    "index_select_last": (lambda x, i: x.index_select(-1, i), (index(5, 0, 1).int(),)),
    "gather": (lambda x, i: x.gather(1, i), (torch.randint(0, 5, (4, 3, 6)),)),
    "gather_smaller_index": (lambda x, i: x.gather(1, i), (torch.randint(0, 5, (2, 3, 4)),)),
    "gather_last": (lambda x, i: x.gather(-1, i), (torch.randint(0, 6, (4, 5, 1)),)),
    "x[i]": (lambda x, i: x[i], (index(3, -1, -4, 0),)),
    "x[:,ij]": (lambda x, i: x[:, i], (torch.randint(-5, 5, (2, 3)),)),
    "x[i,j]": (lambda x, i, j: x[i, j], (index(0, 3, 1), index(1, -1, 2))),
    "x[:,i,j]": (lambda x, i, j: x[:, i, j], (index(0, 3, 1), index(1, -1, 2))),
    "x[i,:,j]": (lambda x, i, j: x[i, :, j], (index(0, 3, 1), index(1, -1, 2))),
    "x[i[:,None],j]": (lambda x, i, j: x[i[:, None], j], (index(0, 3, 1), index(1, -1))),
    "x[i,0]": (lambda x, i: x[i, 0], (index(0, 3, 1),)),
    "x[:,constant]": (lambda x: x[:, [0, 2, -1]], ()),
}


@pytest.mark.parametrize("dtype", DATA)
@pytest.mark.parametrize("name", READS)
def test_read(name: str, dtype: str) -> None:
    function, indices = READS[name]
    check(function, DATA[dtype], *indices)


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_embedding(dtype: torch.dtype) -> None:
    table = nn.Embedding(11, 5, padding_idx=2).to(dtype)
    rows = {0: Dim("n", min=1, max=8)}
    check(table, torch.randint(0, 11, (3, 4)), dynamic=(rows,), more=[(torch.randint(0, 11, (8, 4)),)])
    check(table, torch.randint(0, 11, (3, 4), dtype=torch.int32))


@on_the_cpu_only
@pytest.mark.parametrize("wrong", [index(3, 11), index(-1, 3)], ids=str)
def test_an_index_out_of_range_raises(wrong: torch.Tensor) -> None:
    outcome = check(nn.Embedding(11, 5), index(1, 2))
    with pytest.raises(IndexError, match="index out of range"):
        outcome.answer(wrong)


def test_indices_that_count_are_a_reshape() -> None:
    def mask_of_positions(m: torch.Tensor) -> torch.Tensor:
        rows, columns = torch.arange(m.shape[0]), torch.arange(m.shape[1])
        return m[rows[:, None, None, None], columns[None, None, None, :]]

    sizes = ({0: Dim("n", min=1, max=4), 1: Dim("s", min=2, max=32)},)
    more = [(torch.rand(4, 30) > 0.5,), (torch.rand(1, 3) > 0.5,)]
    check(mask_of_positions, torch.rand(2, 7) > 0.5, dynamic=sizes, more=more)
    check(lambda m: m[torch.arange(m.shape[0])[None], torch.arange(m.shape[1])[:, None]], X[0])


def test_the_last_token() -> None:
    batch = {0: Dim("n", min=1, max=4)}
    pick = lambda x, i: x[torch.arange(x.shape[0]), i]  # noqa: E731
    more = [(torch.randn(4, 5, 6), index(0, 1, -2, 3))]
    check(pick, torch.randn(3, 5, 6), index(1, 4, 2), dynamic=(batch, batch), more=more)


def assign_slices(x: torch.Tensor) -> torch.Tensor:
    y = x.clone()
    y[:, 1:3] = 1.0
    y[0] = 2.0
    y[..., -1] = 3
    return y


def assign_mask(x: torch.Tensor) -> torch.Tensor:
    y = x.clone()
    y[x > 0] = 0.0
    return y


WRITES: dict[str, tuple[Callable[..., Any], tuple[torch.Tensor, ...]]] = {
    "scatter_src": (lambda x, i, s: x.scatter(1, i, s), (torch.tensor([[0, 2], [1, 0], [4, 3]]), torch.randn(4, 3))),
    "scatter_value": (lambda x, i: x.scatter(1, i, 7.0), (torch.tensor([[0, 2], [1, 0]]),)),
    "slice_scatter": (lambda x, s: x.slice_scatter(s, 1, -3, -1), (torch.randn(4, 2),)),
    "slice_scatter_to_the_end": (lambda x, s: x.slice_scatter(s, 1, 2), (torch.randn(4, 3),)),
    "select_scatter": (lambda x, s: x.select_scatter(s, 1, -2), (torch.randn(4),)),
    "assign_slices": (assign_slices, ()),
    "assign_mask": (assign_mask, ()),
}


@pytest.mark.parametrize("name", WRITES)
def test_write(name: str) -> None:
    function, arguments = WRITES[name]
    check(function, X[:, :, 0].contiguous(), *arguments)


def test_write_integers_and_bool() -> None:
    i = torch.tensor([[0, 2], [1, 0]])
    check(lambda x, i: x.scatter(1, i, 7), torch.arange(20).view(4, 5), i)
    check(lambda x, i: x.scatter(1, i, True), torch.zeros(4, 5, dtype=torch.bool), i)


def test_select_scatter_of_a_dynamic_size() -> None:
    sizes = ({0: Dim("n", min=2, max=9)}, None)
    more = [(torch.randn(9, 5), torch.randn(5)), (torch.randn(2, 5), torch.randn(5))]
    check(lambda x, s: x.select_scatter(s, 0, -1), torch.randn(4, 5), torch.randn(5), dynamic=sizes, more=more)


PADS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "constant": lambda x: F.pad(x, (1, 2, 0, 3), value=1.5),
    "constant_minus_infinity": lambda x: F.pad(x, (1, 1, 2, 2, 0, 3), value=-torch.inf),
    "constant_negative": lambda x: F.pad(x, (-1, 2, 0, -2)),
    "crop": lambda x: F.pad(x, (-1, -1)),
    "reflect": lambda x: F.pad(x, (2, 1), mode="reflect"),
    "replicate": lambda x: F.pad(x, (2, 1), mode="replicate"),
}


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("name", PADS)
def test_pad(name: str, dtype: torch.dtype) -> None:
    check(PADS[name], X.to(dtype))


def test_pad_other_ranks_and_dtypes() -> None:
    check(lambda x: F.pad(x, (1, 2, 0, 3), mode="reflect"), torch.randn(1, 2, 4, 5))
    check(lambda x: F.pad(x, (2, 1, 1, 1, 0, 1), mode="reflect"), torch.randn(1, 2, 3, 4, 5))
    check(lambda x: F.pad(x, (2, 1, 1, 1, 0, 1), mode="replicate"), torch.randn(1, 2, 3, 4, 5))
    check(lambda x: F.pad(x, (1, 2), value=-3), torch.arange(6).view(2, 3))
    check(lambda x: F.pad(x, (1, 2), value=True), torch.rand(2, 3) > 0.5)


def test_pad_of_dynamic_sizes() -> None:
    sizes = ({0: Dim("n", min=1, max=9), 1: Dim("s", min=1, max=9)},)
    check(lambda x: F.pad(x, (1, 2, 3, 4), value=2.0), X, dynamic=sizes, more=[(torch.randn(9, 1, 6),)])


def test_what_stays_in_pytorch() -> None:
    check_refused(lambda x, i, v: x.index_put((i,), v), X, index(0, 2), torch.randn(2, 5, 6), reason="NO_CONVERTER")
    check_refused(lambda x, s: x.slice_scatter(s, 1, 0, 5, 2), X, torch.randn(4, 3, 6), reason="ATTRIBUTE")
    # An index of which nothing is known and which is no input, where PyTorch would raise.
    outcome = compile_function(lambda x, y: x.index_select(0, y.long()), X, torch.tensor([0.5, 2.5]))
    assert any(text.startswith(("DATA_DEPENDENT", "DATA_TYPE")) for text in outcome.refusals.values())
    outcome.check(X, torch.tensor([0.5, 2.5]))
