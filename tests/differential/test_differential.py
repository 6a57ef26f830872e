# SPDX-License-Identifier: Apache-2.0
"""The machine itself: programs can be drawn again, faults of every kind are found, and roundings are none."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.export import ExportedProgram

from . import __main__ as command
from . import controls, limits, oracle, runner, sources, ways
from .generate import Draw, draw
from .journal import Journal, Options
from .operators import FAMILIES
from .program import Constant, Dim, Fill, Input, Program, Step, make_module, run_steps, script
from .shrink import shrink


def test_a_program_is_drawn_again_by_its_seed_and_index() -> None:
    for index in range(40):
        first, second = draw(5, index), draw(5, index)
        assert first.to_json() == second.to_json()
        assert Program.from_json(first.to_json()).to_json() == first.to_json()
        compile(script(first), "script", "exec")
    assert draw(5, 0).to_json() != draw(6, 0).to_json()


def test_programs_run_in_eager_pytorch() -> None:
    """Valid by construction: no program fails at its first call."""
    for index in range(300):
        program = draw(7, index)
        assert oracle.run_calls(make_module(program), program, [0])[0].error is None, script(program)


ROWS = [(family, number) for family, rows in FAMILIES.items() for number in range(len(rows))]


@pytest.mark.parametrize("family", list(FAMILIES))
def test_every_row_of_the_table_draws(family: str) -> None:
    for number, row in enumerate(FAMILIES[family]):
        drawn = 0
        for seed in range(60):
            draws = Draw(random.Random(f"{family}/{number}/{seed}"))
            row(draws)
            drawn += bool(draws.program.steps)
            if drawn:
                break
        assert drawn, f"row {number} of {family} draws nothing"


def test_the_script_of_a_find_runs() -> None:
    program = simple("torch.sin({0})")
    scope: dict[str, Any] = {}
    text = script(program).split("program = torch.export")[0].replace("import torch, torch_tensorrt", "import torch")
    exec(text, scope)
    assert scope["M"]()(*scope["data"]()[0]).shape == (2, 3)


# --- faults put in by hand --------------------------------------------------------------------------------------------


def simple(code: str, **constants: list[int]) -> Program:
    names = list(constants)
    return Program(
        inputs=[Input("x0", "float32", [2, 3], fill=Fill("grid", 3))],
        constants=[Constant(name, "float32", shape, Fill("grid", 5)) for name, shape in constants.items()],
        steps=[Step(["v0"], code, ["x0", *names])],
        outputs=["v0"],
    )


class Faulty(nn.Module):
    """torch.export's module with a fault around it."""

    def __init__(self, exported: ExportedProgram, fault: Callable[[Faulty, tuple[Any, ...]], Any]) -> None:
        super().__init__()
        self.inner = exported.module()
        self.fault = fault
        self.calls = 0
        self.kept: Any = None

    def forward(self, *inputs: Any) -> Any:
        self.calls += 1
        return self.fault(self, inputs)


@pytest.fixture
def plant(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], None]:
    def planted(fault: Any) -> None:
        monkeypatch.setattr(ways, "compile_program", lambda exported, target: Faulty(exported, fault))

    return planted


def off_by_one(self: Faulty, inputs: tuple[Any, ...]) -> Any:
    result = self.inner(*inputs)
    return torch.where(result == result.max(), result * 1.0001, result)


def later_call(self: Faulty, inputs: tuple[Any, ...]) -> Any:
    return self.inner(*inputs) + (self.calls > 1)


def other_dtype(self: Faulty, inputs: tuple[Any, ...]) -> Any:
    return self.inner(*inputs).double()


def other_shape(self: Faulty, inputs: tuple[Any, ...]) -> Any:
    return self.inner(*inputs)[None]


def writes_input(self: Faulty, inputs: tuple[Any, ...]) -> Any:
    result = self.inner(*inputs)
    inputs[0].zero_()
    return result


def raises(self: Faulty, inputs: tuple[Any, ...]) -> Any:
    raise RuntimeError("no")


def keeps_its_result(self: Faulty, inputs: tuple[Any, ...]) -> Any:
    if self.kept is None:
        self.kept = {}
    key = inputs[0].sum().item()
    if key not in self.kept:
        self.kept[key] = self.inner(*inputs)
    return self.kept[key]


def returns_input(self: Faulty, inputs: tuple[Any, ...]) -> Any:
    return inputs[0]


def loses_nan(self: Faulty, inputs: tuple[Any, ...]) -> Any:
    return self.inner(*inputs).nan_to_num(0.0)


def copies_its_result(self: Faulty, inputs: tuple[Any, ...]) -> Any:
    return self.inner(*inputs).clone()


