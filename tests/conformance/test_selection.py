# SPDX-License-Identifier: Apache-2.0
"""Operators whose results' shapes only the data knows: nonzero, masks, distinct elements, boxes."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import pytest
import torch

import torch_tensorrt

from .harness import TARGET, assert_same, check, check_refused, compile_function

needs_torchvision = pytest.mark.skipif(
    importlib.util.find_spec("torchvision") is None or TARGET != "openvino", reason="torchvision's nms, on a CPU engine"
)
if importlib.util.find_spec("torchvision") is not None:
    import torchvision  # noqa: F401  (registers the operator)

DTYPES = [torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.bool]


def some(shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
    """About half zeros."""
    x = torch.randint(-3, 4, shape)
    return (x * (torch.rand(shape) > 0.5)).to(dtype)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(7,), (3, 5), (2, 3, 4)], ids=str)
def test_nonzero(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    nothing, everything = torch.zeros(shape).to(dtype), torch.ones(shape).to(dtype)
    check(torch.nonzero, some(shape, dtype), more=[(nothing,), (everything,)])


@pytest.mark.parametrize("to", [torch.int8, torch.uint8, torch.int32, torch.bool], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32], ids=str)
def test_zeros_that_a_cast_makes(dtype: torch.dtype, to: torch.dtype) -> None:
    x = torch.tensor([0.3, -0.4, 1.2, 0.0, 2.7, -0.9]) if dtype.is_floating_point else torch.tensor([256, 0, 5, 65536])
    check(lambda x: torch.nonzero(x.to(to)), x.to(dtype))
    check(lambda x: x[x.to(to) != 0], x.to(dtype))


def test_not_a_number_is_not_zero() -> None:
    check(torch.nonzero, torch.tensor([0.0, torch.nan, -0.0, torch.inf]))


MASKS: dict[str, tuple[Callable[[torch.Tensor, torch.Tensor], torch.Tensor], tuple[int, ...], tuple[int, ...]]] = {
    "whole": (lambda x, mask: x[mask], (3, 4), (3, 4)),
    "rows": (lambda x, mask: x[mask], (5, 4), (5,)),
    "columns": (lambda x, mask: x[:, mask], (3, 6), (6,)),
    "middle": (lambda x, mask: x[:, mask], (2, 3, 4, 5), (3, 4)),
    "last": (lambda x, mask: x[..., mask], (2, 3, 4), (4,)),
    "masked_select": (torch.masked_select, (3, 4), (3, 4)),
}


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", MASKS)
def test_masks(name: str, dtype: torch.dtype) -> None:
    function, shape, mask_shape = MASKS[name]
    x, mask = some(shape, dtype), torch.rand(mask_shape) > 0.5
    none, all_of_them = torch.zeros_like(mask), torch.ones_like(mask)
    check(function, x, mask, more=[(x, none), (x, all_of_them)])


ZERO, LAST = torch.zeros(1, dtype=torch.int64), torch.tensor([-1])
MIXED: dict[str, tuple[Callable[[torch.Tensor, torch.Tensor], torch.Tensor], tuple[int, ...], tuple[int, ...]]] = {
    "mask, index": (lambda x, mask: x[mask, LAST], (4, 3), (4,)),
    "mask, 0-d index": (lambda x, mask: x[mask, LAST[0]], (4, 3, 2), (4,)),
    "mask, all, index": (lambda x, mask: x[mask, :, ZERO], (4, 3, 2), (4,)),
    "index, mask": (lambda x, mask: x[LAST, mask], (3, 4, 2), (4,)),
    "index, all, mask": (lambda x, mask: x[ZERO, :, mask], (2, 3, 4), (4,)),
    "all, index, mask": (lambda x, mask: x[:, ZERO, mask], (2, 3, 4), (4,)),
    "all, mask, index": (lambda x, mask: x[:, mask, LAST], (2, 3, 4, 5), (3,)),
    "mask of two dimensions, index": (lambda x, mask: x[mask, LAST], (2, 3, 4), (2, 3)),
    "index, mask of two dimensions": (lambda x, mask: x[:, ZERO, mask], (2, 3, 4, 5), (4, 5)),
    "mask, column of indices": (lambda x, mask: x[mask, torch.tensor([[0], [2], [1]])], (4, 3), (4,)),
}


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", MIXED)
def test_masks_among_other_indices(name: str, dtype: torch.dtype) -> None:
    function, shape, mask_shape = MIXED[name]
    x, mask = some(shape, dtype), torch.rand(mask_shape) > 0.5
    one = torch.zeros_like(mask)
    one.view(-1)[1] = True
    check(function, x, mask, more=[(x, torch.zeros_like(mask)), (x, torch.ones_like(mask)), (x, one)])


def test_an_index_beside_a_mask_that_selects_nothing_is_not_read() -> None:
    x, mask = torch.randn(4, 3), torch.rand(4) > 0.5
    outcome = check_refused(lambda x, mask, i: x[mask, i], x, mask, torch.tensor([2]), reason="DATA_DEPENDENT")
    outcome.check(x, torch.zeros_like(mask), torch.tensor([7]))


def test_dynamic_shapes() -> None:
    def positive_rows(x: torch.Tensor) -> torch.Tensor:
        return torch.relu(x[x.sum(1) > 0]) * 2

    rows = torch.export.Dim("rows", min=1, max=9)
    check(positive_rows, torch.randn(4, 3), dynamic=({0: rows},), more=[(torch.randn(9, 3),), (-torch.ones(2, 3),)])


def test_what_comes_after_has_as_many_elements() -> None:
    def standardized(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        chosen = x[x > 0]
        return torch.tanh(chosen) + chosen, torch.nonzero(x).sum(1)

    x = torch.randn(4, 6)
    check(standardized, x, more=[(-torch.ones(4, 6),)])


# --- distinct elements ---


def everything_unique(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
    return torch.unique(x, return_inverse=True, return_counts=True)


def everything_consecutive(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
    return torch.unique_consecutive(x, return_inverse=True, return_counts=True)


DISTINCT = {
    "values": torch.unique,
    "inverse": lambda x: torch.unique(x, return_inverse=True),
    "counts": lambda x: torch.unique(x, return_counts=True),
    "counts alone": lambda x: torch.unique(x, return_counts=True)[1],
    "unsorted": lambda x: torch.unique(x, sorted=False),
    "everything": everything_unique,
    "runs": torch.unique_consecutive,
    "runs' inverse": lambda x: torch.unique_consecutive(x, return_inverse=True),
    "runs' counts": lambda x: torch.unique_consecutive(x, return_counts=True),
    "everything of runs": everything_consecutive,
}


@pytest.mark.parametrize("dtype", [*DTYPES, torch.uint8, torch.int16], ids=str)
@pytest.mark.parametrize("name", DISTINCT)
def test_distinct(name: str, dtype: torch.dtype) -> None:
    x = torch.randint(-3, 4, (4, 6)).to(dtype)
    different = (torch.arange(24).reshape(4, 6) * 5 % 24).to(dtype)
    check(DISTINCT[name], x, more=[(torch.zeros_like(x),), (different,), (x.sort().values,)])


@pytest.mark.parametrize("shape", [(), (1,), (7,), (2, 3, 4), (3000,)], ids=str)
@pytest.mark.parametrize("function", [everything_unique, everything_consecutive])
def test_distinct_of_shapes(function: Callable[..., Any], shape: tuple[int, ...]) -> None:
    check(function, torch.randint(-300, 300, shape).float(), more=[(torch.zeros(shape),)])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("function", [everything_unique, everything_consecutive])
def test_every_nan_is_distinct(function: Callable[..., Any], dtype: torch.dtype) -> None:
    nan, inf, most = torch.nan, torch.inf, torch.finfo(dtype).max
    cases = [
        [nan, 1.0, inf, nan, most, inf, 0.0, -most, -inf],
        [nan, 1.0, 1.0, nan, nan, -inf, 0.0, 0.0, 1.0],
        [nan] * 9,
        [inf] * 9,
        [most] * 4 + [inf] * 5,
        [0.0, -0.0, -0.0, 1.0, 1.0, 0.0, -1.0, 2.0, nan],
    ]
    first, *more = (torch.tensor(case, dtype=dtype) for case in cases)
    check(function, first, more=[(item,) for item in more])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("function", [everything_unique, everything_consecutive])
def test_nan_among_many(function: Callable[..., Any], dtype: torch.dtype) -> None:
    """PyTorch does not keep their order: which of them is which, its inverse says."""
    x = (torch.arange(136) * 7 % 31).to(dtype)
    some = torch.where(torch.arange(136) % 11 == 3, torch.nan, x)
    most = torch.where(torch.arange(136) % 5 != 3, torch.nan, x)
    check(function, x, more=[(some,), (most,), (torch.full_like(x, torch.nan),)])


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32], ids=str)
@pytest.mark.parametrize("function", [everything_unique, everything_consecutive])
def test_integers_that_floats_cannot_tell_apart(function: Callable[..., Any], dtype: torch.dtype) -> None:
    x = torch.tensor([2**24, 2**24 + 1, 2**31 - 1, 2**31 - 2, -(2**31), -(2**31) + 1, 2**24 + 1, 0], dtype=dtype)
    check(function, x, more=[(x.flip(0),), (x.sort().values,)])


@pytest.mark.parametrize("dim", [0, 1, 2])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_runs_along_a_dimension(dim: int, dtype: torch.dtype) -> None:
    x = torch.randint(0, 2, (3, 4, 2)).repeat_interleave(2, dim).to(dtype)
    check(
        lambda x: torch.unique_consecutive(x, return_inverse=True, return_counts=True, dim=dim),
        x,
        more=[(torch.zeros_like(x),), (torch.arange(x.numel()).reshape(x.shape).to(dtype),)],
    )


def test_runs_with_nan_along_a_dimension() -> None:
    x = torch.tensor([[torch.nan, 1.0], [torch.nan, 1.0], [0.0, 2.0], [-0.0, 2.0]])
    check(lambda x: torch.unique_consecutive(x, return_inverse=True, return_counts=True, dim=0), x)


@pytest.mark.parametrize("function", [everything_unique, everything_consecutive])
def test_distinct_of_dynamic_shapes(function: Callable[..., Any]) -> None:
    rows = torch.export.Dim("rows", min=0, max=9)
    x = torch.randint(-3, 4, (4, 3)).float()
    more = [torch.randint(-3, 4, (9, 3)).float(), torch.zeros(1, 3), torch.zeros(0, 3), torch.full((5, 3), torch.nan)]
    check(function, x, dynamic=({0: rows},), more=[(item,) for item in more])


def test_distinct_of_what_was_selected() -> None:
    def positive(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        values, counts = torch.unique(x[x > 0], return_counts=True)
        return values * 2, counts

    x = torch.randint(-3, 4, (4, 6)).float()
    check(positive, x, more=[(-torch.ones(4, 6),), (torch.ones(4, 6),)])


# --- boxes ---


def some_boxes(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Boxes that overlap often, and scores of which some are equal."""
    corners = torch.rand(count, 2) * 4
    boxes = torch.cat([corners, corners + torch.rand(count, 2) * 3], 1)
    return boxes, torch.randint(0, 10, (count,)) / 10


