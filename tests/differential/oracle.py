# SPDX-License-Identifier: Apache-2.0
"""Runs a program eagerly and in the ways to run it, and compares.

Eager PyTorch on fresh memory is right. Compared are values (NaN and infinities by position; integers exactly), shapes,
dtypes, errors, what a call writes (inputs with all memory around them, buffers), what compiling and saving leave behind
(the caller's module, its inputs, the random state), and sharing: a write into a result changes nothing that it
would not change in eager PyTorch.

**What is a rounding.** No fixed tolerance is right for programs drawn at random: a difference of nearly equal numbers
makes one rounding as large as the result. So a result beyond the dtype's tolerance is judged by running the program
again in eager PyTorch, step by step, with every leaf and every result moved by an ulp: what these runs show is what
roundings can do, and only a difference well outside of it is a find. One more run holds half precision in float32
between steps, since engines may compute wider. These runs cost nothing where answers agree.
"""

from __future__ import annotations

import contextlib
import dataclasses
import re
import tempfile
import time
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils import _pytree as pytree

from torch_tensorrt._engine import engines_of

from . import ways
from .program import (
    Program,
    Step,
    _namespace,
    _rendered,
    constant_tensors,
    input_tensors,
    make_module,
)

TOLERANCE = {torch.float32: 1.3e-6, torch.float16: 1e-3, torch.bfloat16: 1.6e-2, torch.float64: 1e-12}
"""Relative: those of torch.testing, which allow about ten roundings in float32 and two in bfloat16."""
PERTURBED_RUNS = 8
MORE_RUNS = 64
"""Where eight leave a difference: of thousands of elements, some move hardly in any of eight."""
ALLOWANCE = {torch.float32: 4.0, torch.float64: 4.0, torch.float16: 1.5, torch.bfloat16: 1.5}
"""A difference of this many times what the perturbed runs show is a find. Less for half precision: what is inside an
operator is computed in float32 there, so only the results of steps are rounded."""
SUM = 2.0
"""The noise of steps that sum products or elements."""
HALVES = (torch.float16, torch.bfloat16)
MEASURED = ("value", "shape", "input", "state")
"""Kinds of finds that perturbed runs can explain."""
ERRORS = ("error", "compile", "save", "load", "gradient")
"""Kinds of finds that are known by their message."""


@dataclasses.dataclass
class Find:
    kind: str
    """value, shape, dtype, error, no error, error kind, state, input, alias, caller, compile, save, load, gradient."""
    way: str
    message: str

    def text(self) -> str:
        return f"{self.kind} ({self.way}): {self.message}"


@dataclasses.dataclass
class Verdict:
    """What became of a program."""

    finds: list[Find] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)
    """Why it was not compared as a whole: torch.export refuses it; torch.export's own program differs from eager."""
    ways: list[str] = dataclasses.field(default_factory=list)
    seconds: dict[str, float] = dataclasses.field(default_factory=dict)
    engines: int = 0
    engine_calls: int = 0
    exact_calls: int = 0
    """Of these calls of engines, those that their exact form answered."""


# --- one sequence of calls --------------------------------------------------------------------------------------------


@dataclasses.dataclass
class Call:
    number: int
    results: list[Any] | None
    error: BaseException | None
    inputs: list[torch.Tensor]
    """All memory of each input, after the call."""
    buffers: dict[str, torch.Tensor]


def memory(tensor: torch.Tensor) -> torch.Tensor:
    """Everything in the tensor's storage, as a flat tensor over it."""
    return tensor.detach().new_empty(0).set_(tensor.untyped_storage())


def buffers_of(run: Any) -> dict[str, torch.Tensor]:
    """Copies of buffers by name, where the way has any to look at."""
    try:
        return {
            name.rpartition(".")[2]: buffer.detach().clone() for name, buffer in run.named_buffers() if buffer.numel()
        }
    except (AttributeError, RuntimeError):
        return {}


def run_calls(run: Callable[..., Any], program: Program, numbers: Sequence[int]) -> list[Call]:
    """Calls with fresh inputs each. Results are copied at once; what writes do to them is for `sharing`."""
    calls = []
    for number in numbers:
        inputs = input_tensors(program, number)
        results, error = None, None
        try:
            with torch.no_grad():
                results = [copied(leaf) for leaf in pytree.tree_leaves(run(*inputs))]
            settle_gpu(inputs)
        except Exception as raised:
            error = raised
        calls.append(Call(number, results, error, [memory(tensor).clone() for tensor in inputs], buffers_of(run)))
    return calls