FAULTS: list[tuple[Any, str, str]] = [
    (copies_its_result, "{0}.t()", "alias"),
    (off_by_one, "{0} * 3", "value"),
    (later_call, "{0} * 3", "value"),
    (other_dtype, "{0} * 3", "dtype"),
    (other_shape, "{0} * 3", "shape"),
    (writes_input, "{0} * 3", "input"),
    (raises, "{0} * 3", "error"),
    (keeps_its_result, "{0} * 3", "alias"),
    (returns_input, "{0} * 1", "alias"),
    (loses_nan, "{0} / 0", "value"),
]


@pytest.mark.parametrize(("fault", "code", "kind"), FAULTS, ids=[fault.__name__ for fault, _, _ in FAULTS])
def test_a_fault_is_found(plant: Any, fault: Any, code: str, kind: str) -> None:
    plant(fault)
    verdict = oracle.check(simple(code))
    assert [find.kind for find in verdict.finds] == [kind], verdict


def test_nothing_is_found_without_a_fault(plant: Any) -> None:
    plant(lambda self, inputs: self.inner(*inputs))
    for code in ("{0} * 3", "{0} / 0", "torch.sort({0}, 1)[1]", "{0}.view(3, 2)"):
        verdict = oracle.check(simple(code))
        assert not verdict.finds, verdict
        assert not verdict.notes, verdict


def test_state_that_compiling_leaves_behind_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    program = Program(
        inputs=[Input("x0", "float32", [2], fill=Fill("grid", 3))],
        constants=[Constant("w0", "float32", [], Fill("values", values=[1.0]))],
        steps=[Step([], "{0}.add_(1)", ["w0"]), Step(["v0"], "{0} * {1}", ["x0", "w0"])],
        outputs=["v0"],
    )

    def runs_it(exported: ExportedProgram, target: str) -> nn.Module:
        next(iter(exported.state_dict.values())).add_(1)
        return exported.module()

    monkeypatch.setattr(ways, "compile_program", runs_it)
    assert "caller" in [find.kind for find in oracle.check(program).finds]

    def is_one_step_ahead(exported: ExportedProgram, target: str) -> nn.Module:
        module = exported.module()
        module._buffers["w0"] = module.w0 + 1
        return module

    monkeypatch.setattr(ways, "compile_program", is_one_step_ahead)
    assert [find.kind for find in oracle.check(program).finds] == ["value"]


def test_a_missing_error_is_found(plant: Any) -> None:
    program = Program(
        inputs=[Input("x0", "float32", [3]), Input("x1", "int64", [1], fill=Fill("indices", 1, 0, 2, specials=1))],
        constants=[],
        steps=[Step(["v0"], "{0}[{1}]", ["x0", "x1"])],
        outputs=["v0"],
    )
    plant(lambda self, inputs: self.inner(inputs[0], inputs[1].clamp(0, 2)))
    assert [find.kind for find in oracle.check(program).finds] == ["no error"]


def summed_in_another_order(self: Faulty, inputs: tuple[Any, ...]) -> Any:
    return self.inner(*inputs) * (1 + 3e-7)


def _around_a_rounded_mean(x: torch.Tensor) -> torch.Tensor:
    return x.float() - x.float().mean(-1, keepdim=True).to(x.dtype).float()


NARROWER: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "torch.var({0}, -1)": lambda x: (_around_a_rounded_mean(x) ** 2).sum(-1) / (x.shape[-1] - 1),
    "F.layer_norm({0}, (32,))": lambda x: _around_a_rounded_mean(x) / (x.float().var(-1, keepdim=True) + 1e-5).sqrt(),
    "torch.sum({0}, -1)": lambda x: functools.reduce(torch.add, x.unbind(-1)).float(),
    "torch.mean({0}, -1)": lambda x: functools.reduce(torch.add, x.unbind(-1)).float() / x.shape[-1],
}


@pytest.mark.parametrize("code", NARROWER)
def test_half_precision_that_is_narrower_than_eager_is_found(plant: Any, code: str) -> None:
    """Numbers around 100, of which eager computes the statistics in float32."""
    program = Program(
        inputs=[Input("x0", "bfloat16", [4, 32], fill=Fill("shifted", 3))],
        constants=[],
        steps=[Step(["v0"], code, ["x0"], noise=8.0)],
        outputs=["v0"],
    )
    plant(lambda self, inputs: NARROWER[code](inputs[0]).to(inputs[0].dtype))
    assert [find.kind for find in oracle.check(program).finds] == ["value"]
    plant(lambda self, inputs: self.inner(*inputs))
    assert not oracle.check(program).finds


def test_memory_that_was_never_written_changes_by_no_write() -> None:
    """A bool of 85 becomes one of 1 when it is copied."""
    program = simple("(torch.zeros(8, dtype=torch.uint8) + 85).view(torch.bool)[:1]")
    program.steps = [dataclasses.replace(program.steps[0], args=[]), Step(["v1"], "{0} * 3", ["x0"])]
    program.outputs = ["v1", "v0"]
    found = oracle.sharing(make_module(program), program)
    assert found is not None
    assert found[0] == {}