class Nms(torch.nn.Module):
    def __init__(self, threshold: float) -> None:
        super().__init__()
        self.threshold = threshold

    def forward(self, boxes: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        kept: torch.Tensor = torch.ops.torchvision.nms(boxes, scores, self.threshold)
        return kept


def compile_boxes(model: torch.nn.Module, *inputs: Any, engines: int = 1) -> torch.nn.Module:
    """Captured by torch_tensorrt, which lets nms keep nothing; torch.export by itself does not."""
    with torch.no_grad():
        compiled = torch_tensorrt.compile(model.eval(), ir="dynamo", inputs=inputs, min_block_size=1)
    report = compiled.meta["torch_tensorrt"]["report"]
    assert not report.refusals, report.refusals
    assert [block.engine for block in report.blocks] == [True] * engines
    return compiled


@needs_torchvision
@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.5, 0.7, 1.0, -0.1])
def test_nms(threshold: float) -> None:
    model = Nms(threshold)
    compiled = compile_boxes(model, *some_boxes(200))
    for _ in range(10):
        given = some_boxes(200)
        assert_same(compiled(*given), model(*given))


@needs_torchvision
def test_nms_on_the_edge() -> None:
    """Quotients that are the threshold, or next to it; swapped corners; no area; what is no number."""
    nan, inf = torch.nan, torch.inf
    corners = torch.tensor([0.0, 1.0, 2.0, 3.0, 0.1, 0.3, 1 / 3, -1.0])
    odd = torch.tensor([0.0, 1.0, 2.0, nan, inf, -inf, -0.0, 3.0])
    for threshold in (0.5, 1 / 3, 0.25, 0.1):
        model = Nms(threshold)
        compiled = compile_boxes(model, *some_boxes(60))
        for values in (corners, odd):
            for _ in range(5):
                boxes = values[torch.randint(0, 8, (60, 4))]
                scores = values[torch.randint(0, 8, (60,))]
                assert_same(compiled(boxes, scores), model(boxes, scores))


