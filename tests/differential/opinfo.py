# SPDX-License-Identifier: Apache-2.0
"""Programs of one operator, from the samples that PyTorch tests its own operators with (OpInfo)."""

from __future__ import annotations

import functools
import itertools
import random
import warnings
from typing import Any

import torch

from .program import Fill, Input, Program, Step

MOST_ELEMENTS = 2048
DTYPES = ("float32", "int64", "bfloat16", "float16", "bool", "uint8", "int32", "float64")
_UNFIT = (
    "rand",
    "multinomial",
    "bernoulli",
    "normal",
    "uniform",
    "cauchy",
    "exponential",
    "geometric",
    "empty",
    "dropout",
)
"""Names of operators whose results are random or memory as it was."""


@functools.cache
def _samples_of() -> list[tuple[Any, str]]:
    """OpInfos that can be written as a line of Python, with the dtypes that they take."""
    from torch.testing._internal.common_methods_invocations import op_db

    found = []
    for info in op_db:
        if _spelled(info.name) is None or any(name in info.name for name in _UNFIT):
            continue
        supported = {str(dtype).removeprefix("torch.") for dtype in info.dtypes}
        found += [(info, dtype) for dtype in DTYPES if dtype in supported]
    random.Random(0).shuffle(found)
    return found


def _spelled(name: str) -> str | None:
    """The function as a program calls it."""
    if name.startswith("nn.functional."):
        name = "F." + name.removeprefix("nn.functional.")
        return name if hasattr(torch.nn.functional, name.removeprefix("F.")) else None
    owner: Any = torch
    for part in name.split("."):
        owner = getattr(owner, part, None)
    if callable(owner) and not name.startswith("_"):
        return f"torch.{name}"
    return f"torch.Tensor.{name}" if hasattr(torch.Tensor, name) and not name.startswith("_") else None


def program(seed: int, index: int) -> Program | None:
    """The sample number `index`: operators first, so that a short run has seen them all. None where the sample has no
    form as a program (no tensor, too large, complex, sparse)."""
    pairs = _samples_of()
    info, dtype = pairs[index % len(pairs)]
    if "sparse" in info.name:
        return None
    torch.manual_seed(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            samples = info.sample_inputs(torch.device("cpu"), getattr(torch, dtype))
            chosen = list(itertools.islice(samples, 24))
        except Exception:  # it needs a package that is not here, say
            return None
    if not chosen:
        return None
    return _program(info.name, chosen[(index // len(pairs) * 7 + index) % len(chosen)])


def _program(name: str, sample: Any) -> Program | None:
    inputs: list[Input] = []

    def text(item: Any) -> str:
        if isinstance(item, torch.Tensor):
            if item.numel() > MOST_ELEMENTS or item.is_complex() or item.layout != torch.strided or item.is_quantized:
                raise ValueError("a tensor of another kind")
            listed = item.detach().flatten().tolist() or [0]
            dtype = str(item.dtype).removeprefix("torch.")
            inputs.append(Input(f"x{len(inputs)}", dtype, list(item.shape), fill=Fill("values", values=listed)))
            return f"{{{len(inputs) - 1}}}"
        if isinstance(item, (list, tuple)):
            parts = ", ".join(text(part) for part in item)
            return f"[{parts}]" if isinstance(item, list) else f"({parts}{',' if len(item) == 1 else ''})"
        if item is None or isinstance(item, (bool, int, float, str, torch.dtype)):
            return f"float('{item}')" if isinstance(item, float) and item - item != 0 else repr(item)
        if item is Ellipsis:
            return "..."
        if isinstance(item, slice):
            return f"slice({text(item.start)}, {text(item.stop)}, {text(item.step)})"
        raise ValueError(f"an argument of type {type(item).__name__}")

    try:
        arguments = [text(item) for item in (sample.input, *sample.args)]
        arguments += [f"{key}={text(value)}" for key, value in sample.kwargs.items()]
    except ValueError:
        return None
    if not inputs:
        return None
    code = f"{_spelled(name)}({', '.join(arguments)})"
    return Program(inputs, [], [Step(["v0"], code, [item.name for item in inputs], noise=8.0)], ["v0"], calls=[0, 0])