def settle_gpu(near: Iterable[torch.Tensor]) -> None:
    """Waits for the GPU, so that an error of its kernels belongs to what started them."""
    if any(tensor.is_cuda for tensor in near):
        torch.cuda.synchronize()


def copied(leaf: Any) -> Any:
    return leaf.detach().clone() if isinstance(leaf, torch.Tensor) else leaf


# --- comparison -------------------------------------------------------------------------------------------------------


def mismatch(actual: Any, expected: Any) -> tuple[str, torch.Tensor | None]:
    """(what differs, where); ("", None) where nothing does."""
    if not isinstance(expected, torch.Tensor) or not isinstance(actual, torch.Tensor):
        return ("", None) if type(actual) is type(expected) and actual == expected else (f"value: {actual!r}", None)
    if actual.device != expected.device:
        return f"device: {actual.device} instead of {expected.device}", None
    if actual.dtype != expected.dtype:
        return f"dtype: {actual.dtype} instead of {expected.dtype}", None
    if actual.shape != expected.shape:
        return f"shape: {tuple(actual.shape)} instead of {tuple(expected.shape)}", None
    if not expected.is_floating_point():
        wrong = actual != expected
    else:
        one, other = actual.double(), expected.double()
        near = (one - other).abs() <= TOLERANCE[expected.dtype] * other.abs()
        wrong = ~(near | (one == other) | (one.isnan() & other.isnan()))
    return ("value", wrong) if bool(wrong.any()) else ("", None)


def describe(actual: torch.Tensor, expected: torch.Tensor, wrong: torch.Tensor) -> str:
    count = int(wrong.sum())
    first = tuple(wrong.nonzero()[0].tolist())
    given, wanted = actual[first].item(), expected[first].item()
    return f"{count} of {wrong.numel()} elements, at {list(first)} {given!r} instead of {wanted!r}"


# --- what roundings can do --------------------------------------------------------------------------------------------


def _largest(tensors: Sequence[Any]) -> float:
    sizes = [
        tensor.detach().double().nan_to_num(0, 0, 0).abs().max().item()
        for tensor in tensors
        if isinstance(tensor, torch.Tensor) and tensor.is_floating_point() and tensor.numel()
    ]
    return max(sizes, default=0.0)


_MOVES = re.compile(r"\.(zero|fill|copy)_\(|\] = ")
"""Writes that round nothing."""


_WIDE = re.compile(r"F\.(layer|rms|group|instance)_norm\(|torch\.(var|std|mean|sum)\(")
"""Operators that eager computes in float32 from half precision, in one kernel: only their results are rounded."""


_NORM = re.compile(r"F\.(layer|group|instance)_norm\(")
_ROUNDS_NORMALIZED = torch.cpu._is_avx512_bf16_supported()
"""Where the processor computes bfloat16, the vendor rounds normalized numbers before they are scaled and shifted
(docs/semantics.md, "Not promised")."""


def _eps(step: Step, result: torch.Tensor) -> float:
    """The precision that the step's roundings have."""
    if result.dtype not in HALVES or not _WIDE.match(step.code):
        return torch.finfo(result.dtype).eps
    # Where there is no variance, normalization makes 1 / sqrt(1e-5) = 316 of its roundings.
    return torch.finfo(torch.float32).eps * (64 if "_norm" in step.code else 1)


