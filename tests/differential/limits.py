# SPDX-License-Identifier: Apache-2.0
"""Known limits: differences from eager PyTorch that stay, each with its reason and where a user can read of it.

A limit names the finds that it covers by patterns, and carries a program that shows it. `test_a_limit_still_happens`
runs it: a limit that is gone fails the test, so that it is taken out here and in the documentation.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch

from .oracle import Find
from .program import Constant, Dim, Fill, Input, Program, Step, constant_tensors, input_tensors, run_steps

_WRITES = r"^\{0\}(\[[^]]*\]|\.\w+\([^()]*\))*(\.\w+_\(|.* [-+*/]?= )"
"""A step that writes its first operand, or a view of it."""


def _shows(
    inputs: list[Input],
    steps: list[Step],
    outputs: list[str],
    calls: Sequence[int] = (0,),
    dims: dict[str, Dim] | None = None,
    buffers: Sequence[Constant] = (),
) -> str:
    """A program as JSON."""
    return Program(inputs, list(buffers), steps, outputs, dims or {}, list(calls)).to_json()


def _buffer(shape: list[int], fill: Fill, name: str = "w0") -> Constant:
    return Constant(name, "float32", shape, fill, parameter=False)


def _with_buffers(steps: list[Step], outputs: list[str]) -> str:
    """The same, beside two buffers of three numbers."""
    buffers = [_buffer([3], Fill("positive"), name) for name in ("w0", "w1")]
    return _shows([Input("x0", "float32", [2, 3, 4])], steps, outputs, buffers=buffers)


def _shows_tiny(code: str, values: list[float]) -> str:
    """The same, of one step on these numbers."""
    tiny = Input("x0", "float32", [1, len(values)], fill=Fill("values", values=values))
    return _shows([tiny], [Step(["v0"], code, ["x0"])], ["v0"])


@dataclasses.dataclass(frozen=True)
class Limit:
    name: str
    kind: str
    """Pattern of a find's kind."""
    code: str
    """Pattern that one of the program's steps, or of its inputs' layouts and its dtypes, matches."""
    message: str
    """Pattern of the find's message."""
    reason: str
    documented: str
    """File and heading."""
    beside: str = ""
    """Pattern that another (or the same) step or dtype of the program matches, too."""
    within: float = float("inf")
    """Only where the two numbers of the message are that near."""
    target: str = ""
    """The target that it is a limit of: "cpu", or one that a run names; "": every one."""
    way: str = ""
    """The way to run that it is a limit of."""
    torch: str = ""
    """Pattern of the releases of PyTorch that it is a limit of."""
    processor: str = ""
    """The processor's ability, as Linux names it, that it is a limit of."""
    nonfinite: bool = False
    """Only in programs where a NaN or an infinity comes up, or a number `beyond` this."""
    beyond: float = float("inf")
    tiny: bool = False
    """Only in programs that are given numbers near the dtype's least."""
    of_constants: bool = False
    """Only of results that depend on no input."""
    of_tiny_constants: bool = False
    """Only of results that depend on a constant which is given numbers near the dtype's least."""
    shows: str = ""
    """A program, as JSON, that differs while the limit is there."""

    def is_here(self) -> bool:
        return re.match(self.torch, torch.__version__) is not None and {self.processor} <= {"", *_abilities()}


