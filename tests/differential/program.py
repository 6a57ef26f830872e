# SPDX-License-Identifier: Apache-2.0
"""A program as plain data, so that it can be printed, stored, shrunk and run again.

A step is a line of Python with holes: ``Step(["v1"], "torch.clamp({0}, 0, 1)", ["v0"])``. Names are ``x0``... for
inputs, ``w0``... for parameters and buffers, ``v0``... for results of steps. Tensors are made from a description
(`Fill`) and a number, so that two runs of a program see the same bits and never the same memory.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn

PRELUDE = "import torch\nimport torch.nn.functional as F\nfrom torch import inf, nan, nn, tensor\n"


@dataclasses.dataclass
class Fill:
    """How a tensor's elements are drawn. `kind`: normal, grid (halves from -2 to 2: ties, exact sums), positive,
    shifted (by 100), huge (to the dtype's end), tiny (to the smallest), integers (`low` to `high`), indices (the same,
    and with `specials` one that is outside in the second data), ends (of the dtype and around 2^24, or around 2^24
    alone), or values (as listed, repeated). `specials`: that many elements in ten become NaN, infinities, zeros of both
    signs, subnormals or the dtype's ends."""

    kind: str = "normal"
    seed: int = 0
    low: int = -4
    high: int = 4
    specials: int = 0
    values: list[Any] | None = None


@dataclasses.dataclass
class Input:
    name: str
    dtype: str
    shape: list[int | str]
    """Sizes, or names of the program's dims."""
    layout: str = "contiguous"
    """contiguous, transposed, strided, offset, expanded or channels_last."""
    fill: Fill = dataclasses.field(default_factory=Fill)


@dataclasses.dataclass
class Constant:
    """A parameter or a buffer; with `of`, a view of another one: `view` is an expression over it."""

    name: str
    dtype: str = "float32"
    shape: list[int] = dataclasses.field(default_factory=list)
    fill: Fill = dataclasses.field(default_factory=Fill)
    parameter: bool = False
    of: str | None = None
    view: str = "{0}"


@dataclasses.dataclass
class Step:
    out: list[str]
    """Names of the results; none for a step that only writes."""
    code: str
    args: list[str]
    noise: float = 0.0
    """The result's own rounding noise: units of its dtype's precision at the size of the operands, for functions that
    are computed in more than one way (`gelu`, a variance). The oracle's measure of what is a rounding."""
    unspecified: bool = False
    """Some results are anything in eager PyTorch too (a cast of NaN to an integer)."""


@dataclasses.dataclass
class Dim:
    """A dynamic size. `sizes`: by the calls' number of data."""

    low: int
    high: int | None
    sizes: list[int]


@dataclasses.dataclass
class Program:
    inputs: list[Input]
    constants: list[Constant]
    steps: list[Step]
    outputs: list[str]
    dims: dict[str, Dim] = dataclasses.field(default_factory=dict)
    calls: list[int] = dataclasses.field(default_factory=lambda: [0, 1, 0])
    """Numbers of data, in the order of the calls; -1 is a call that the program's contract does not allow."""
    origin: str = ""
    """The line that draws it again."""
    device: str = "cpu"
    """Where its tensors are."""

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self))

    @staticmethod
    def from_json(text: str) -> Program:
        data = json.loads(text)

        def filled(item: Mapping[str, Any]) -> dict[str, Any]:
            return {**item, "fill": Fill(**item["fill"])}

        return Program(
            inputs=[Input(**filled(item)) for item in data["inputs"]],
            constants=[Constant(**filled(item)) for item in data["constants"]],
            steps=[Step(**item) for item in data["steps"]],
            outputs=data["outputs"],
            dims={name: Dim(**item) for name, item in data["dims"].items()},
            calls=data["calls"],
            origin=data["origin"],
            device=data["device"],
        )

    def copy(self) -> Program:
        return Program.from_json(self.to_json())

    def operators(self) -> list[str]:
        """Each step's code without operands: what a find is about."""
        return [step.code for step in self.steps]


# --- tensors ----------------------------------------------------------------------------------------------------------


def torch_dtype(name: str) -> torch.dtype:
    found = getattr(torch, name)
    assert isinstance(found, torch.dtype)
    return found