class _Perturbed:
    """The program in eager PyTorch, step by step, every number moved by an ulp; or (`wide`) half precision held in
    float32 between steps. Keeps its state from call to call."""

    def __init__(self, program: Program, seed: int, wide: bool = False) -> None:
        self._program = program
        self._wide = wide
        self._generator = torch.Generator().manual_seed(seed)
        self._constants = constant_tensors(program)
        if not wide:
            written = {step.args[0] for step in program.steps if not step.out}
            for name, tensor in self._constants.items():
                if name not in written and tensor.dtype not in HALVES:
                    self._constants[name] = self._moved(tensor, 0.0)
        self._scope = _namespace()

    def _moved(self, tensor: Any, noise: float) -> Any:
        if not isinstance(tensor, torch.Tensor) or not tensor.is_floating_point() or not tensor.numel():
            return tensor
        info = torch.finfo(tensor.dtype)
        steps = torch.randint(-2, 3, tensor.shape, generator=self._generator).to(tensor.device)
        added = torch.randn(tensor.shape, generator=self._generator).to(tensor.device) * noise
        wide = tensor.double()
        moved = wide * (1 + steps * (info.eps / 2)) + added
        if noise:  # the one number that others are told from, and that a sum with noise never is
            zeros = torch.rand(tensor.shape, generator=self._generator).to(tensor.device) < 0.25
            moved = torch.where((wide.abs() <= noise) & zeros, 0.0, moved)
        return torch.where(wide.isfinite(), moved, wide).to(tensor.dtype)

    def _after(self, step: Step, values: dict[str, Any]) -> None:
        operands = [values[name] for name in step.args]
        if not step.out and not self._wide and not _MOVES.search(step.code):
            with contextlib.suppress(RuntimeError):  # several elements in one place
                operands[0].copy_(self._moved(operands[0], 0.0))
        for name in step.out:
            tensor = values[name]
            if not isinstance(tensor, torch.Tensor):
                continue
            if step.unspecified and not tensor.is_floating_point() and tensor.numel():
                source = values[step.args[0]]
                limits = torch.iinfo(tensor.dtype)
                whole = source.double().trunc()
                wrong = ~((whole >= limits.min) & (whole <= limits.max))
                other = torch.randint(limits.min, limits.max, tensor.shape, generator=self._generator).to(tensor)
                values[name] = torch.where(wrong, other, tensor)
            if self._wide or not tensor.is_floating_point() or not tensor.numel():
                continue
            if any(_shares(tensor, other) for other in operands):
                continue  # a view moves numbers and rounds nothing; and it must stay a view
            tensor = self._summed(step, tensor, operands)
            noise = step.noise * _eps(step, tensor) * _largest([tensor, *operands]) if step.noise else 0.0
            if _ROUNDS_NORMALIZED and tensor.dtype == torch.bfloat16 and _NORM.match(step.code):
                noise += torch.finfo(tensor.dtype).eps * max(_largest(operands[1:]), 1.0)
            values[name] = self._moved(tensor, noise)

    def _summed(self, step: Step, tensor: torch.Tensor, operands: Sequence[Any]) -> torch.Tensor:
        """Sums whose terms reach the end of the range: whether a partial sum overflows is for their order to decide."""
        largest = _largest(operands)
        terms = largest * largest if len(operands) > 1 else largest
        summed_in = torch.float64 if tensor.dtype == torch.float64 else torch.float32
        if "conv_transpose" in step.code and tensor.dtype in HALVES:
            summed_in = tensor.dtype  # eager adds up what one window after the other writes into the result
        is_sum = step.noise == SUM or "mode='area'" in step.code
        if not is_sum or terms < torch.finfo(summed_in).max / 1e6:
            return tensor
        others = torch.tensor([float("nan"), float("inf"), float("-inf")])
        drawn = others[torch.randint(0, 3, tensor.shape, generator=self._generator)].to(tensor)
        is_far = tensor.double().abs() < torch.finfo(summed_in).max / 64  # from where a partial sum overflows
        return torch.where(is_far, tensor, drawn)

    def __call__(self, *inputs: torch.Tensor) -> list[Any]:
        program = self._program
        written = {step.args[0] for step in program.steps if not step.out}
        values: dict[str, Any] = dict(self._constants)
        written_wide: dict[str, torch.Tensor] = {}
        for item, tensor in zip(program.inputs, inputs, strict=True):
            move = not self._wide and item.name not in written and tensor.dtype not in HALVES
            values[item.name] = self._moved(tensor, 0.0) if move else tensor
        for step in program.steps:
            local = {**self._scope, **values}
            if self._wide:
                for name in step.args:
                    if isinstance(values[name], torch.Tensor) and values[name].dtype in HALVES:
                        local[name] = written_wide.get(name, values[name].float())
            target = None if step.out else step.args[0]
            exec(_rendered(step, lambda name: name), local)
            if self._wide and target is not None and local[target] is not values[target]:
                written_wide[target] = local[target]  # what is read behind the write may be wider than what is kept
                values[target].copy_(local[target])
            for name in step.out:
                values[name] = local[name]
            self._after(step, values)
        return [values[name] for name in program.outputs]

    def named_buffers(self) -> Any:
        return [(name, tensor) for name, tensor in self._constants.items()]