LIMITS: tuple[Limit, ...] = (
    Limit(
        name="small sizes where no minimum was asked",
        kind="error",
        code=r"",
        message=r": [01] is outside the range \[2, ",
        reason="torch.export refuses the ranges that the program names and takes `Dim.AUTO` only, for which it writes "
        "a minimum of 2, whatever is asked, as it does where Python read whether the size is 1.",
        documented='docs/semantics.md, "Not promised"',
        shows=_shows(
            [Input("x0", "float32", ["s0", 3]), Input("x1", "float32", ["s1", 3])],
            [Step(["v0"], "torch.minimum({0}, {1})", ["x0", "x1"])],
            ["v0"],
            calls=[0, 1],
            dims={"s0": Dim(0, 8, [4, 0]), "s1": Dim(0, 8, [4, 0])},
        ),
    ),
    Limit(
        name="writes into expanded inputs",
        kind="error|compile",
        code=r"",
        message=r"more than one element of the written-to tensor refers to a single memory location",
        reason="PyTorch writes all elements of such a view in an order that it does not promise, and deprecates it.",
        documented='docs/semantics.md, "Not promised"',
        shows=_shows([Input("x0", "float32", [2, 3], "expanded")], [Step([], "{0}.zero_()", ["x0"])], ["x0"]),
    ),
    Limit(
        name="views of what is written",
        kind="alias",
        code=_WRITES,
        message=r"a write does not change",
        reason="What a model writes is written after its blocks: a view of it is a result of its own.",
        documented='docs/semantics.md, "Not promised"; docs/architecture.md, "Decisions and why"',
        shows=_shows(
            [Input("x0", "float32", [2, 3])],
            [Step([], "{0}.mul_(2)", ["x0"]), Step(["v0"], "{0}.t()", ["x0"])],
            ["v0"],
        ),
    ),
    Limit(
        name="views of statistics that batch norm writes",
        kind="alias",
        code=r"batch_norm\(.*training=True",
        message=r"a write does not change (buffer|input|result)",
        reason="What a model writes is written after its blocks: a view of it is a result of its own.",
        documented='docs/semantics.md, "Not promised"',
        shows=_with_buffers(
            [
                Step(["v0"], "F.batch_norm({0}, {1}, {2}, training=True)", ["x0", "w0", "w1"]),
                Step(["v1"], "{0}[:1]", ["w0"]),
                Step(["v2"], "torch.sin({0})", ["x0"]),
            ],
            ["v0", "v1", "v2"],
        ),
    ),
    Limit(
        name="reshapes of what attention gives",
        kind="alias",
        code=r"\.transpose\(1, 2\)\.flatten\(2\)",
        message=r"a write does not change result",
        beside=r"scaled_dot_product_attention",
        reason="Eager's kernel lays its result out as [batch, tokens, heads, width], so that the reshape is a view of "
        "it; an engine's results are contiguous, and the reshape is a result of its own.",
        documented='docs/semantics.md, "Not promised"',
        shows=_shows(
            [Input("x0", "float32", [2, 3, 4, 8])],
            [
                Step(["v0"], "{0}.transpose(1, 2)", ["x0"]),
                Step(["v1"], "F.scaled_dot_product_attention({0}, {0}, {0})", ["v0"]),
                Step(["v2"], "{0}.transpose(1, 2).flatten(2)", ["v1"]),
            ],
            ["v1", "v2"],
        ),
    ),
    Limit(
        name="strided inputs that AOTInductor packages write",
        kind="error",
        code=r"",
        message=r"expected a contiguous tensor",
        reason="Code that AOTInductor wrote reads memory as the example's lay; the package says what to call.",
        documented='docs/semantics.md, "Not promised"',
        way="aot_inductor",
        shows=_shows(
            [Input("x0", "float32", [2, 3], "transposed")],
            [Step(["v0"], "torch.igamma({0}, {0})", ["x0"]), Step([], "{0}.mul_(2)", ["x0"])],
            ["v0"],
        ),
    ),
    Limit(
        name="views of strided inputs in AOTInductor packages",
        kind="alias",
        code=r"",
        message=r"a write does not change (input|result)",
        beside=r"^(strided|transposed|offset|expanded|channels_last)$",
        reason="Packages read contiguous memory: other inputs are copied when Python calls them.",
        documented='docs/semantics.md, "Not promised"',
        way="aot_inductor",
        shows=_shows(
            [Input("x0", "float32", [1, 2, 1], "strided")],
            [Step(["v0"], "{0}.unsqueeze(-2)", ["x0"])],
            ["v0"],
        ),
    ),
    Limit(
        name="views of constants in AOTInductor packages",
        kind="alias",
        code=r"",
        message=r"a write does not change (buffer|result)",
        reason="Packages return copies of their constants.",
        documented='docs/semantics.md, "Not promised"',
        way="aot_inductor",
        of_constants=True,
        shows=_shows(
            [Input("x0", "float32", [2])],
            [Step(["v0"], "{0}.expand({0}.shape)", ["w0"]), Step(["v1"], "{0} + 1", ["x0"])],
            ["v0", "w0", "v1"],
            buffers=[_buffer([1, 3], Fill("positive"))],
        ),
    ),
    Limit(
        name="batch norm in training over nothing",
        kind="error",
        code=r"batch_norm\(.*training=True",
        message=r"input tensor must have at least one element|cannot reshape tensor of 0 elements",
        reason="Taken apart, PyTorch's own operator refuses what the one that it was made of takes.",
        documented='docs/semantics.md, "Not promised"',
        shows=_shows(
            [Input("x0", "float32", ["s0", 3, 4])],
            [
                Step(["v0"], "F.batch_norm({0}, None, None, training=True)", ["x0"]),
                Step(["v1"], "{0} + 1", ["x0"]),
            ],
            ["v0", "v1"],
            calls=[0, 1],
            dims={"s0": Dim(0, 8, [4, 0])},
        ),
    ),
    Limit(
        name="deviations of tiny numbers",
        kind="value",
        code=r"(torch|\{0\})\.(std|var)",
        message=r"-?0\.0 instead of \S+e-(19|[23]\d|4\d)$",
        reason="Squares of numbers below 1e-19 are none in float32; PyTorch adds them up in double precision.",
        documented='docs/semantics.md, "Not promised"',
        target="cpu",
        shows=_shows_tiny("torch.std({0}, dim=1)", [1e-30, -3e-30]),
    ),
    Limit(
        name="subnormal elements of weights",
        kind="value",
        code=r"_norm\(|F\.(linear|conv)|@|torch\.(mm|bmm|matmul|addmm|baddbmm|einsum)|\[|embedding|index_select|gather",
        message=r"-?0\.0 instead of -?(1\.[01]\d*e-38|[\d.]+e-(39|4\d))$",
        reason="The vendor makes zeros of a constant's subnormal numbers; they are kept where numbers are read, not in "
        "weights, scales, shifts and tables of more than 65,536 elements, where that costs memory.",
        documented='docs/semantics.md, "Not promised"',
        target="cpu",
        of_tiny_constants=True,
        shows=_shows(
            [Input("x0", "float32", [2])],
            [Step(["v0"], "F.layer_norm({0} * 0, (2,), None, {1})", ["x0", "w0"])],
            ["v0"],
            buffers=[_buffer([2], Fill("values", values=[1e-40, 3e-40]))],
        ),
    ),
    Limit(
        name="sums with a product that overflows",
        kind="value",
        code=r"addcmul|(add|sub|rsub)\(.*alpha=",
        message=r"(nan|-?inf) instead of ",
        reason="Eager multiplies and adds in one instruction where the processor has one, so that only the sum "
        "overflows; without it, and taken apart by PyTorch itself, the product does. To do as the instruction does "
        "takes five times as long.",
        documented='docs/semantics.md, "Not promised"',
        target="cpu",
        nonfinite=True,
        beyond=1e19,
        shows=_shows(
            [
                Input("x0", "float32", [8], fill=Fill("values", values=[-3e38])),
                Input("x1", "float32", [8], fill=Fill("values", values=[2e19])),
            ],
            [Step(["v0"], "torch.addcmul({0}, {1}, {1})", ["x0", "x1"])],
            ["v0"],
        ),
    ),
    Limit(
        name="weights that are not finite, of convolutions in another order of memory",
        kind="value",
        code=r"F\.conv",
        message=r" instead of nan$|nan instead of ",
        beside=r"permute|transpose|\.m?T\b|movedim|channels_last",
        reason="Such convolutions stay in PyTorch, whose kernels multiply with what they pad or leave it out, by the "
        "order of memory of what they read; what an engine made before them is contiguous.",
        documented='docs/semantics.md, "Not promised"',
        target="cpu",
        nonfinite=True,
        shows=_shows(
            [Input("x0", "float32", [2, 5, 5, 1])],
            [
                Step(["v0"], "{0}.permute(0, 3, 1, 2)", ["x0"]),
                Step(["v1"], "F.conv2d({0}, {1}, None, 1, 1)", ["v0", "w0"]),
            ],
            ["v1"],
            buffers=[_buffer([1, 1, 3, 3], Fill("values", values=[1.0, float("nan"), *[1.0] * 7]))],
        ),
    ),
    Limit(
        name="the angle of what leaves half precision",
        kind="value",
        code=r"atan2",
        message=r"",
        beside=r"float16",
        reason="Between operators of an engine half precision keeps float32's range: of two numbers that are infinite "
        "in eager, one may be finite.",
        documented='docs/semantics.md, "Not promised"',
        target="cpu",
        nonfinite=True,
        shows=_shows(
            [Input("x0", "float16", [8], fill=Fill("values", values=[300.0]))],
            [
                Step(["v0"], "{0} * {0}", ["x0"]),
                Step(["v1"], "{0}.to(torch.bfloat16)", ["v0"]),
                Step(["v2"], "torch.atan2({0}, {1})", ["v0", "v1"]),
            ],
            ["v2"],
        ),
    ),
    Limit(
        name="gelu of infinity in another order of memory",
        kind="value",
        code=r"F\.gelu\(\{0\}\)",
        message=r"nan instead of inf$",
        reason="PyTorch's kernel for contiguous float32 gives NaN for an infinity, and the one for other orders of "
        "memory the infinity; engines answer as for contiguous.",
        documented='docs/semantics.md, "Not promised"',
        target="cpu",
        processor="avx512f",
        nonfinite=True,
        shows=_shows(
            [Input("x0", "float32", [4, 8], "transposed", Fill("values", values=[1.0, float("inf")]))],
            [Step(["v0"], "F.gelu({0})", ["x0"])],
            ["v0"],
        ),
    ),
    Limit(
        name="functions near 0",
        kind="value",
        code=r"F\.(elu|celu|selu)|torch\.erf",
        message=r"-?0\.0 instead of -?\S+e-(1\d|[23]\d|4\d)$",
        reason="exp(x) - 1 and the polynomial of erf have absolute errors below 3e-7, and none that is relative.",
        documented='docs/semantics.md, "Not promised"',
        target="cpu",
        shows=_shows_tiny("F.elu({0})", [-1e-20, -2e-20]),
    ),
    Limit(
        name="functions near 0, in part",
        kind="value",
        code=r"torch\.erf\(",
        message=r"",
        within=3e-7,
        reason="Of a small number, the absolute error is a larger part of the result.",
        documented='docs/semantics.md, "Not promised"',
        target="cpu",
        shows=_shows_tiny("torch.erf({0})", [0.01098808366805315]),
    ),
    Limit(
        name="functions near 0, counted",
        kind="shape",
        code=r"F\.(elu|celu|selu)|torch\.erf",
        message=r"",
        beside=r"unique|nonzero",
        reason="How many different numbers there are follows from their absolute errors, see above.",
        documented='docs/semantics.md, "Not promised"',
        target="cpu",
        shows=_shows(
            [Input("x0", "float32", [4], fill=Fill("values", values=[-1e-20, -2e-20, -3e-20, -4e-20]))],
            [Step(["v0"], "F.elu({0})", ["x0"]), Step(["v1"], "torch.unique_consecutive({0})", ["v0"])],
            ["v1"],
        ),
    ),
    Limit(
        name="the sign of NaN",
        kind="value",
        code=r"torch\.(signbit|copysign)",
        message=r"(True|False) instead of (True|False)$|-?([\d.]+(e[-+]\d+)?) instead of -?\3$",
        reason="What computes a NaN gives it a sign, and nothing says which.",
        documented='docs/semantics.md, "Not promised"',
        nonfinite=True,
        shows=_shows(
            [Input("x0", "float32", [4], fill=Fill("values", values=[-1.0, -2.0]))],
            [Step(["v0"], "torch.log({0})", ["x0"]), Step(["v1"], "torch.signbit({0})", ["v0"])],
            ["v1"],
        ),
    ),
    Limit(
        name="NaN and infinities on TensorRT",
        kind="value|shape|input|state|alias",
        code=r"",
        message=r"",
        reason="Which of TensorRT's kernels run decides what becomes of a NaN.",
        documented='docs/semantics.md, "Not promised"; docs/gpu.md, "Known"',
        target="tensorrt",
        nonfinite=True,
        beyond=1e19,  # whose square is infinite in float32, inside a kernel
    ),
    Limit(
        name="subnormal numbers on TensorRT",
        kind="value|input|state|alias",
        code=r"float32",
        message=r"-?(0\.0|\S+e-(3[789]|4\d)) instead of -?(0\.0|\S+e-(3[789]|4\d))$",
        reason="TensorRT's kernels make zeros of subnormal float32, in what they read and in what they add up.",
        documented='docs/semantics.md, "Not promised"; docs/gpu.md, "Known"',
        target="tensorrt",
    ),
    Limit(
        name="subnormal bfloat16 in hardware",
        kind="value|input|state|alias",
        code=r"bfloat16",
        message=r"at \[[\d, ]*\] -?0\.0 instead of -?(1\.[01]\d*e-38|[\d.]+e-(39|4\d))$",
        reason="The processor's own instruction makes zeros of subnormal float32 when it rounds to bfloat16.",
        documented='docs/semantics.md, "Not promised"',
        processor="avx512_bf16",
        shows=_shows(
            [Input("x0", "float32", [16], fill=Fill("values", values=[2.0**-128]))],
            [Step(["v0"], "{0}.to(torch.bfloat16)", ["x0"])],
            ["v0"],
        ),
    ),
    Limit(
        name="subnormal bfloat16 in hardware, as bool",
        kind="value",
        code=r"torch\.bool|\.bool\(|logical_|torch\.(ne|eq|gt|ge|lt|le|any|all)",
        message=r"(False instead of True|True instead of False|0\.0 instead of 1\.0|1\.0 instead of 0\.0)$",
        beside=r"bfloat16",
        reason="See above: such a number is 0, or not.",
        documented='docs/semantics.md, "Not promised"',
        processor="avx512_bf16",
        tiny=True,
        shows=_shows(
            [Input("x0", "bfloat16", [32], fill=Fill("values", values=[2.0**-128]))],
            [Step(["v0"], "F.avg_pool1d({0}[None], 3)", ["x0"]), Step(["v1"], "{0}.type(torch.bool)", ["v0"])],
            ["v1"],
        ),
    ),
    Limit(
        name="subnormal bfloat16 in hardware, times infinity",
        kind="value",
        code=r"@|torch\.(mm|bmm|matmul|addmm|einsum|baddbmm)|F\.(linear|conv)",
        message=r"nan instead of -?inf$",
        beside=r"bfloat16",
        reason="See above: the product is NaN, or an infinity.",
        documented='docs/semantics.md, "Not promised"',
        processor="amx_bf16",
        nonfinite=True,
        tiny=True,
        shows=_shows(
            [
                Input("x0", "bfloat16", [2, 2], fill=Fill("values", values=[2.0**-128])),
                Input("x1", "bfloat16", [2, 2], fill=Fill("values", values=[float("inf")])),
            ],
            [Step(["v0"], "{0} @ {1}", ["x0", "x1"])],
            ["v0"],
        ),
    ),
    Limit(
        name="bfloat16 convolutions of PyTorch 2.11 with AMX",
        kind="value",
        code=r"F\.conv3d\(.*, \d, [1-9]|F\.conv[12]d\(.*, \d, [1-9], [2-9], \d\)",
        message=r"",
        beside=r"bfloat16",
        reason="PyTorch's own kernels give memory that was never written where a window lies in padding in part: 1e29 "
        "for numbers around 10, other ones in each process.",
        documented='docs/semantics.md, "Not promised"',
        torch=r"2\.11\.",
        processor="amx_bf16",
        shows=_shows(
            [Input("x0", "bfloat16", [2, 3, 1, 6, 8]), Input("x1", "bfloat16", [3, 3, 3, 3, 3])],
            [Step(["v0"], "F.conv3d({0}, {1}, None, 1, 1, 1, 1)", ["x0", "x1"])],
            ["v0"],
        ),
    ),
    Limit(
        name="identities of PyTorch 2.11",
        kind="alias",
        code=r"F\.dropout|\.type_as",
        message=r"a write does not change|after writes",
        reason="Eager returns the argument itself; PyTorch 2.11 copies it when it takes the operator apart.",
        documented='docs/semantics.md, "Not promised"',
        torch=r"2\.11\.",
        shows=_shows([Input("x0", "float32", [2])], [Step(["v0"], "F.dropout({0}, 0.5, False)", ["x0"])], ["v0"]),
    ),
    Limit(
        name="norms of one element in PyTorch 2.11",
        kind="error",
        code=r"vector_norm",
        message=r"expected \d dimensions",
        reason="PyTorch 2.11 writes the dimension that the norm takes away into the exported program if its size is 1.",
        documented='docs/semantics.md, "Not promised"',
        torch=r"2\.11\.",
        shows=_shows(
            [Input("x0", "float32", [2, 2, 2, 1])],
            [
                Step(["v0"], "torch.linalg.vector_norm({0}, 1, dim=-1)", ["x0"]),
                Step(["v1"], "F.softmax({0}, dim=2)", ["v0"]),
            ],
            ["v1"],
        ),
    ),
    Limit(
        name="gelu of an infinity in PyTorch 2.11",
        kind="value",
        code=r"F\.gelu",
        message=r"inf instead of nan$",
        reason="PyTorch's own kernel for AVX512 gives NaN; later ones give what the function is.",
        documented='docs/semantics.md, "Not promised"',
        torch=r"2\.11\.",
        processor="avx512f",
        nonfinite=True,
        shows=_shows(
            [Input("x0", "float32", [32], fill=Fill("values", values=[float("inf")]))],
            [Step(["v0"], "F.gelu({0})", ["x0"])],
            ["v0"],
        ),
    ),
    Limit(
        name="one_hot in PyTorch 2.11",
        kind="no error",
        code=r"F\.one_hot",
        message=r"Class values must be",
        reason="PyTorch 2.11 exports one_hot without the check of its classes.",
        documented='docs/semantics.md, "Not promised"',
        torch=r"2\.11\.",
        shows=_shows(
            [Input("x0", "int64", [2], fill=Fill("indices", 1, 0, 4, specials=1))],
            [Step(["v0"], "F.one_hot({0}, 5)", ["x0"])],
            ["v0"],
            calls=[0, 1],
        ),
    ),
)