@needs_torchvision
def test_nms_of_dynamic_shapes() -> None:
    class Detector(torch.nn.Module):
        def forward(self, boxes: torch.Tensor, scores: torch.Tensor) -> tuple[torch.Tensor, ...]:
            kept = torch.ops.torchvision.nms(boxes, scores, 0.5)
            return boxes[kept] * 2, scores[kept], kept

    model = Detector()
    sizes = {"min_shape": (0,), "opt_shape": (20,), "max_shape": (100,)}
    rows = {name: (*shape, 4) for name, shape in sizes.items()}
    compiled = compile_boxes(model, torch_tensorrt.Input(**rows), torch_tensorrt.Input(**sizes))
    for count in (20, 100, 2, 1, 0):
        given = some_boxes(count)
        assert_same(compiled(*given), model(*given))


@needs_torchvision
def test_detections() -> None:
    """What detection models end with: a threshold, nms by class, the best few."""

    class Detector(torch.nn.Module):
        def forward(self, boxes: torch.Tensor, scores: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, ...]:
            sure = scores > 0.3
            boxes, scores, labels = boxes[sure], scores[sure], labels[sure]
            shifted = boxes + (labels.to(boxes) * 100)[:, None]
            kept = torch.ops.torchvision.nms(shifted, scores, 0.5)
            return boxes[kept], scores[kept], labels[kept]

    model = Detector()
    labels = torch.randint(0, 3, (50,))
    compiled = compile_boxes(model, *some_boxes(50), labels)
    for best in (1.0, 0.31, 0.2):
        boxes, scores = some_boxes(50)
        assert_same(compiled(boxes, scores * best, labels), model(boxes, scores * best, labels))
    alone = torch.zeros(50).index_fill(0, torch.tensor(7), 1.0)
    assert_same(compiled(*some_boxes(50)[:1], alone, labels)[2], labels[7:8])