def _shares(one: torch.Tensor, other: Any) -> bool:
    return isinstance(other, torch.Tensor) and one.untyped_storage().data_ptr() == other.untyped_storage().data_ptr()


def perturbed_calls(program: Program, numbers: Sequence[int], count: int = PERTURBED_RUNS) -> list[list[Call]]:
    """The same calls with roundings moved, in several ways; the run in wide precision is left out where it fails."""
    runs = [run_calls(_Perturbed(program, seed), program, numbers) for seed in range(count)]
    halves = {"float16", "bfloat16"}
    if any(item.dtype in halves for item in (*program.inputs, *program.constants)) or "half" in "".join(
        program.operators()
    ):
        runs.append(run_calls(_Perturbed(program, 0, wide=True), program, numbers))
    return runs


def unexplained(
    actual: torch.Tensor, expected: torch.Tensor, wrong: torch.Tensor, others: Sequence[Any]
) -> torch.Tensor:
    """Which of the differences roundings do not make, by results of perturbed runs."""
    spread = torch.zeros_like(expected, dtype=torch.float64)
    classes = torch.zeros_like(expected, dtype=torch.bool)
    base = expected.double()
    for other in others:
        if not isinstance(other, torch.Tensor):
            continue
        if other.shape != expected.shape:
            return torch.zeros_like(wrong)  # how many there are depends on a rounding
        given = other.to(expected.dtype).double() if expected.is_floating_point() else other.double()
        if not expected.is_floating_point():
            classes |= other != expected
            continue
        both = given.isfinite() & base.isfinite()
        same = (given == base) | (given.isnan() & base.isnan())
        classes |= ~both & ~same
        spread = torch.maximum(spread, torch.where(both, (given - base).abs(), 0.0))
    if expected.is_floating_point():
        near = (actual.double() - base).abs() <= ALLOWANCE[expected.dtype] * spread + torch.finfo(
            expected.dtype
        ).smallest_normal * torch.finfo(expected.dtype).eps
        return wrong & ~near & ~classes
    return wrong & ~classes


# --- calls against calls ----------------------------------------------------------------------------------------------


def _error_kind(error: BaseException) -> str:
    return type(error).__name__


def _said(error: BaseException) -> str:
    """The error's text, the middle of a long one left out: TorchScript's says at its end what happened."""
    text = str(error)
    return text if len(text) <= 1000 else f"{text[:400]} ... {text[-600:]}"


def compare_calls(
    actual: Sequence[Call], expected: Sequence[Call], way: str, others: Callable[[], list[list[Call]]]
) -> Find | None:
    """The first difference that roundings do not explain. `others`: perturbed runs, made when needed."""
    for position, (mine, right) in enumerate(zip(actual, expected, strict=True)):
        where = f"call {position} (data {mine.number})"
        if mine.number < 0:  # outside the contract: an error, or eager's answer
            if mine.error is not None:
                continue
            if right.error is not None:
                return Find("no error", way, f"{where}: eager raises {right.error!r:.200}")
        if mine.error is not None and right.error is not None:
            if way == "module" and isinstance(right.error, IndexError) and not isinstance(mine.error, IndexError):
                return Find("error kind", way, f"{where}: {mine.error!r:.300} instead of {right.error!r:.200}")
            continue
        if mine.error is not None:
            return Find("error", way, f"{where}: {_error_kind(mine.error)}: {_said(mine.error)}")
        if right.error is not None:
            return Find("no error", way, f"{where}: eager raises {_error_kind(right.error)}: {str(right.error)[:200]}")
        assert mine.results is not None
        assert right.results is not None
        if len(mine.results) != len(right.results):
            return Find("structure", way, f"{where}: {len(mine.results)} results instead of {len(right.results)}")
        for index, (given, wanted) in enumerate(zip(mine.results, right.results, strict=True)):
            found = _judge(
                given, wanted, others, lambda run, at=index, call=position: run[call].results and run[call].results[at]
            )
            if found:
                return Find(found[0], way, f"{where}, result {index}: {found[1]}")
        for index, (given, wanted) in enumerate(zip(mine.inputs, right.inputs, strict=True)):
            found = _judge(given, wanted, others, lambda run, at=index, call=position: run[call].inputs[at])
            if found:
                return Find("input", way, f"{where}, memory of input {index} afterwards: {found[1]}")
        for name in mine.buffers.keys() & right.buffers.keys():
            found = _judge(
                mine.buffers[name],
                right.buffers[name],
                others,
                lambda run, at=name, call=position: run[call].buffers.get(at),
            )
            if found:
                return Find("state", way, f"{where}, buffer {name} afterwards: {found[1]}")
    return None


