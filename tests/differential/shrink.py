# SPDX-License-Identifier: Apache-2.0
"""Makes a program that fails smaller, as long as it fails in the same way.

Every candidate is a whole program; whether it is valid is for eager PyTorch to say (a program that fails there at its
first call is no find), so the passes need not know what operators demand.
"""

from __future__ import annotations

import dataclasses
import re
import time
from collections.abc import Callable, Iterator

import torch

from .program import (
    Constant,
    Fill,
    Input,
    Program,
    clean,
    constant_tensors,
    input_tensors,
    run_steps,
    torch_dtype,
)

Fails = Callable[[Program], bool]


def shrink(program: Program, fails: Fails, seconds: float) -> Program:
    """The smallest program found in `seconds` for which `fails` is still true. `program` itself fails."""
    deadline = time.monotonic() + seconds
    best = clean(program)
    if not fails(best):
        return program
    progress = True
    while progress:
        progress = False
        for passes in (
            _fewer_calls,
            _fewer_outputs,
            _fewer_steps,
            _static_dims,
            _plainer,
            _smaller,
            _listed,
            _simpler_values,
        ):
            again = True
            while again:
                again = False
                for candidate in passes(best):
                    if time.monotonic() > deadline:
                        return best
                    cleaned = clean(candidate)
                    if cleaned.to_json() != best.to_json() and fails(cleaned):
                        best, again, progress = cleaned, True, True
                        break
    return best


# --- passes: each yields candidates, the boldest first ----------------------------------------------------------------


def _fewer_calls(program: Program) -> Iterator[Program]:
    candidates = [[0], [0, 1], *([*program.calls[:at], *program.calls[at + 1 :]] for at in range(len(program.calls)))]
    for calls in candidates:
        if calls and len(calls) < len(program.calls):
            yield dataclasses.replace(program.copy(), calls=calls)


def _fewer_outputs(program: Program) -> Iterator[Program]:
    if len(program.outputs) > 1:
        for name in program.outputs:
            yield dataclasses.replace(program.copy(), outputs=[name])
        for name in program.outputs:
            yield dataclasses.replace(program.copy(), outputs=[other for other in program.outputs if other != name])
    for position, name in enumerate(program.outputs):
        producer = next((step for step in program.steps if name in step.out), None)
        for operand in producer.args if producer else []:
            made = program.copy()
            made.outputs[position] = operand
            yield made


def _as_inputs(program: Program, names: list[str]) -> list[Input] | None:
    """New inputs that hold what the named values hold in the calls; None where that cannot be said."""
    runs = []
    on_cpu = dataclasses.replace(program, device="cpu")  # who forks may not touch a GPU
    for number in (0, 1):
        try:
            with torch.no_grad():
                runs.append(run_steps(on_cpu, input_tensors(on_cpu, number), lambda step, values: None))
        except Exception:
            break
    if not runs:
        return None
    by_sizes = {tuple(dim.sizes): name for name, dim in program.dims.items()}
    made = []
    for name in names:
        tensors = [run.get(name) for run in runs]
        first = tensors[0]
        if not isinstance(first, torch.Tensor):
            return None
        shape: list[int | str] = list(first.shape)
        if len(tensors) == 2 and isinstance(tensors[1], torch.Tensor) and program.dims:
            if tensors[1].dim() != first.dim():
                return None
            for axis, pair in enumerate(zip(first.shape, tensors[1].shape, strict=True)):
                if pair[0] != pair[1]:
                    if pair not in by_sizes:
                        return None
                    shape[axis] = by_sizes[pair]
        last = tensors[-1] if isinstance(tensors[-1], torch.Tensor) and tensors[-1].numel() else first
        listed = last.detach().flatten().tolist()[:4096] or [0]
        dtype = str(first.dtype).removeprefix("torch.")
        made.append(Input(f"x{name[1:]}{name[0]}", dtype, shape, fill=Fill("values", values=listed)))
    return made


def _fewer_steps(program: Program) -> Iterator[Program]:
    for position in range(len(program.steps) - 1, -1, -1):
        step = program.steps[position]
        if not step.out:
            made = program.copy()
            del made.steps[position]
            yield made
            continue
        for operand in step.args:  # the step's operand in place of its result
            made = program.copy()
            del made.steps[position]
            _rename(made, step.out[0], operand)
            yield made
        inputs = _as_inputs(program, step.out)
        if inputs is not None:
            made = program.copy()
            del made.steps[position]
            made.inputs += inputs
            for old, new in zip(step.out, inputs, strict=True):
                _rename(made, old, new.name)
            yield made


def _rename(program: Program, old: str, new: str) -> None:
    program.outputs = list(dict.fromkeys(new if name == old else name for name in program.outputs))
    for step in program.steps:
        step.args = [new if name == old else name for name in step.args]