def test_a_rounding_is_no_find(plant: Any) -> None:
    """What is left of a difference of nearly equal numbers is all rounding."""
    program = simple("({0} * 0.7 + 1000.1) - 1000.1")
    steps = [("v1", "{0} * 0.7"), ("v2", "{0} + 1000.1"), ("v0", "{0} - 1000.1")]
    before = "x0"
    program.steps = []
    for name, code in steps:
        program.steps.append(Step([name], code, [before]))
        before = name
    plant(lambda self, inputs: (inputs[0].double() * 0.7).float())
    assert not oracle.check(program).finds
    plant(lambda self, inputs: (inputs[0].double() * 0.7).float() + 0.01)
    assert oracle.check(program).finds


def test_half_precision_may_be_wider_but_not_narrower(plant: Any) -> None:
    program = simple("{0}")
    program.inputs = [Input("x0", "float16", [8, 9], fill=Fill("normal", 3))]
    program.steps = [Step(["v1"], "{0} * 3.3", ["x0"]), Step(["v0"], "{0} * 1.7", ["v1"])]
    plant(lambda self, inputs: (inputs[0].float() * 3.3 * 1.7).half())
    assert not oracle.check(program).finds
    plant(lambda self, inputs: (inputs[0].bfloat16() * 3.3 * 1.7).half())
    assert oracle.check(program).finds


def test_a_crash_and_a_hang_are_finds(plant: Any) -> None:
    plant(lambda self, inputs: os.kill(os.getpid(), signal.SIGSEGV))
    finds = runner.in_child(simple("{0} * 3"), [], 60.0)
    assert [find.kind for find in finds] == ["crash"]
    assert "SIGSEGV" in finds[0].message
    plant(lambda self, inputs: time.sleep(60))
    assert [find.kind for find in runner.in_child(simple("{0} * 3"), [], 3.0)] == ["hang"]


def test_a_find_is_shrunk_to_what_it_needs() -> None:
    """A fault of clamps of more than two rows, in a program of many steps."""

    def fails(program: Program) -> bool:
        clamped: list[int] = []

        def observe(step: Step, values: dict[str, Any]) -> None:
            if "clamp" in step.code and step.out:
                clamped.append(values[step.out[0]].shape[0])

        try:
            run_steps(program, oracle.input_tensors(program, 0), observe)
        except Exception:
            return False
        return any(rows > 2 for rows in clamped)

    large = Program(
        inputs=[Input("x0", "float16", ["s0", 5], "strided", Fill("huge", 3, specials=3)), Input("x1", "int64", [4])],
        constants=[
            Constant("w0", "float16", [5, 5], Fill("normal", 1), True),
            Constant("w1", "float16", [5, 5], of="w0", view="{0}.t()"),
        ],
        steps=[
            Step(["v0"], "{0} @ {1}", ["x0", "w0"]),
            Step(["v1"], "torch.clamp({0}, -1, 1)", ["v0"]),
            Step(["v2"], "{0} @ {1}", ["v1", "w1"]),
            Step(["v3", "v4"], "torch.sort({0}, 1)", ["v2"]),
            Step(["v5"], "{0} + 1", ["x1"]),
        ],
        outputs=["v3", "v4", "v5"],
        dims={"s0": Dim(0, 8, [6, 4])},
    )
    small = shrink(large, fails, 60.0)
    assert [step.code for step in small.steps] == ["torch.clamp({0}, -1, 1)"]
    assert not small.constants
    assert not small.dims
    assert [(item.dtype, item.layout, item.shape) for item in small.inputs] == [("float32", "contiguous", [3, 1])]
    assert len(script(small).splitlines()) < 20


@pytest.mark.parametrize("source", ["opinfo", "models"])
def test_other_sources_have_programs(source: str) -> None:
    """Most samples are programs that eager PyTorch runs, twice the same."""
    ran = 0
    for index in range(24):
        program = sources.program(Options(source), index)
        if program is None:
            continue
        assert program.to_json() == (sources.program(Options(source), index) or program).to_json()
        ran += oracle.run_calls(make_module(program), program, [0])[0].error is None
    assert ran >= 12, ran


@pytest.mark.parametrize(
    "limit",
    [
        pytest.param(
            limit,
            id=limit.name.replace(" ", "-"),
            marks=pytest.mark.slow if limit.way == "aot_inductor" else (),
        )
        for limit in limits.LIMITS
        if limit.target in ("", "cpu") and limit.is_here()
    ],
)
def test_a_limit_still_happens(limit: limits.Limit) -> None:
    """Otherwise it is to be taken out of limits.py, and out of the page that tells of it. Those of a GPU's targets, of
    other processors and of other releases of PyTorch are seen there only."""
    program = Program.from_json(limit.shows)
    finds = oracle.check(program, [limit.way] if limit.way else []).finds
    assert any(limits.covering(program, find) is limit for find in finds), finds