def _judge(
    given: Any, wanted: Any, others: Callable[[], list[list[Call]]], of: Callable[[list[Call]], Any]
) -> tuple[str, str] | None:
    what, wrong = mismatch(given, wanted)
    if not what:
        return None
    results = [result for run in others() if (result := of(run)) is not None]
    if wrong is None:
        depends = what.startswith("shape") and any(
            isinstance(other, torch.Tensor) and other.shape != wanted.shape for other in results
        )
        return None if depends else (what.partition(":")[0], what.partition(": ")[2])
    left = unexplained(given, wanted, wrong, results)
    return ("value", describe(given, wanted, left)) if bool(left.any()) else None


# --- sharing ----------------------------------------------------------------------------------------------------------


def _poison(tensor: torch.Tensor) -> bool:
    """Writes something else into every element; whether that was possible."""
    try:
        with torch.no_grad():
            if tensor.dtype == torch.bool:
                tensor.logical_not_()
            else:
                tensor.fill_(77 if tensor.numel() and float(tensor.flatten()[0]) != 77 else 78)
        return True
    except RuntimeError:
        return False


def sharing(run: Any, program: Program) -> tuple[dict[tuple[str, str], bool], Call, Collection[str]] | None:
    """What a write into each result changes ((result, other) -> True), a call after all writes, and the names of what
    was looked at; None where the call fails."""
    inputs = input_tensors(program, 0)
    try:
        with torch.no_grad():
            results = [leaf for leaf in pytree.tree_leaves(run(*inputs)) if isinstance(leaf, torch.Tensor)]
    except Exception:
        return None
    try:
        live = dict(run.named_buffers())
    except (AttributeError, RuntimeError):
        live = {}
    live = {name.rpartition(".")[2]: buffer for name, buffer in live.items()}
    things: dict[str, torch.Tensor] = {f"result {index}": tensor for index, tensor in enumerate(results)}
    things.update({f"input {index}": tensor for index, tensor in enumerate(inputs)})
    things.update({f"buffer {name}": tensor for name, tensor in live.items()})
    changed: dict[tuple[str, str], bool] = {}
    for index, tensor in enumerate(results):
        if not tensor.numel():
            continue
        # As bytes: a copy of memory that was never written, in bool, has other bytes.
        before = {name: memory(other).view(torch.uint8).clone() for name, other in things.items()}
        if not _poison(tensor):
            changed[(f"result {index}", "cannot be written")] = True
            continue
        for name, other in things.items():
            if name != f"result {index}" and not _identical(memory(other).view(torch.uint8), before[name]):
                changed[(f"result {index}", name)] = True
    return changed, run_calls(run, program, [0])[0], things.keys()


def _identical(one: torch.Tensor, other: torch.Tensor) -> bool:
    return torch.equal(one.view(torch.uint8), other.view(torch.uint8)) if one.shape == other.shape else False


def compare_sharing(
    run: Any, eager: nn.Module, program: Program, way: str, others: Callable[[], list[list[Call]]]
) -> Find | None:
    mine, right = sharing(run, program), sharing(eager, program)
    if mine is None or right is None:
        return None
    for pair in mine[0]:
        if pair not in right[0]:
            what = "it cannot be written" if pair[1] == "cannot be written" else f"a write changes {pair[1]}"
            return Find("alias", way, f"{pair[0]}: {what}, which it does not in eager")
    for pair in right[0]:
        if pair not in mine[0] and pair[1] in mine[2]:
            return Find("alias", way, f"{pair[0]}: a write does not change {pair[1]}, as it does in eager")
    if not any(name.startswith("buffer") for _, name in right[0]):
        found = compare_calls([mine[1]], [right[1]], way, others)
        if found:
            return Find("alias", way, f"after writes into results: {found.message}")
    return None


# --- a program --------------------------------------------------------------------------------------------------------