def _static_dims(program: Program) -> Iterator[Program]:
    for name in program.dims:
        for run in (0, 1):
            made = program.copy()
            for item in made.inputs:
                item.shape = [made.dims[name].sizes[run] if size == name else size for size in item.shape]
            del made.dims[name]
            yield made


def _plainer(program: Program) -> Iterator[Program]:
    for position, item in enumerate(program.inputs):
        if item.layout != "contiguous":
            made = program.copy()
            made.inputs[position].layout = "contiguous"
            yield made
        if item.dtype in ("float16", "bfloat16", "float64"):
            made = program.copy()
            for leaf in (*made.inputs, *made.constants):
                if leaf.dtype == item.dtype:
                    leaf.dtype = "float32"
            yield made
    for position, constant in enumerate(program.constants):
        if constant.of is not None:
            made = program.copy()
            made.constants[position] = Constant(
                constant.name, constant.dtype, constant.shape, Fill("grid", position), constant.parameter
            )
            yield made
        if constant.parameter:
            made = program.copy()
            made.constants[position].parameter = False
            yield made
        elif constant.of is None:
            inputs = Input(f"x{constant.name[1:]}w", constant.dtype, list(constant.shape), fill=constant.fill)
            made = program.copy()
            made.inputs.append(inputs)
            _rename(made, constant.name, inputs.name)
            yield made
    for kind, position, leaf in _leaves(program):
        if leaf.fill.kind not in ("values", "grid", "integers"):
            made = program.copy()
            getattr(made, kind)[position].fill = Fill("grid", leaf.fill.seed)
            yield made
        if leaf.fill.specials:
            made = program.copy()
            getattr(made, kind)[position].fill.specials = 0
            yield made


def _leaves(program: Program) -> Iterator[tuple[str, int, Input | Constant]]:
    for position, item in enumerate(program.inputs):
        yield "inputs", position, item
    for position, constant in enumerate(program.constants):
        if constant.of is None:
            yield "constants", position, constant


def _smaller(program: Program) -> Iterator[Program]:
    sizes = {size for item in program.inputs for size in item.shape if isinstance(size, int)}
    sizes |= {size for constant in program.constants for size in constant.shape}
    for size in sorted(sizes, reverse=True):
        for less in (1, 2, 3):
            if less < size:
                made = program.copy()
                for leaf in (*made.inputs, *made.constants):
                    leaf.shape = [less if own == size else own for own in leaf.shape]
                yield made
    for kind, position, leaf in _leaves(program):
        for axis, size in enumerate(leaf.shape):
            if isinstance(size, int) and size > 1:
                made = program.copy()
                getattr(made, kind)[position].shape[axis] = 1
                yield made
        if len(leaf.shape) > 1 and isinstance(leaf.shape[0], int):
            made = program.copy()
            del getattr(made, kind)[position].shape[0]
            yield made


def _listed(program: Program) -> Iterator[Program]:
    """Elements as a list, so that the next pass can change one of them."""
    on_cpu = dataclasses.replace(program, device="cpu")
    inputs = {number: input_tensors(on_cpu, number) for number in (1, 0)}
    constants = constant_tensors(on_cpu)
    for kind, position, leaf in _leaves(program):
        if leaf.fill.kind == "values":
            continue
        for number in (1, 0):
            tensor = inputs[number][position] if kind == "inputs" else constants[leaf.name]
            if 0 < tensor.numel() <= 32:
                made = program.copy()
                getattr(made, kind)[position].fill = Fill("values", values=tensor.flatten().tolist())
                yield made


def _simpler_values(program: Program) -> Iterator[Program]:
    for kind, position, leaf in _leaves(program):
        values = leaf.fill.values
        if leaf.fill.kind != "values" or values is None or len(values) > 32:
            continue
        zero = torch.zeros((), dtype=torch_dtype(leaf.dtype)).item()
        one = torch.ones((), dtype=torch_dtype(leaf.dtype)).item()
        for simple in (one, zero):
            if any(not _equal(value, simple) for value in values):
                made = program.copy()
                getattr(made, kind)[position].fill.values = [simple]
                yield made
        for index, value in enumerate(values):
            if _equal(value, one) or _equal(value, zero):
                continue
            candidates = [one, zero]
            if isinstance(value, float) and abs(value) < 1e6 and value != round(value):
                candidates.append(float(round(value)))
            for simple in candidates:
                made = program.copy()
                getattr(made, kind)[position].fill.values[index] = simple
                yield made


def _equal(one: object, other: object) -> bool:
    return one == other and str(one) == str(other)


def signature(program: Program, kind: str) -> str:
    """What a find is about: its kind and its program's operators. Finds of one signature are one."""
    codes = sorted(
        {re.sub(r"-?\d+(\.\d+)?(e[-+]?\d+)?", "#", re.sub(r"\{\d\}", "@", step.code)) for step in program.steps}
    )
    return f"{kind}: {'; '.join(codes) or 'no operator'}"
