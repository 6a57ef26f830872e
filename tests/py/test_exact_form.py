# SPDX-License-Identifier: Apache-2.0
"""Where a vendor's engine cannot answer, its exact form does: eager's answer, or eager's error, in every format."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from py_forms import in_form
from torch import nn
from torch.nn import functional as F
from torch.utils import _pytree as pytree

import torch_tensorrt
from torch_tensorrt._engine import engines_of
from torch_tensorrt._library import library_directory
from torch_tensorrt._rebuild import rebuild

FORMATS = ("module", "exported_program", "torchscript")


class Model(nn.Module):
    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function
        generator = torch.Generator().manual_seed(3)
        self.table = nn.Parameter(torch.randn(10, 4, generator=generator))
        self.matrix = nn.Parameter(torch.randn(4, 4, generator=generator))

    def forward(self, *inputs: torch.Tensor) -> Any:
        return self.function(self, *inputs)


def compiled(model: nn.Module, *inputs: torch.Tensor, dynamic: Any = None, **settings: Any) -> Any:
    shapes = None if dynamic is None else (tuple(dynamic),)
    program = torch.export.export(model.eval(), inputs, dynamic_shapes=shapes, strict=False)
    return torch_tensorrt.dynamo.compile(program, min_block_size=1, **settings)


def outcome(call: Callable[..., Any], inputs: tuple[torch.Tensor, ...]) -> tuple[list[torch.Tensor] | None, Any]:
    try:
        with torch.no_grad():
            return pytree.tree_leaves(call(*(item.clone() for item in inputs))), None
    except Exception as error:
        return None, error


def assert_like_eager(run: Any, eager: nn.Module, *inputs: torch.Tensor, exact: bool = True) -> None:
    """The same values, bit for bit if `exact`, or an error where eager has one."""
    expected, wrong = outcome(eager, inputs)
    actual, error = outcome(run, inputs)
    if expected is None:
        assert error is not None, f"eager: {wrong!r}"
        # TorchScript makes a RuntimeError of every exception, eager's too.
        assert isinstance(error, type(wrong)) or str(wrong).splitlines()[0] in str(error), (error, wrong)
        return
    assert actual is not None, error
    for one, other in zip(actual, expected, strict=True):
        assert (one.dtype, one.shape) == (other.dtype, other.shape)
        if exact:
            torch.testing.assert_close(one, other, rtol=0, atol=0, equal_nan=True)
        else:
            torch.testing.assert_close(one, other, equal_nan=True)


def exact_calls(run: Any) -> tuple[int, int]:
    """Calls that exact forms answered: outside of what was compiled, and after failures."""
    calls = [engine.exact_calls() for engine in engines_of(run)]
    return sum(outside for outside, _ in calls), sum(failed for _, failed in calls)


LARGE = 5950571286963681280
INTEGERS = {
    "add": lambda s, x: x + 3,
    "subtract": lambda s, x: 7 - x,
    "multiply": lambda s, x: x * 3,
    "negate": lambda s, x: -x,
    "absolute": lambda s, x: x.abs(),
    "sum": lambda s, x: x.sum(),
    "amax": lambda s, x: x.amax(0),
    "cumsum": lambda s, x: x.cumsum(0),
    "clamp": lambda s, x: x.clamp(-5, 2**40),
    "floor divide": lambda s, x: x // 7,
    "remainder": lambda s, x: x % 1000,
    "pad": lambda s, x: F.pad(x, (1, 1), value=2),
    "where": lambda s, x: torch.where(x > 2, x, x.flip(0)),
    "where of a number": lambda s, x: torch.where(x != 1, x, 2**24 + 1),
    "masked_fill": lambda s, x: x.masked_fill(x == 1, -(2**24) - 1),
    "masked_fill of a value": lambda s, x: x.masked_fill(x > 2, x.amax()),
    "compare": lambda s, x: (x > 2, x == x.flip(0)),
    "to float": lambda s, x: x.float() / 2,
    "to int32": lambda s, x: x.int() + 1,
    "to bool": lambda s, x: x.bool(),
    "reshape": lambda s, x: x.reshape(2, 3).t(),
    "sort": lambda s, x: x.sort(stable=True, descending=True),
    "concatenate": lambda s, x: torch.cat([x, x + 1]),
}
VALUES = {
    "usual": [4, -2, 0, 1, 9, 3],
    "beyond 2^24": [2**24 + 1, -(2**24) - 1, 0, 5, 2**25 + 3, 1],
    "ends of 32 bits": [2**31 - 1, -(2**31), 13, 0, 1, 2],
    "hashes": [LARGE, -LARGE, 2**62, 1, 0, 4],
    "timestamps": [1764200000000, 1764200000001, 1764200000002, 0, 1, 2],
    "ends of 64 bits": [2**63 - 1, -(2**63), 1, 0, -1, 2],
}


@pytest.mark.parametrize("output_format", FORMATS)
@pytest.mark.parametrize("name", list(INTEGERS))
def test_integers_of_any_size(name: str, output_format: str, tmp_path: Path) -> None:
    eager = Model(INTEGERS[name])
    run = in_form(compiled(eager, torch.tensor(VALUES["usual"])), output_format, tmp_path)
    for values in VALUES.values():
        assert_like_eager(run, eager, torch.tensor(values))


@pytest.mark.parametrize("name", list(INTEGERS))
def test_integers_of_any_size_in_other_shapes(name: str) -> None:
    if name == "reshape":
        pytest.skip("of six elements")
    eager = Model(INTEGERS[name])
    size = torch.export.Dim("n", min=2, max=64)
    run = compiled(eager, torch.tensor(VALUES["usual"]), dynamic=[{0: size}])
    for values in VALUES.values():
        for more in (1, 5):
            assert_like_eager(run, eager, torch.tensor(values * more))


INDICES = {
    "embedding": lambda s, i: F.embedding(i, s.table) + 1,
    "index": lambda s, i: s.table[i] * 2,
    "index of two": lambda s, i: (s.table * 2)[i, i % 4],
    "index_select": lambda s, i: torch.index_select(s.table * 2, 0, i),
    "gather": lambda s, i: torch.gather(s.table * 2, 0, i[:, None]),
    "take_along_dim": lambda s, i: torch.take_along_dim(s.table * 2, i[:, None], 0),
    "scatter": lambda s, i: torch.scatter(s.table * 2, 0, i[:, None], 5.0),
    "index_add": lambda s, i: torch.index_add(s.table * 2, 0, i, s.table[:6]),
    "index_copy": lambda s, i: torch.index_copy(s.table * 2, 0, i, s.table[:6]),
    "index_fill": lambda s, i: torch.index_fill(s.table * 2, 0, i, 5.0),
    "index_fill with a tensor": lambda s, i: torch.index_fill(s.table * 2, 0, i, s.table[0, 0]),
    "index_fill of the last": lambda s, i: torch.index_fill(s.table.t() * 2, 1, i, 5.0),
    "index_reduce": lambda s, i: torch.index_reduce(s.table * 2, 0, i, s.table[:6], "amax"),
    "index_put": lambda s, i: torch.index_put(s.table * 2, (i,), torch.ones(4)),
    "index_put of sums": lambda s, i: torch.index_put(s.table * 2, (i,), torch.ones(4), accumulate=True),
    "scatter_add": lambda s, i: torch.scatter_add(s.table * 2, 0, i[:, None], s.table[:6]),
    "scatter_reduce": lambda s, i: torch.scatter_reduce(s.table * 2, 0, i[:, None], s.table[:6], "amax"),
    "put": lambda s, i: torch.put(s.table[:, 0] * 2, i, s.table[:6, 1]),
    "computed": lambda s, i: F.embedding(i * 2 - i, s.table) + 1,
    "positions": lambda s, i: F.embedding((i > 0).long().cumsum(0) + i - 1, s.table) + 1,
}
POSITIONS = {
    "inside": [4, 2, 0, 1, 9, 3],
    "negative": [-1, -10, 0, 1, 9, 3],
    "past the end": [4, 2, 0, 1, 10, 3],
    "before the beginning": [4, -11, 0, 1, 1, 3],
    "far outside": [LARGE, 0, 0, 0, 0, 0],
}


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32], ids=str)
@pytest.mark.parametrize("output_format", FORMATS)
@pytest.mark.parametrize("name", list(INDICES))
def test_indices_outside_are_errors_of_eager(name: str, output_format: str, dtype: torch.dtype, tmp_path: Path) -> None:
    eager = Model(INDICES[name])
    usual = torch.tensor(POSITIONS["inside"], dtype=dtype)
    if outcome(eager, (usual,))[0] is None:
        pytest.skip(f"eager takes no {dtype} there")
    run = in_form(compiled(eager, usual), output_format, tmp_path)
    for values in POSITIONS.values():
        if dtype == torch.int32 and max(values) > 2**31:
            continue
        assert_like_eager(run, eager, torch.tensor(values, dtype=dtype))
    assert_like_eager(run, eager, usual)  # as usable as before


@pytest.mark.parametrize("name", ["add", "sum", "embedding", "index"])
def test_aot_inductor(name: str, tmp_path: Path) -> None:
    cases = {**INTEGERS, **INDICES}
    inputs = [torch.tensor(values) for values in (VALUES if name in INTEGERS else POSITIONS).values()]
    eager = Model(cases[name])
    run = in_form(compiled(eager, inputs[0]), "aot_inductor", tmp_path)
    for x in inputs:
        expected, _ = outcome(eager, (x,))
        actual, error = outcome(run, (x,))
        if expected is None:
            assert isinstance(error, (RuntimeError, IndexError))
        else:
            assert actual is not None, error
            torch.testing.assert_close(actual[0], expected[0], rtol=0, atol=0)


def test_index_errors_keep_their_type() -> None:
    module = compiled(Model(INDICES["index"]), torch.tensor(POSITIONS["inside"]))
    with pytest.raises(IndexError, match=r"out of range|out of bounds"):
        module(torch.tensor(POSITIONS["past the end"]))


@pytest.mark.parametrize("output_format", FORMATS)
@pytest.mark.parametrize("shape", [(0,), (8, 0, 3, 4), (0, 5), (2, 0)], ids=str)
def test_constants_without_elements(shape: tuple[int, ...], output_format: str, tmp_path: Path) -> None:
    model = Model(lambda m, x: (m.nothing + 1, m.nothing.squeeze(()).clone(), (x @ m.matrix).softmax(-1)))
    model.register_buffer("nothing", torch.zeros(shape, dtype=torch.int64))
    x = torch.tensor([[1.0, 2.0, 3.0, 4.0]])
    run = in_form(compiled(model, x), output_format, tmp_path)
    assert_like_eager(run, model, x, exact=False)
    assert_like_eager(run, model, x * math.inf, exact=False)


def test_usual_calls_do_not_run_the_exact_form() -> None:
    eager = Model(INDICES["embedding"])
    module = compiled(eager, torch.tensor(POSITIONS["inside"]))
    for _ in range(3):
        module(torch.tensor(POSITIONS["inside"]))
    assert exact_calls(module) == (0, 0)
    with pytest.raises(IndexError):
        module(torch.tensor(POSITIONS["past the end"]))
    assert exact_calls(module) == (1, 0)


def test_relative_positions_do_not_run_the_exact_form() -> None:
    """T5's buckets: the logarithm of 0 as int64 is outside 32 bits in every call, and replaced later."""

    def function(s: Any, x: torch.Tensor) -> torch.Tensor:
        position = torch.arange(x.shape[0])
        distance = (position[None, :] - position[:, None]).abs()
        far = 4 + (torch.log(distance.float() / 4) / math.log(4) * 4).to(torch.long)
        far = torch.min(far, torch.full_like(far, 9))
        return s.table[torch.where(distance < 4, distance, far)].permute(2, 0, 1) + x

    x = torch.randn(12)
    eager = Model(function)
    run = compiled(eager, x)
    assert_like_eager(run, eager, x)
    assert exact_calls(run) == (0, 0)