def special_values(dtype: torch.dtype) -> list[Any]:
    if dtype.is_floating_point:
        info = torch.finfo(dtype)
        return [math.nan, math.inf, -math.inf, 0.0, -0.0, info.max, info.min, info.tiny, info.tiny / 4, 1.0]
    if dtype == torch.bool:
        return [True, False]
    limits = torch.iinfo(dtype)
    usual = [
        limits.min,
        limits.min + 1,
        limits.max,
        limits.max - 1,
        0,
        1,
        2**24 + 1,
        -(2**24) - 1,
        2**31,
        2**31 - 1,
        2**53 + 1,
    ]
    return [value for value in usual if limits.min <= value <= limits.max]


def _integers(fill: Fill, count: int, dtype: torch.dtype, generator: torch.Generator) -> torch.Tensor:
    low, high = fill.low, fill.high
    if dtype == torch.uint8:
        low, high = max(low, 0), max(high, 1)
    return torch.randint(low, high + 1, (count,), generator=generator)


def fill_tensor(fill: Fill, shape: Sequence[int], dtype: torch.dtype, number: int) -> torch.Tensor:
    """A new contiguous tensor; `number` chooses one of the fill's many."""
    count = math.prod(shape)
    generator = torch.Generator().manual_seed(fill.seed * 1009 + number)
    if fill.kind == "values":
        assert fill.values is not None
        listed = [fill.values[index % len(fill.values)] for index in range(count)]
        return torch.tensor(listed, dtype=dtype).reshape(tuple(shape))
    if dtype == torch.bool:
        flat = torch.randint(0, 2, (count,), generator=generator).bool()
    elif fill.kind == "ends" and dtype in (torch.int32, torch.int64) and fill.seed % 2:
        # Around 2^24 alone: the dtype's ends beside them would be every maximum, and are right in float32 by chance.
        flat = torch.randint(2**24 - 20, 2**24 + 20, (count,), generator=generator).to(dtype)
        flat *= 1 - 2 * torch.randint(0, 2, (count,), generator=generator).to(dtype)
    elif fill.kind == "ends":
        values = torch.tensor([value for value in special_values(dtype) if value == value], dtype=dtype)
        flat = values[torch.randint(0, len(values), (count,), generator=generator)]
    elif fill.kind == "indices":
        flat = _integers(fill, count, dtype, generator).to(dtype)
        if fill.specials and number == 1 and count:
            flat[count // 2] = fill.high + 1 if fill.seed % 2 else fill.low - 1
    elif fill.kind == "integers" or not dtype.is_floating_point:
        flat = _integers(fill, count, dtype, generator).to(dtype)
    else:
        base = torch.randn(count, generator=generator, dtype=torch.float32)
        if fill.kind == "grid":
            base = torch.randint(-4, 5, (count,), generator=generator) / 2
        elif fill.kind == "positive":
            base = base.abs() + 0.1
        elif fill.kind == "shifted":
            base = base + 100
        elif fill.kind == "huge":
            largest = torch.finfo(dtype).max
            base = (base.double() * largest ** (0.5 if number % 2 else 0.9)).clamp(-largest, largest)
        elif fill.kind == "tiny":
            base = base.double() * math.sqrt(torch.finfo(dtype).tiny) ** (1 if number % 2 else 1.9)
        flat = base.to(dtype)
    if fill.specials and count and fill.kind != "indices":
        values = torch.tensor(special_values(dtype), dtype=dtype)
        chosen = values[torch.randint(0, len(values), (count,), generator=generator)]
        where = torch.randint(0, 10, (count,), generator=generator) < fill.specials
        flat = torch.where(where, chosen, flat)
    return flat.reshape(tuple(shape))


def lay_out(tensor: torch.Tensor, layout: str) -> torch.Tensor:
    """The same elements in other memory."""
    if layout == "transposed" and tensor.dim() >= 2:
        return tensor.transpose(-1, -2).contiguous().transpose(-1, -2)
    if layout == "strided" and tensor.dim() >= 1:
        larger = torch.stack([tensor, tensor.flip(-1)], -1).flatten(-2)
        return larger[..., ::2]
    if layout == "offset":
        return torch.cat([tensor.new_zeros(3), tensor.flatten(), tensor.new_zeros(2)])[3 : 3 + tensor.numel()].view(
            tensor.shape
        )
    if layout == "expanded" and tensor.dim() >= 1 and tensor.size(0) >= 1:
        return tensor[:1].clone().expand(tensor.shape)
    if layout == "channels_last" and tensor.dim() == 4:
        return tensor.contiguous(memory_format=torch.channels_last)
    return tensor


def input_tensors(program: Program, number: int) -> list[torch.Tensor]:
    """Fresh inputs of one call. Data -1: the first's, with a dimension that is too large or a rank that is wrong."""
    made = []
    for item in program.inputs:
        shape = [program.dims[size].sizes[max(number, 0)] if isinstance(size, str) else size for size in item.shape]
        if number < 0:
            grown = [axis for axis, size in enumerate(item.shape) if isinstance(size, str)]
            if grown:
                high = program.dims[str(item.shape[grown[0]])].high
                shape[grown[0]] = (high or 40) + 3
            else:
                shape = [*shape, 2]
        tensor = fill_tensor(item.fill, shape, torch_dtype(item.dtype), number).to(program.device)
        made.append(lay_out(tensor, item.layout))
    return made


def constant_tensors(program: Program) -> dict[str, torch.Tensor]:
    made: dict[str, torch.Tensor] = {}
    for item in program.constants:
        if item.of is not None:
            made[item.name] = eval(item.view.format("given"), {"torch": torch, "given": made[item.of]})
        else:
            made[item.name] = fill_tensor(item.fill, item.shape, torch_dtype(item.dtype), 0).to(program.device)
    return made


# --- the module -------------------------------------------------------------------------------------------------------


def _rendered(step: Step, names: Callable[[str], str]) -> str:
    code = step.code.format(*[names(arg) for arg in step.args])
    return f"{', '.join(step.out)} = {code}" if step.out else code


def _operand(name: str) -> str:
    return f"self.{name}" if name.startswith("w") else name


def forward_source(program: Program) -> str:
    """``def forward(self, ...)`` as text."""
    lines = [_rendered(step, _operand) for step in program.steps]
    results = ", ".join(_operand(name) for name in program.outputs)
    return "\n    ".join(
        [f"def forward({', '.join(['self', *(item.name for item in program.inputs)])}):", *lines, f"return {results}"]
    )


def _namespace() -> dict[str, Any]:
    scope: dict[str, Any] = {}
    exec(PRELUDE, scope)
    return scope


def make_module(program: Program) -> nn.Module:
    """A new module with memory of its own."""
    scope = _namespace()
    exec(forward_source(program), scope)
    module = type("M", (nn.Module,), {"forward": scope["forward"]})()
    for name, tensor in constant_tensors(program).items():
        item = next(constant for constant in program.constants if constant.name == name)
        if item.parameter:
            module.register_parameter(name, nn.Parameter(tensor, requires_grad=False))
        else:
            module.register_buffer(name, tensor)
    return module.eval()


def run_steps(
    program: Program, inputs: Sequence[torch.Tensor], observe: Callable[[Step, dict[str, Any]], None]
) -> dict[str, Any]:
    """Runs step by step; `observe` may replace results after each step. Returns all values by name."""
    scope = _namespace()
    values: dict[str, Any] = {item.name: tensor for item, tensor in zip(program.inputs, inputs, strict=True)}
    values.update(constant_tensors(program))
    for step in program.steps:
        local = {**scope, **values}
        text = _rendered(step, lambda name: name)
        exec(text, local)
        for name in step.out:
            values[name] = local[name]
        observe(step, values)
    return values


# --- the script -------------------------------------------------------------------------------------------------------


def _literal(tensor: torch.Tensor) -> str:
    text = str(tensor.tolist()).replace(" ", "")
    dtype = (
        "" if tensor.dtype in (torch.float32, torch.int64, torch.bool) and tensor.numel() else f", dtype={tensor.dtype}"
    )
    return f"tensor({text}{dtype})" if tensor.numel() else f"torch.empty({tuple(tensor.shape)}{dtype})"


def _tensor_source(tensor: torch.Tensor, fill: Fill, number: int, device: str, layout: str = "contiguous") -> str:
    if tensor.numel() <= 32:
        text = _literal(tensor)
    else:
        text = f"fill_tensor({fill}, {tuple(tensor.shape)}, {tensor.dtype}, {number})"
    text += "" if device == "cpu" else f".to({device!r})"
    return text if layout == "contiguous" else f"lay_out({text}, {layout!r})"


def script(program: Program, way: str = "module", target: str = "") -> str:
    """A script that shows the program's answers beside eager's, call by call."""
    device, program = program.device, dataclasses.replace(program, device="cpu")
    lines = [
        "import torch, torch_tensorrt",
        "import torch.nn.functional as F",
        "from torch import inf, nan, nn, tensor",
    ]
    body = []
    tensors = constant_tensors(program)
    body.append("class M(nn.Module):")
    if program.constants:
        body.append("    def __init__(self):")
        body.append("        super().__init__()")
    for item in program.constants:
        if item.of:
            source = item.view.format(f"self.{item.of}")
        else:
            source = _tensor_source(tensors[item.name], item.fill, 0, device)
        if item.parameter:
            body.append(f"        self.{item.name} = nn.Parameter({source}, requires_grad=False)")
        else:
            body.append(f"        self.register_buffer({item.name!r}, {source})")
    body += ["    " + line for line in forward_source(program).split("\n")]
    numbers = [number for number in dict.fromkeys(program.calls) if number >= 0] or [0]
    calls = []
    for number in numbers:
        made = [
            _tensor_source(tensor.contiguous(), item.fill, number, device, item.layout)
            for item, tensor in zip(program.inputs, input_tensors(program, number), strict=True)
        ]
        calls.append(f"({', '.join(made)}{',' if len(made) == 1 else ''})")
    body.append(f"data = lambda: [{', '.join(calls)}]")
    shapes = "None"
    if program.dims:
        body.append(
            "d = {"
            + ", ".join(
                f"{name!r}: torch.export.Dim({name!r}, min={dim.low}, max={dim.high})"
                for name, dim in program.dims.items()
            )
            + "}"
        )
        shapes = dynamic_shapes_source(program)
    body.append(f"program = torch.export.export(M().eval(), data()[0], dynamic_shapes={shapes}, strict=False)")
    targets = f", targets=[{target!r}]" if target else ""
    body.append(f"c = torch_tensorrt.dynamo.compile(program, min_block_size=1{targets})")
    if way != "module":
        suffix = {"exported_program": ".ep", "torchscript": ".ts", "aot_inductor": ".pt2"}[way]
        body.append(f"torch_tensorrt.save(c, '/tmp/f{suffix}', output_format={way!r})")
        body.append(f"c = torch_tensorrt.load('/tmp/f{suffix}')")
        if way == "exported_program":
            body.append("c = c.module()")
    positions = [numbers.index(number) for number in program.calls if number >= 0] or [0]
    body.append("m = M().eval()")
    body.append(f"for i in {positions}:")
    body.append("    for f in (m, c):")
    body.append("        with torch.no_grad():")
    body.append("            try: print(i, f(*data()[i]))")
    body.append("            except Exception as e: print(i, type(e).__name__, str(e)[:200])")
    text = "\n".join(body)
    if "fill_tensor(" in text or "lay_out(" in text:
        lines.append("from differential.program import Fill, fill_tensor, lay_out  # from tests/")
    origin = [f"# {program.origin}"] if program.origin else []
    return "\n".join([*origin, *lines, text])


def dynamic_shapes(program: Program, dim: Callable[[str, Dim], Any]) -> tuple[Any, ...] | None:
    """torch.export's dynamic_shapes; None where nothing is dynamic."""
    if not program.dims:
        return None
    return tuple(
        {axis: dim(size, program.dims[size]) for axis, size in enumerate(item.shape) if isinstance(size, str)} or None
        for item in program.inputs
    )


def dynamic_shapes_source(program: Program) -> str:
    entries = []
    for item in program.inputs:
        axes = [f"{axis}: d[{size!r}]" for axis, size in enumerate(item.shape) if isinstance(size, str)]
        entries.append("{" + ", ".join(axes) + "}" if axes else "None")
    return f"({', '.join(entries)},)"


def clean(program: Program, keep_writes: bool = False) -> Program:
    """Without steps, inputs, constants and dims that nothing reads. A write into a value that nothing reads, but maybe
    through another view, goes too, unless `keep_writes`."""
    made = program.copy()
    needed = set(made.outputs)
    kept = []
    for step in reversed(made.steps):
        writes = not step.out and (
            keep_writes
            or step.args[0][0] in "xw"
            or step.args[0] in needed
            or any(step.args[0] in other.args for other in kept)
        )
        if writes or needed & set(step.out):
            kept.append(step)
            needed |= set(step.args)
    made.steps = kept[::-1]
    needed |= {item.of for item in made.constants if item.name in needed and item.of}
    made.constants = [item for item in made.constants if item.name in needed]
    made.inputs = [item for item in made.inputs if item.name in needed] or made.inputs[:1]
    used = {size for item in made.inputs for size in item.shape}
    made.dims = {name: dim for name, dim in made.dims.items() if name in used}
    return made