def test_a_limit_of_tiny_constants_covers_results_of_them_only() -> None:
    limit = next(limit for limit in limits.LIMITS if limit.of_tiny_constants)
    program = Program.from_json(limit.shows)
    program.constants.append(Constant("w1", "float32", [2], Fill("values", values=[1.0, 2.0])))
    program.steps += [Step(["v1"], "{0} * 2", ["v0"]), Step(["v2"], "{0} + {1}", ["w1", "x0"])]
    program.steps += [Step(["v3"], "{0} * 3", ["w1"]), Step([], "{0}.add_({1})", ["v3", "w0"])]
    program.outputs = ["v1", "v2", "v3"]
    for result, is_covered in ((0, True), (1, False), (2, True)):
        message = f"call 0 (data 0), result {result}: 1 of 2 elements, at [0] 0.0 instead of 5e-39"
        found = oracle.Find("value", "module", message)
        assert (limits.covering(program, found) is limit) == is_covered
    assert limits.covering(program, oracle.Find("value", "module", "0.0 instead of 5e-39")) is None


def test_a_limit_of_a_target_covers_nothing_elsewhere() -> None:
    program = simple("{0} / 0")
    assert limits.covering(program, oracle.Find("value", "module", ""), "tensorrt") is not None
    assert limits.covering(program, oracle.Find("value", "module", "")) is None
    assert limits.covering(simple("{0} * 3"), oracle.Find("value", "module", ""), "tensorrt") is None
    huge = simple("F.layer_norm({0}, {0}.shape[-1:])")
    huge.inputs = [Input("x0", "float32", [2, 4], fill=Fill("values", values=[3e30, 1.0]))]
    assert limits.covering(huge, oracle.Find("shape", "module", ""), "tensorrt") is not None
    assert limits.covering(huge, oracle.Find("shape", "module", "")) is None


def test_a_limit_of_a_processor_covers_nothing_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    limit = next(limit for limit in limits.LIMITS if limit.processor == "avx512_bf16")
    program = Program.from_json(limit.shows)
    message = "call 0 (data 1), result 0: 2 of 32 elements, at [0, 3] 0.0 instead of 2.938735877055719e-39"
    for abilities, covered in ((("avx2", "avx512_bf16"), limit), (("avx2",), None)):
        monkeypatch.setattr(limits, "_abilities", lambda abilities=abilities: abilities)
        assert limits.covering(program, oracle.Find("value", "module", message)) is covered
        assert limits.covering(program, oracle.Find("value", "module", message.replace("e-39", "e-37"))) is None
        assert limits.covering(simple("{0} * 3"), oracle.Find("value", "module", message)) is None


def test_a_limit_of_two_numbers_covers_no_others() -> None:
    limit = next(limit for limit in limits.LIMITS if limit.within < 1)
    program = Program.from_json(limit.shows)
    for message, is_covered in (
        ("at [0, 2] 0.0123988837 instead of 0.0123989042", True),
        ("at [0, 2] 0.0123 instead of 0.0124", False),
        ("at [0, 2] nan instead of 0.0124", False),
    ):
        assert (limits.covering(program, oracle.Find("value", "module", message)) is limit) == is_covered
    assert limits.covering(program, oracle.Find("value", "module", "0.0123 instead of 0.0123"), "tensorrt") is None


@pytest.mark.skipif(not oracle._ROUNDS_NORMALIZED, reason="the processor does not compute bfloat16")
def test_bfloat16_is_normalized_and_rounded_before_it_is_scaled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where scale and shift cancel, that rounding is as large as the result; without it the same is a find."""
    values = [1.0, 1.0, -2.0, 1.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0, -1.5, -2.0, 2.0, -1.0, 1.0, 0.0]
    program = simple("F.group_norm({0}, 1, {1}, {2})")
    program.inputs = [
        Input("x0", "bfloat16", [1, 1, 4, 4], fill=Fill("values", values=values)),
        *(Input(name, "bfloat16", [1], fill=Fill("values", values=[99.5])) for name in ("x1", "x2")),
    ]
    program.steps = [Step(["v0"], "F.group_norm({0}, 1, {1}, {2})", ["x0", "x1", "x2"])]
    assert not oracle.check(program, []).finds
    monkeypatch.setattr(oracle, "_ROUNDS_NORMALIZED", False)
    assert oracle.check(program, []).finds


def test_limits_of_every_target(monkeypatch: pytest.MonkeyPatch) -> None:
    """What PyTorch does is the same beside a GPU; what the CPU's engine does is not."""
    written = oracle.Find(
        "error", "module", "more than one element of the written-to tensor refers to a single memory location"
    )
    for target in ("", "tensorrt"):
        assert limits.covering(simple("{0} * 3"), written, target) is not None
    tiny = oracle.Find("value", "module", "result 0: 1 of 1 elements, at [0] 0.0 instead of -1e-20")
    assert limits.covering(simple("F.elu({0})"), tiny) is not None
    assert limits.covering(simple("F.elu({0})"), tiny, "tensorrt") is None