def test_uninitialised_memory_is_an_input_like_any_other() -> None:
    def fill(s: Any, garbage: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return garbage.copy_(x) + 1

    eager = Model(fill)
    garbage = torch.full((4,), LARGE)
    module = compiled(eager, torch.zeros(4, dtype=torch.int64), torch.arange(4))
    assert_like_eager(module, eager, garbage, torch.arange(4))


def test_results_are_the_callers_own() -> None:
    eager = Model(lambda s, x: ((x + 1).view(2, 3), (x + 1).view(3, 2).t(), x + 0, torch.neg(x).view(6)))
    x = torch.tensor(VALUES["hashes"])
    module = compiled(eager, torch.tensor(VALUES["usual"]), targets=["aten"])
    first = module(x)
    for result in first:
        result.zero_()
    assert x.tolist() == VALUES["hashes"]
    again = module(x)
    for one, other in zip(again, eager(x), strict=True):
        assert torch.equal(one, other)
    assert len({item.data_ptr() for item in (*first, *again, x)}) == 9


LAYOUTS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "contiguous": lambda x: x,
    "reversed": lambda x: x.permute(3, 2, 1, 0).contiguous().permute(3, 2, 1, 0),
    "heads inside": lambda x: x.transpose(1, 2).contiguous().transpose(1, 2),
    "channels last": lambda x: x.contiguous(memory_format=torch.channels_last),
    "every other": lambda x: torch.stack([x, -x], -1).flatten(3)[..., ::2],
    "of a repeated row": lambda x: x[:, :, 2:3].expand(x.shape),
}
# What eager computes by other kernels where strides are others.
BY_STRIDES: dict[str, Callable[..., Any]] = {
    "attention": lambda s, x: F.scaled_dot_product_attention(x, x * 2, x + 1),
    "attention of one": lambda s, x: F.scaled_dot_product_attention(x, x, x, is_causal=True),
    "group norm": lambda s, x: F.group_norm(x, 2),
    "group norm with weights": lambda s, x: F.group_norm(x, 4, s.table[:4, 0], s.table[:4, 1]),
    "instance norm": lambda s, x: F.instance_norm(x),
    "max_pool2d": lambda s, x: F.max_pool2d(x, 2),
    "avg_pool2d": lambda s, x: F.avg_pool2d(x, 3, padding=1),
    "bilinear": lambda s, x: F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=True),
    "softmax": lambda s, x: x.softmax(1),
    "sum": lambda s, x: x.relu().sum(2),
}