@needs_torchvision
def test_a_program_that_asserts_two_boxes_still_does() -> None:
    """torchvision tells torch.export that nms keeps two boxes or more, which the exported program asserts."""
    outcome = compile_function(Nms(0.5), *some_boxes(6))
    assert outcome.engines == 1
    apart = torch.tensor([[0.0, 0.0, 1.0, 1.0], [2.0, 2.0, 3.0, 3.0]]).repeat(3, 1)
    outcome.check(apart, torch.rand(6))
    with pytest.raises(RuntimeError, match=">= 2"):
        outcome.answer(apart[:1].repeat(6, 1), torch.rand(6))


@needs_torchvision
def test_nms_of_float64_stays_in_pytorch() -> None:
    boxes, scores = some_boxes(20)
    check_refused(Nms(0.5), boxes.double(), scores.double(), reason="DATA_TYPE")


# --- the programs around ---


def test_one_engine_without_the_assertions_of_export() -> None:
    outcome = check(lambda x: torch.relu(x[x > 0]) * 2, torch.randn(4, 3))
    blocks = outcome.module.meta["torch_tensorrt"]["report"].blocks
    assert [block.engine for block in blocks] == [True]
    assert outcome.module.meta["torch_tensorrt"]["report"].refusals == []


def test_assertions_of_the_model_stay() -> None:
    def at_least_three(x: torch.Tensor) -> torch.Tensor:
        chosen = x[x > 0]
        torch._check(chosen.shape[0] >= 3)
        torch._check(chosen.shape[0] <= 5)
        return chosen * 2

    outcome = compile_function(at_least_three, torch.tensor([1.0, 2, 3, 4, 5, 6]) - 2)
    outcome.check(torch.tensor([1.0, 2, 3, 4, -5, 6]))
    for bad in (torch.ones(6), torch.tensor([1.0, 2, 0, 0, 0, 0])):
        with pytest.raises(RuntimeError):
            outcome.answer(bad)


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (lambda x: torch.nonzero(x.sum()), "ATTRIBUTE"),
        (lambda x: x[:3][(mask := x[:3, 0] > 0), mask], "ATTRIBUTE"),
        (lambda x: torch.unique(x, dim=0), "NO_CONVERTER"),
        # PyTorch captures a wrong number of counts for a negative dimension.
        (lambda x: torch.unique_consecutive(x, dim=-1, return_counts=True), "DATA_DEPENDENT"),
        (lambda x: torch.unique((x * 3).half() + 0.1), "DATA_TYPE"),
    ],
)
def test_what_stays_in_pytorch(function: Callable[..., Any], reason: str) -> None:
    check_refused(function, torch.randn(4, 3), reason=reason)