def test_a_limit_of_a_release_covers_nothing_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    program = simple("F.dropout({0}, 0.5, False)")
    for release, is_covered in (("2.11.0+cu130", True), ("2.15.0", False), ("2.1.1", False)):
        monkeypatch.setattr(torch, "__version__", release)
        assert (
            limits.covering(program, oracle.Find("alias", "module", "result 0: a write does not change input 0"))
            is not None
        ) == is_covered


def entry(options: Options, first: int, finds: list[tuple[str, int]], started: str = "") -> dict[str, Any]:
    listed = [{"signature": signature, "index": index} for signature, index in finds]
    counts = {"first": first, "count": 100, "seconds": 1800, "ways": {"module": 100}, "started": started}
    return {**Journal.new_entry(options), **counts, "finds": listed}


def test_the_journal_counts_all_runs(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    options = Options(seed=4)
    for first, finds in ((0, [("a", 20)]), (100, [("a", 150)])):
        Journal(path).add(entry(options, first, finds))
    journal = Journal(path)
    assert journal.next_index(options) == 200
    assert journal.next_index(Options(seed=5)) == 0
    assert journal.next_index(Options(seed=4, target="tensorrt_rtx")) == 0
    assert "200 programs, 200 of them different, in 1.00 hours (200 as module), 1 different finds" in journal.summary()
    assert "nothing new in the last 179 programs (longest run: 179)" in journal.summary()
    assert [json.loads(line)["first"] for line in path.read_text().splitlines()] == [0, 100]


def test_journals_of_several_machines_become_one(tmp_path: Path) -> None:
    here, there = Journal(tmp_path / "here"), Journal(tmp_path / "there")
    here.add(entry(Options(seed=4), 0, [("a", 20)], "2026-01-01"), entry(Options(seed=4), 100, [], "2026-01-03"))
    there.add(
        entry(Options(seed=5), 0, [("a", 7), ("b", 60)], "2026-01-02"), entry(Options(seed=4), 0, [], "2026-01-04")
    )
    for _ in range(2):  # what is there already is not added again
        here.merge([there.path])
    assert Journal(here.path).entries == here.entries
    assert "400 programs, 300 of them different" in here.summary()
    assert "2 different finds, nothing new in the last 239 programs (longest run: 239)" in here.summary()


def test_the_journal_holds_the_programs_of_finds(tmp_path: Path) -> None:
    """Another machine may draw other programs, and has other kernels."""
    path, found, again = tmp_path / "journal.jsonl", simple("{0} * 3"), simple("{0} * 4")
    made = Journal.new_entry(Options(seed=4))
    made["finds"].append({"index": 7, "signature": "", "program": found.to_json()})
    made["repeated"]["value"] = [{"index": 9, "program": again.to_json()}]
    Journal(path).add(entry(Options(seed=4), 0, [("machine", 9)]), made)
    assert [command._replayed(path, index) for index in (7, 8, 9)] == [found, None, again]
    path.write_text(f"# {found.to_json()}\n")
    assert command._replayed(path, None) == found
    assert made["torch"] == torch.__version__
    assert made["processor"]


def values(*numbers: float) -> Program:
    made = simple("{0} * 3")
    made.inputs = [Input("x0", "float32", [len(numbers)], fill=Fill("values", values=list(numbers)))]
    return made


def test_shrinking_takes_any_value() -> None:
    """Infinities have no nearest whole number."""
    small = shrink(values(float("inf"), float("-inf"), float("nan"), 1e300, 0.3), lambda program: True, 5.0)
    assert small.inputs[0].fill.values in ([0.0], [1.0])


def test_a_fault_while_shrinking_costs_only_smallness(monkeypatch: pytest.MonkeyPatch) -> None:
    find = oracle.Find("value", "module", "result 0")

    def breaks(program: Program, fails: Any, seconds: float) -> Program:
        assert fails(values(1.0))
        raise OverflowError("cannot convert float infinity to integer")

    monkeypatch.setattr(runner, "in_child", lambda program, *rest: [find])
    monkeypatch.setattr(runner, "shrink", breaks)
    small, found = runner.shrink_find(values(1.0, 2.0), find)
    assert (small.to_json(), found) == (values(1.0).to_json(), find)


class Stub(runner._Lane):
    """A lane whose processes answer what the test says."""

    of_pytorch = (5,)
    """Indices whose process PyTorch itself ends."""

    def __init__(self, answers: Callable[[dict[str, Any]], dict[str, Any] | None]) -> None:
        super().__init__(Options())
        self.ask = answers

    def checker(self) -> Any:
        return _Process(self)

    def _ask_shrinker(self, request: dict[str, Any], seconds: float) -> dict[str, Any] | None:
        if "ended" in request and request["ended"] in self.of_pytorch:
            return {"program": None, "note": "PyTorch itself: SIGFPE"}
        return {"program": simple("{0} * 3").to_json()} if "ended" in request else None


class _Process:
    def __init__(self, stub: Stub) -> None:
        self.ended = "the process ended by SIGSEGV"
        self.ask = lambda request, seconds: stub.ask(request)


def run_with(monkeypatch: pytest.MonkeyPatch, answers: Any, count: int, jobs: int = 1) -> tuple[dict[str, Any], str]:
    told: list[str] = []
    monkeypatch.setattr(runner, "_Lane", lambda options: Stub(answers))
    monkeypatch.setattr(sources, "program", lambda options, index: os.kill(os.getpid(), signal.SIGFPE))
    made = runner.Run(Options(), told.append, set()).until(time.monotonic() + 60, iter(range(count)), jobs)
    return made, "".join(told)


def verdict(*finds: oracle.Find) -> dict[str, Any]:
    dumped = dataclasses.asdict(oracle.Verdict(finds=list(finds), ways=["module"]))
    found = runner._found(simple("{0} * 3"), finds[0], Options()) if finds else {"program": None}
    return {**found, "verdict": dumped}


def test_a_run_goes_on_whatever_its_processes_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def answers(request: dict[str, Any]) -> dict[str, Any] | None:
        if request["index"] in (1, 5):
            return None
        if request["index"] == 2:
            raise ValueError("no answer of ours")
        return {"failure": "OverflowError"} if request["index"] == 3 else verdict()

    made, told = run_with(monkeypatch, answers, 7)
    assert (made["first"], made["count"], made["ways"]) == (0, 7, {"module": 3})
    assert made["notes"] == {"PyTorch itself": 1}
    assert [find["kind"] for find in made["finds"]] == ["crash", "machine", "machine"]
    assert "SIGSEGV" in told
    assert "no answer of ours" in told


LEAST = Program(
    inputs=[
        Input("x0", "int32", [2], fill=Fill("values", values=[5, -(2**31)])),
        Input("x1", "int32", [2], fill=Fill("values", values=[2, -1])),
    ],
    constants=[],
    steps=[Step(["v0"], "torch.div({0}, {1}, rounding_mode='trunc')", ["x0", "x1"])],
    outputs=["v0"],
)
"""Ends the process in eager PyTorch."""


def drawn(program: Program) -> Callable[[Options, int], Program]:
    return lambda options, index: program


@pytest.mark.parametrize(
    ("source", "whose"),
    [
        pytest.param(lambda options, index: os.kill(os.getpid(), signal.SIGFPE), "PyTorch's", id="while-drawing"),
        pytest.param(drawn(LEAST), "PyTorch's", id="eagerly"),
        pytest.param(drawn(simple("{0} * 3")), "ours", id="compiled"),
        pytest.param(drawn(simple("no_such_function({0})")), "ours", id="with-an-error"),
    ],
)
def test_what_pytorch_itself_ends_is_no_find(monkeypatch: pytest.MonkeyPatch, source: Any, whose: str) -> None:
    monkeypatch.setattr(sources, "program", source)
    answer = runner._ended(0, Options())
    assert ("SIGFPE" in answer.get("note", "")) == (whose == "PyTorch's"), answer
    assert (answer["program"] is None) == (whose == "PyTorch's"), answer


@pytest.mark.parametrize("dtype", ["int64", "int32", "int16", "int8"])
@pytest.mark.parametrize(
    "code", ["torch.div({0}, {1}, rounding_mode='trunc')", "torch.div({0}, -1, rounding_mode='trunc')"]
)
def test_a_division_that_ends_the_process_is_not_drawn(dtype: str, code: str) -> None:
    g = Draw(random.Random(0))
    least, minus_one = g.constant(dtype, [1]), g.constant(dtype, [1])
    for environment in g.environments:
        environment[least.name].fill_(torch.iinfo(getattr(torch, dtype)).min)
        environment[minus_one.name].fill_(-1)
    assert g.emit(code, least, minus_one) is None
    assert g.emit("{0} // {1}", least, minus_one) is not None
    assert g.emit(code.replace("-1", "2"), minus_one, minus_one) is not None


def test_a_process_that_ends_leaves_its_last_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine far away the journal is all there is."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path for path in sys.path if path))
    process = runner.Worker(Options())
    process._process.stdin.write(b"no request\n")  # type: ignore[union-attr]
    assert process.ask({"index": 0}, 60.0) is None
    assert "the process ended with 1; it said:" in process.ended
    assert "JSONDecodeError" in process.ended


def test_lanes_share_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def answers(request: dict[str, Any]) -> dict[str, Any]:
        asked.append(request["index"])
        time.sleep(0.01)
        return verdict()

    made, _ = run_with(monkeypatch, answers, 40, jobs=4)
    assert sorted(asked) == list(range(40))
    assert (made["count"], made["ways"]) == (40, {"module": 40})


def test_a_find_is_told_once_and_counted_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    made, told = run_with(monkeypatch, lambda request: verdict(oracle.Find("value", "module", "result 0")), 7)
    assert told.count("=== value") == 1
    assert len(made["finds"]) == runner.SHRUNK
    repeated = made["repeated"]["value: {0} * 3"]
    assert [find["index"] for find in repeated] == [2, 3, 4, 5, 6]
    assert f"\n# {repeated[0]['program']}\n" in told


def test_a_limit_counts_as_one_however_many_are_being_shrunk(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = {**verdict(oracle.Find("alias", "module", "result 0")), "limit": "a limit"}
    made, told = run_with(monkeypatch, lambda request: answer, 7)
    assert (made["finds"], made["repeated"], made["limits"]) == ([], {}, {"a limit": 7})
    assert "===" not in told


def test_what_is_built_only_is_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    targets: list[str] = []

    def built(exported: ExportedProgram, target: str) -> nn.Module:
        targets.append(target)
        return Faulty(exported, raises)

    monkeypatch.setattr(ways, "compile_program", built)
    assert not oracle.check(simple("{0} * 3"), ["torchscript"], target="tensorrt_rtx").finds
    assert targets == ["tensorrt_rtx"]


def test_programs_with_an_operator() -> None:
    for index in range(5):
        program = sources.program(Options(only=r"torch\.clamp"), index)
        assert program is not None
        assert any("torch.clamp" in code for code in program.operators())
        assert program.origin == f"python -m differential --only 'torch\\.clamp' --seed 0 --index {index}"
    assert sources.program(Options(only="no such operator"), 0) is None


def test_a_program_for_a_gpu_makes_its_tensors_there() -> None:
    """As text: there is no GPU here. Calls that eager refuses are left out: an index outside ends the use of a GPU."""
    program = Program(
        inputs=[Input("x0", "float32", [3]), Input("x1", "int64", [1], fill=Fill("indices", 1, 0, 2, specials=1))],
        constants=[Constant("w0", "float32", [3])],
        steps=[Step(["v0"], "{0}[{1}]", ["x0", "x1"]), Step(["v1"], "torch.arange({0}.shape[0])", ["w0"])],
        outputs=["v0", "v1"],
    )
    sources._move(program, "cuda")
    assert program.calls == [0, 0]
    assert program.steps[1].code == "torch.arange({0}.shape[0], device='cuda')"
    assert ".to('cuda')" in script(program)
    assert "targets=['tensorrt']" in script(program, target="tensorrt")


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.slow
def test_the_command_checks_programs_and_keeps_the_journal(tmp_path: Path) -> None:
    journal = tmp_path / "journal.jsonl"
    arguments = ["--seed", "11", "--count", "4", "--jobs", "2", "--shrink-seconds", "0", "--journal", str(journal)]
    for total in (4, 8):
        done = subprocess.run(
            [sys.executable, "-m", "differential", *arguments],
            cwd=Path(__file__).resolve().parent.parent,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode in (0, 1), done.stderr
        assert f"journal: {total} programs" in done.stdout


def test_the_order_of_a_sum_that_overflows_is_free(plant: Any) -> None:
    """[3e38, 3e38, -3e38] summed from either end is infinite or 3e38; a lost NaN of finite sums is still a find."""
    program = simple("{0}.sum(1)")
    program.steps[0].noise = oracle.SUM
    program.inputs = [Input("x0", "float32", [1, 3], fill=Fill("values", values=[3e38, 3e38, -3e38]))]
    plant(lambda self, inputs: torch.full((1,), float("nan")))
    assert not oracle.check(program).finds
    program.inputs = [Input("x0", "float32", [1, 3], fill=Fill("values", values=[-1.5e38, 2e38, 2e38]))]
    plant(lambda self, inputs: torch.full((1,), float("inf")))
    assert not oracle.check(program).finds
    program.inputs = [Input("x0", "float32", [1, 3], fill=Fill("values", values=[1.0, float("nan"), 2.0]))]
    plant(lambda self, inputs: torch.full((1,), 3.0))
    assert oracle.check(program).finds


def test_numbers_whose_squares_are_beyond_float64_are_measured(plant: Any) -> None:
    """A run that fails in the oracle explains nothing, and a rounding would be a find."""
    program = simple("{0} @ {0}.mT")
    program.steps[0].noise = oracle.SUM
    program.inputs = [Input("x0", "float64", [2, 2], fill=Fill("values", values=[3e277]))]
    assert all(run[0].error is None for run in oracle.perturbed_calls(program, [0]))


def test_what_hardly_moves_in_a_few_runs_is_a_rounding(plant: Any) -> None:
    """Of a thousand elements some move by less than a tenth of the noise in each of eight runs."""
    program = simple("{0} * 3")
    program.steps[0].noise = 4.0
    program.inputs = [Input("x0", "float32", [4096], fill=Fill("values", values=[1.0]))]
    plant(lambda self, inputs: inputs[0] * 3 + 2.5e-6)
    assert not oracle.check(program).finds
    plant(lambda self, inputs: inputs[0] * 3 + 1e-3)
    assert oracle.check(program).finds


def test_a_residue_within_the_noise_may_be_nothing(plant: Any) -> None:
    program = Program(
        inputs=[Input("x0", "float32", [4], fill=Fill("values", values=[1e-9, 1.0, 1e-9, 1.0]))],
        constants=[],
        steps=[Step(["v0"], "{0} * 1.5", ["x0"], noise=4.0), Step(["v1"], "torch.logical_not({0})", ["v0"])],
        outputs=["v1"],
    )
    plant(lambda self, inputs: torch.tensor([True, False, True, False]))
    assert not oracle.check(program).finds
    plant(lambda self, inputs: torch.tensor([True, True, True, False]))
    assert oracle.check(program).finds


def test_the_end_of_a_long_error_is_told() -> None:
    said = oracle._said(
        RuntimeError("Traceback\n" + "x" * 5000 + "\nRuntimeError: dimension 0: 1 is outside the range [2, 8]")
    )
    assert len(said) < 1100
    assert said.endswith("dimension 0: 1 is outside the range [2, 8]")


def test_everything_of_a_program_is_read() -> None:
    """An operator whose result nobody reads raises in eager only."""
    for index in range(100):
        program = draw(8, index)
        read = {name for step in program.steps for name in step.args} | set(program.outputs)
        assert all(not step.out or read & set(step.out) for step in program.steps), script(program)


def test_what_is_written_in_place_may_be_wider_too(plant: Any) -> None:
    program = simple("{0} - 1")
    program.inputs = [Input("x0", "float16", [8], fill=Fill("values", values=[1.02, 0.98, 1.01, 0.3]))]
    program.steps = [Step([], "{0}.mul_({0})", ["x0"]), Step(["v0"], "{0} - 1", ["x0"])]

    def planted(error: float) -> Any:
        def fault(self: Faulty, inputs: tuple[Any, ...]) -> Any:
            square = inputs[0].float() ** 2
            inputs[0].copy_(square)
            return (square - 1 + error).half()

        return fault

    plant(planted(0.0))
    assert not oracle.check(program).finds
    plant(planted(0.01))
    assert oracle.check(program).finds


def test_a_call_that_raises_need_not_have_written(plant: Any) -> None:
    program = Program(
        inputs=[Input("x0", "float32", ["s0"])],
        constants=[Constant("w0", "float32", [], Fill("values", values=[1.0]))],
        steps=[Step([], "{0}.add_(1)", ["w0"]), Step(["v0"], "{0}.max() + {1}", ["x0", "w0"])],
        outputs=["v0"],
        dims={"s0": Dim(0, 8, [3, 0])},
    )

    def first_asks(self: Faulty, inputs: tuple[Any, ...]) -> Any:
        inputs[0].max()
        return self.inner(*inputs)

    plant(first_asks)
    assert not oracle.check(program).finds
    plant(raises)
    assert oracle.check(program).finds


@pytest.mark.parametrize("control", controls.CONTROLS, ids=lambda control: control.name)
def test_a_control_still_applies(control: controls.Control) -> None:
    assert (controls.CHECKOUT / control.file).read_text().count(control.fixed) == 1


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "int32", "int64"])
def test_what_an_integer_does_not_hold_is_free(plant: Any, dtype: str) -> None:
    """Which integer a NaN becomes is for the processor to say: any of the dtype, not only a small one."""
    program = simple(f"{{0}}.to(torch.{dtype})")
    program.steps[0] = dataclasses.replace(program.steps[0], out=["v1"], unspecified=True)
    program.steps.append(Step(["v0"], "torch.amax({0}, 0)", ["v1"]))
    greatest = torch.tensor(torch.iinfo(getattr(torch, dtype)).max, dtype=getattr(torch, dtype))
    plant(lambda self, inputs: greatest)
    for value, kinds in ((float("nan"), []), (5.5, ["value"])):
        program.inputs = [Input("x0", "float32", [2], fill=Fill("values", values=[value, 3.5]))]
        assert [find.kind for find in oracle.check(program).finds] == kinds