@functools.cache
def _abilities() -> tuple[str, ...]:
    flags = re.search(r"^flags\s*:(.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return tuple(flags[1].split()) if flags else ()


def covering(program: Program, find: Find, target: str = "") -> Limit | None:
    about = [*program.operators(), *(leaf.dtype for leaf in (*program.inputs, *program.constants)), ""]
    about += [item.layout for item in program.inputs]
    for limit in LIMITS:
        if (
            limit.target in ("", target or "cpu")
            and limit.is_here()
            and limit.way in ("", find.way)
            and re.fullmatch(limit.kind, find.kind)
            and re.search(limit.message, find.message)
            and any(re.search(limit.code, text) for text in about)
            and any(re.search(limit.beside, text) for text in about)
            and (limit.within == float("inf") or _difference(find.message) <= limit.within)
            and (not limit.tiny or has_tiny(program))
            and (not limit.of_constants or not depends_on_inputs(program, find))
            and (not limit.of_tiny_constants or depends_on_tiny_constants(program, find))
            and (not limit.nonfinite or has_nonfinite(program, limit.beyond))
        ):
            return limit
    return None


def _difference(message: str) -> float:
    """Between the two numbers that a find's message names; infinity where it names none."""
    named = re.search(r"(\S+) instead of (\S+)$", message)
    try:
        return abs(float(named[1]) - float(named[2])) if named else float("inf")
    except ValueError:
        return float("inf")


def depends_on_inputs(program: Program, find: Find) -> bool:
    """Whether the result that the find's message names is computed from an input; True where it names none."""
    needed = _needed(program, find)
    return not needed or any(item.name in needed for item in program.inputs)


def depends_on_tiny_constants(program: Program, find: Find) -> bool:
    """Whether the result that the find's message names is computed from a constant with numbers near the least."""
    needed = _needed(program, find)
    return any(_is_tiny(item.fill) for item in program.constants if item.name in needed)


def _needed(program: Program, find: Find) -> set[str]:
    """What the result that the find's message names is computed from, and it; nothing where it names none."""
    named = re.search(r"\bresult (\d+)", find.message)
    if named is None:
        return set()
    needed = {program.outputs[int(named[1])]}
    for step in reversed(program.steps):
        if needed & {*step.out, *(() if step.out else step.args[:1])}:
            needed.update(step.args)
    return needed


def has_tiny(program: Program) -> bool:
    """Whether an input or a constant of the program is drawn from numbers near the least, or holds such ones."""
    return any(_is_tiny(leaf.fill) for leaf in (*program.inputs, *program.constants))


def _is_tiny(fill: Fill) -> bool:
    near_least = any(0 < abs(value) < 1e-30 for value in fill.values or ())
    return fill.kind in ("tiny", "ends") or bool(fill.specials) or near_least


def has_nonfinite(program: Program, beyond: float = float("inf")) -> bool:
    """Whether eager PyTorch meets a NaN, an infinity, or a number beyond `beyond` in one of the calls."""
    found = [False]

    def look(tensors: Iterable[Any]) -> None:
        found[0] |= any(
            isinstance(tensor, torch.Tensor)
            and tensor.is_floating_point()
            and not bool((tensor.isfinite() & (tensor.abs() <= beyond)).all())
            for tensor in tensors
        )

    on_cpu = dataclasses.replace(program, device="cpu")
    look(constant_tensors(on_cpu).values())
    for number in {max(number, 0) for number in program.calls}:
        inputs = input_tensors(on_cpu, number)
        look(inputs)
        with contextlib.suppress(Exception), torch.no_grad():
            run_steps(on_cpu, inputs, lambda step, values: look(values[name] for name in step.out))
    return found[0]