def _caller_unchanged(
    module: nn.Module, program: Program, inputs: Sequence[torch.Tensor], random_state: torch.Tensor, after: str
) -> Find | None:
    for name, tensor in constant_tensors(program).items():
        if not _identical(memory(getattr(module, name)), memory(tensor)):
            return Find("caller", "module", f"{after} changed the caller's {name}")
    for index, (tensor, fresh) in enumerate(zip(inputs, input_tensors(program, 0), strict=True)):
        if not _identical(memory(tensor), memory(fresh)):
            return Find("caller", "module", f"{after} changed the caller's input {index}")
    if not torch.equal(torch.get_rng_state(), random_state):
        return Find("caller", "module", f"{after} changed the random state")
    return None


def check(program: Program, other_ways: Sequence[str] = (), gradients: bool = False, target: str = "") -> Verdict:
    """Compiles, saves, loads and runs the program, and compares all of it with eager, to the first find of each way.
    For a target that only builds, compiling is all."""
    verdict = Verdict()
    with _full_precision(), warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
        warnings.simplefilter("ignore")
        _check(program, other_ways, gradients, target, verdict, Path(folder))
    return verdict


@contextlib.contextmanager
def _full_precision() -> Iterator[None]:
    """Eager's own kernels for GPUs round to fewer bits than the dtype has, unless they are asked not to."""
    torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction = False
    torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        yield


class _Eager:
    """The program's answers in eager PyTorch to sequences of calls, each made once."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._calls: dict[tuple[int, ...], list[Call]] = {}
        self._perturbed: dict[tuple[tuple[int, ...], int], list[list[Call]]] = {}

    def calls(self, numbers: tuple[int, ...]) -> list[Call]:
        if numbers not in self._calls:
            self._calls[numbers] = run_calls(make_module(self._program), self._program, numbers)
        return self._calls[numbers]

    def perturbed(self, numbers: tuple[int, ...], count: int = PERTURBED_RUNS) -> list[list[Call]]:
        if (numbers, count) not in self._perturbed:
            self._perturbed[numbers, count] = perturbed_calls(self._program, numbers, count)
        return self._perturbed[numbers, count]

    def compare(self, actual: Sequence[Call], numbers: tuple[int, ...], way: str) -> Find | None:
        """`actual` against the same calls in eager."""
        for count in (PERTURBED_RUNS, MORE_RUNS):
            found = compare_calls(actual, self.calls(numbers), way, lambda count=count: self.perturbed(numbers, count))
            if found is None or found.kind not in MEASURED:
                break
        return found

    def difference(self, run: Any, way: str) -> Find | None:
        """What `run` answers, writes and shares otherwise."""
        program = self._program
        actual = run_calls(run, program, program.calls)
        # A call that was refused because the program's contract does not allow it has not happened; eager's state may
        # have moved on in it.
        actual = [call for call in actual if call.number >= 0 or call.error is None]
        numbers = tuple(call.number for call in actual)
        found = self.compare(actual, numbers, way)
        fails = [right.error is not None for right in self.calls(numbers)]
        if found is not None and any(fails):
            # Nor need a call that raises have written what eager writes until it does.
            pairs = zip(actual, fails, strict=True)
            actual = [call for call, fails_too in pairs if call.error is None or not fails_too]
            numbers = tuple(call.number for call in actual)
            found = self.compare(actual, numbers, way)
        if found is not None:
            return found
        eager = make_module(program)
        run_calls(eager, program, numbers)
        after = (*numbers, 0, 0)  # the call whose results are written, and the one behind it

        def moved() -> list[list[Call]]:
            found = [calls[-1:] for calls in self.perturbed(after, MORE_RUNS)]
            if all(step.out for step in program.steps):  # the call was made before, and its roundings moved otherwise
                found += [[call] for calls in self.perturbed(numbers, MORE_RUNS) for call in calls if call.number == 0]
            return found

        return compare_sharing(run, eager, program, way, moved)


def _check(
    program: Program, other_ways: Sequence[str], gradients: bool, target: str, verdict: Verdict, folder: Path
) -> None:
    def timed(name: str, function: Callable[[], Any]) -> Any:
        start = time.perf_counter()
        try:
            done = function()
            settle_gpu(inputs)
            return done
        finally:
            verdict.seconds[name] = verdict.seconds.get(name, 0.0) + time.perf_counter() - start

    eager, inputs = _Eager(program), input_tensors(program, 0)
    first = timed("eager", lambda: eager.calls(tuple(program.calls)))[0]
    if first.error is not None:
        verdict.notes.append(f"eager refuses it: {first.error!r:.200}")
        return
    module = make_module(program)
    try:
        exported = timed("export", lambda: ways.capture(program, module, inputs))
    except ways.NotExportableError as error:
        verdict.notes.append(f"torch.export refuses it: {error!r:.200}")
        return
    state = torch.get_rng_state()
    try:
        compiled = timed("compile", lambda: ways.compile_program(exported, target))
    except Exception as error:
        verdict.finds.append(Find("compile", "module", f"{_error_kind(error)}: {str(error)[:600]}"))
        return
    report = getattr(compiled, "meta", {}).get("torch_tensorrt", {}).get("report")
    verdict.engines = sum(block.engine for block in report.blocks) if report is not None else 0

    def settle(find: Find | None) -> None:
        """A find, unless torch.export's own program has it too."""
        if find is None:
            return
        if find.kind not in ("caller", "save", "load") and _exports_own(program, find, eager):
            verdict.notes.append(f"torch.export's own program: {find.text()}")
        else:
            verdict.finds.append(find)

    settle(_caller_unchanged(module, program, inputs, state, "compile"))
    if target in ways.BUILT_ONLY:
        verdict.ways.append(f"built for {target}")
        return
    paths: dict[str, Path] = {}
    for way in other_ways:
        verdict.ways.append(way)
        try:
            paths[way] = timed(f"save {way}", lambda way=way: ways.save_program(compiled, way, folder))
        except Exception as error:
            verdict.finds.append(Find("save", way, f"{_error_kind(error)}: {str(error)[:600]}"))
    if other_ways:
        settle(_caller_unchanged(module, program, inputs, state, "save"))
    verdict.ways.append("module")
    runs: dict[str, Callable[..., Any]] = {"module": compiled}
    for way, path in paths.items():
        try:
            runs[way] = timed(f"load {way}", lambda path=path, way=way: ways.load_program(path, way))
        except Exception as error:
            if way == "exported_program" and not ways.is_readable(exported, folder):
                verdict.notes.append(f"torch.export cannot read its own program: {error!r:.200}")
            else:
                verdict.finds.append(Find("load", way, f"{_error_kind(error)}: {str(error)[:600]}"))
    for way, run in runs.items():
        settle(timed(f"run {way}", lambda run=run, way=way: eager.difference(run, way)))
    verdict.engine_calls = verdict.engines * (len(program.calls) + 2)  # `sharing` calls twice
    verdict.exact_calls = sum(sum(engine.exact_calls()) for engine in engines_of(compiled))
    if gradients and not verdict.finds:
        settle(check_gradients(compiled, program))