@pytest.mark.parametrize("output_format", FORMATS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("name", list(BY_STRIDES))
def test_operators_get_the_strides_of_inputs(name: str, dtype: torch.dtype, output_format: str, tmp_path: Path) -> None:
    eager = Model(BY_STRIDES[name]).to(dtype)
    x = torch.randn(2, 4, 6, 8, generator=torch.Generator().manual_seed(4)).to(dtype)
    run = in_form(compiled(eager, x, dynamic=[{0: torch.export.Dim("n", min=1, max=8)}]), output_format, tmp_path)
    x[0, 1, 2, 3], x[1, 0, 0, 0], x[1, 1] = math.nan, math.inf, torch.finfo(dtype).max
    for rows in (1, 2):
        for layout in LAYOUTS.values():
            given = layout(x[:rows])
            before = given.clone()
            with torch.no_grad():
                expected, actual = eager(given), run(given)
            torch.testing.assert_close(actual, expected, rtol=0, atol=0, equal_nan=True)
            assert actual.is_contiguous()
            actual.zero_()
            torch.testing.assert_close(given, before, rtol=0, atol=0, equal_nan=True)


def test_inputs_with_strides_are_not_shared() -> None:
    """What the operators return may be a view of an input: in memory of its own all the same."""
    eager = Model(lambda s, x: (x.t(), x[1:], x * 1, x.flip(0)))
    x = torch.tensor(VALUES["hashes"] * 2).reshape(4, 3).t()
    module = compiled(eager, torch.tensor(VALUES["usual"] * 2).reshape(3, 4), targets=["aten"])
    before = x.clone()
    with torch.no_grad():
        results = module(x)
    for one, other in zip(results, eager(before), strict=True):
        assert torch.equal(one, other)
    results[2].zero_(), results[3].zero_()
    assert torch.equal(x, before)


def test_gradients_and_modes_of_the_caller_stay() -> None:
    eager = Model(INTEGERS["add"])
    module = compiled(eager, torch.tensor(VALUES["usual"]))
    x = torch.tensor(VALUES["hashes"])
    assert torch.is_grad_enabled()
    result = module(x)
    assert torch.is_grad_enabled()
    assert not result.is_inference()
    run = compiled(Model(lambda s, i, x: (x @ s.matrix) + i.sum()), torch.tensor([1, 2]), torch.rand(3, 4))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert run(torch.tensor([LARGE, 0]), torch.rand(3, 4)).dtype == torch.float32


# --- guards that engines compute ------------------------------------------------------------------------------------

COMPUTED_INDICES = {
    "embedding": lambda s, i: F.embedding(i * 2 - i, s.table) + 1,
    "embedding of positions": lambda s, i: F.embedding((i >= 0).long().cumsum(0) + i - i - 1, s.table) + 1,
    "index": lambda s, i: (s.table * 2)[i + i - i],
    "index of two": lambda s, i: (s.table * 2)[i + 0 * i, (i + 2 - i)],
    "index_select": lambda s, i: torch.index_select(s.table * 2, 0, i - i + i),
    "gather": lambda s, i: torch.gather(s.table * 2, 0, (i - i + i)[:, None]),
    "from a table": lambda s, i: (s.table * 2)[torch.tensor([3, 1, 12, 0, 2, 9, 8, 7, 6, 5, 4, 3])[i.clamp(0, 11)]],
}


@pytest.mark.parametrize("dynamic", [False, True], ids=["static", "dynamic"])
@pytest.mark.parametrize("dtype", [torch.int64, torch.int32], ids=str)
@pytest.mark.parametrize("name", list(COMPUTED_INDICES))
def test_computed_indices_are_guarded(name: str, dtype: torch.dtype, dynamic: bool) -> None:
    eager = Model(COMPUTED_INDICES[name])
    inside = torch.tensor([4, 0, 1, 8, 3, 5], dtype=dtype)
    if outcome(eager, (inside,))[0] is None:
        pytest.skip(f"eager takes no {dtype} there")
    sizes = [{0: torch.export.Dim("n", min=2, max=64)}] if dynamic else None
    module = compiled(eager, inside, dynamic=sizes)
    report = module.meta["torch_tensorrt"]["report"]
    assert [block.engine for block in report.blocks] == [True], report.to_text()
    for _ in range(2):
        assert_like_eager(module, eager, inside)
    assert exact_calls(module) == (0, 0)
    outside = [[4, 0, 1, 10, 3, 5], [4, 0, 1, 2, 3, 2**20], [4, -11, 1, 2, 3, 5], [-1, -10, 0, 0, 0, 0]]
    for values in outside:
        assert_like_eager(module, eager, torch.tensor(values, dtype=dtype))
        assert_like_eager(module, eager, inside)
    assert exact_calls(module)[1] == 0
    if dynamic:
        assert_like_eager(module, eager, inside.repeat(3))
        assert_like_eager(module, eager, torch.tensor([10, 0] * 5, dtype=dtype))


@pytest.mark.parametrize("output_format", FORMATS)
def test_guards_travel_with_the_program(output_format: str, tmp_path: Path) -> None:
    eager = Model(COMPUTED_INDICES["embedding"])
    inside = torch.tensor([4, 0, 1, 8, 3, 5])
    run = in_form(compiled(eager, inside), output_format, tmp_path)
    for values in ([4, 0, 1, 8, 3, 5], [4, 0, 1, 10, 3, 5], [4, 0, -1, 8, 3, 5], [4, 0, 1, 8, 3, 5]):
        assert_like_eager(run, eager, torch.tensor(values))


# --- the target by itself ---------------------------------------------------------------------------------------------

ANY = {
    "no vendor knows it": lambda s, x: torch.special.bessel_j0(x) + torch.digamma(x),
    "float64": lambda s, x: (x.double() @ s.matrix.double()).float(),
    "linear": lambda s, x: F.linear(x, s.matrix).relu(),
    "layer norm": lambda s, x: F.layer_norm(x, (4,)),
    "attention": lambda s, x: F.scaled_dot_product_attention(x[None], x[None], x[None]),
    "numbers of every kind": lambda s, x: (x * 2 + True + 0.5).int() * 2**40 + x.shape[0] + float("inf"),
    "a list": lambda s, x: [part * 2 for part in x.split(2, dim=1)],
    "dtypes and sizes": lambda s, x: torch.zeros(x.shape[0], 2, dtype=torch.int32) + x.shape[0],
    "sizes from data": lambda s, x: x[x > 0] * 2,
    "views": lambda s, x: x.t().reshape(2, -1).transpose(0, 1),
    "sorted": lambda s, x: x.sort(dim=1, descending=True),
    "padded": lambda s, x: F.pad(x, (1, 1), value=float("-inf")),
    "interpolated": lambda s, x: F.interpolate(x[None, None], scale_factor=2.0, mode="bilinear"),
    "cat": lambda s, x: torch.cat([x, s.table], 0),
    "where": lambda s, x: torch.where(x > 0, x, float("nan")),
    "pooled": lambda s, x: F.max_pool2d(x[None], 2, stride=1),
}


@pytest.mark.parametrize("output_format", FORMATS)
@pytest.mark.parametrize("name", list(ANY))
def test_any_operator_as_an_engine_of_its_own(name: str, output_format: str, tmp_path: Path) -> None:
    eager = Model(ANY[name])
    rows = torch.export.Dim("rows", min=3, max=16)
    module = compiled(eager, torch.randn(6, 4), dynamic=[{0: rows}], targets=["aten"])
    report = module.meta.get("torch_tensorrt", {}).get("report")
    if report is not None:  # None: nothing in it computes
        assert sum(block.engine for block in report.blocks) == 1
    run = in_form(module, output_format, tmp_path)
    for count in (6, 3, 16):
        assert_like_eager(run, eager, torch.randn(count, 4))


def test_targets_of_a_package() -> None:
    eager = Model(ANY["linear"])
    for targets in (None, ["openvino"], ["openvino", "aten"]):
        settings = {} if targets is None else {"targets": targets}
        (engine,) = engines_of(compiled(eager, torch.randn(3, 4), **settings))
        assert [target["backend"] for target in json.loads(engine.metadata())["targets"]] == ["openvino", "aten"]
    (engine,) = engines_of(compiled(eager, torch.randn(3, 4), targets=["aten"]))
    assert [target["backend"] for target in json.loads(engine.metadata())["targets"]] == ["aten"]


def test_weights_are_in_the_package_once() -> None:
    model = nn.Sequential(nn.Linear(256, 512), nn.ReLU(), nn.Linear(512, 256)).eval()
    (engine,) = engines_of(compiled(model, torch.randn(2, 256)))
    weights = sum(item.numel() * item.element_size() for item in model.parameters())
    assert engine.payload().numel() < 1.05 * weights
    sections = {
        target["backend"]: {item["name"]: item["offset"] for item in target["sections"]}
        for target in json.loads(engine.metadata())["targets"]
    }
    assert sections["aten"]["openvino.weights"] == sections["openvino"]["weights"]


@pytest.mark.parametrize("targets", [[], ["openvino"]], ids=["the same", "named"])
def test_rebuilding_keeps_it(targets: list[str], tmp_path: Path) -> None:
    eager = Model(lambda s, x, i: F.linear(x, s.matrix).relu() + F.embedding(i, s.table))
    x, inside = torch.randn(3, 4), torch.tensor([1, 2, 3])
    module = compiled(eager, x, inside, rebuildable=True)
    torch_tensorrt.save(module, tmp_path / "a.ts", output_format="torchscript", arg_inputs=[x, inside])
    rebuild(tmp_path / "a.ts", tmp_path / "b.ts", targets)
    loaded = torch.jit.load(tmp_path / "b.ts")
    torch.testing.assert_close(loaded(x, inside), eager(x, inside))
    with pytest.raises(RuntimeError, match="out of range"):
        loaded(x, torch.tensor([1, 2, 30]))


def test_refitting_renews_it() -> None:
    def function(s: Any, x: torch.Tensor, i: torch.Tensor) -> torch.Tensor:
        return F.linear(x, s.matrix) + i.bool().float().sum()

    first, second = Model(function), Model(function)
    with torch.no_grad():
        second.matrix.mul_(3)
    x, large = torch.randn(3, 4), torch.tensor([LARGE, 0, 3])
    module = compiled(first, x, torch.tensor([1, 2, 3]), immutable_weights=False)
    program = torch.export.export(second.eval(), (x, large), strict=False)
    refitted = torch_tensorrt.dynamo.refit_module_weights(module, program)
    assert_like_eager(refitted, second, x, large)
    assert exact_calls(refitted) == (1, 0)


WITHOUT_VENDOR = """
import sys, torch
torch.ops.load_library(sys.argv[1])
module = torch.jit.load(sys.argv[2])
x = torch.arange(12.0).reshape(3, 4)
print(module(x).sum().item())
"""


def test_without_the_vendors_library_it_runs_instead(tmp_path: Path) -> None:
    eager = Model(ANY["linear"])
    module = compiled(eager, torch.randn(3, 4))
    torch_tensorrt.save(module, tmp_path / "a.ts", output_format="torchscript", arg_inputs=[torch.randn(3, 4)])
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            WITHOUT_VENDOR,
            str(library_directory() / "libtorchtrt_runtime.so"),
            str(tmp_path / "a.ts"),
        ],
        env={**os.environ, "TORCHTRT_BACKEND_PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
        timeout=240,
    )
    expected = eager(torch.arange(12.0).reshape(3, 4)).sum().item()
    assert abs(float(done.stdout) - expected) < 1e-3
    assert "runs its exact form" in done.stderr
    assert "openvino" in done.stderr