def run_without_us(program: Program) -> None:
    """What a check has PyTorch itself do, without compiling: an end of the process here is not ours."""
    with _full_precision(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        eager = _Eager(program)
        if eager.calls(tuple(program.calls))[0].error is None:
            eager.perturbed(tuple(program.calls))
            _exports_own(program, Find("", "module", ""), eager)


def _exports_own(program: Program, find: Find, eager: _Eager) -> bool:
    """Whether the module that torch.export makes of the program shows a difference of the same kind."""
    module = make_module(program)
    try:
        run = ways.capture(program, module, input_tensors(program, 0)).module()
    except Exception:
        return True
    found = eager.difference(run, find.way)
    return found is not None and found.kind == find.kind


def check_gradients(compiled: Any, program: Program) -> Find | None:
    """A result that depends on an input which requires a gradient has one, or the call says that it cannot. One without
    elements, which may be a constant, depends on none."""
    inputs = [
        tensor.clone().requires_grad_() if tensor.is_floating_point() else tensor
        for tensor in input_tensors(program, 0)
    ]
    eager_inputs = [tensor.detach().clone().requires_grad_(tensor.requires_grad) for tensor in inputs]
    try:
        with torch.enable_grad():
            wanted = pytree.tree_leaves(make_module(program)(*eager_inputs))
    except Exception:
        return None
    try:
        with torch.enable_grad():
            given = pytree.tree_leaves(compiled(*inputs))
    except Exception:
        return None
    for index, (one, other) in enumerate(zip(given, wanted, strict=True)):
        is_differentiable = isinstance(other, torch.Tensor) and other.requires_grad and other.numel() > 0
        if is_differentiable and not one.requires_grad:
            return Find("gradient", "module", f"result {index} has no gradient in silence")
    return None
