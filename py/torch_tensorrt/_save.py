# SPDX-License-Identifier: Apache-2.0
"""Saving compiled programs in PyTorch's three formats, and loading them.

The ranges of dynamic dimensions are kept: a compiled module knows them, so they need not be given again. Files are
written beside their destination and renamed into place, so that a failure leaves no partial file.
"""

from __future__ import annotations

import contextlib
import copy
import inspect
import json
import logging
import os
import re
import sys
import zipfile
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch.export import Dim, ExportedProgram
from torch.export.graph_signature import (
    ConstantArgument,
    InputKind,
    OutputKind,
    SymBoolArgument,
    SymFloatArgument,
    SymIntArgument,
    TensorArgument,
)
from torch.fx import Node
from torch.fx.immutable_collections import immutable_dict, immutable_list
from torch.utils import _pytree as pytree
from torch.utils._sympy.numbers import int_oo
from torch.utils._sympy.value_ranges import ValueRanges

from ._capture_lock import CAPTURE_LOCK
from ._engine import PACKAGE_ENGINES, _compile_expr
from ._files import written_whole
from ._library import load_binding
from ._random import unchanged_random_state
from ._signals import held_signals
from .dynamo._coincidences import no_coincidences
from .dynamo._compiler import in_pytorch, with_exact_parts
from .dynamo._counts import selections_may_be_empty
from .dynamo._graph import CAPTURED_FROM, CAPTURED_WHERE, UnreliableCaptureError
from .dynamo._nodes import SIZE_OPS, is_mutation, is_tensor, value_of, view_chain
from .dynamo._shared_memory import own_copy, with_written_buffers, writes_through_windows
from .dynamo._small_sizes import examine
from .dynamo._trace import (
    by_parameter_name,
    collect_inputs,
    concrete,
    equate,
    module_device,
    symbol_ranges,
    user_input_names,
)
from .dynamo._trace import trace as _trace
from .runtime import CudaGraphsTorchTensorRTModule
from .runtime._module import CompiledModule, TorchBlock, name_inputs_apart
from .runtime._scripted import script_program
from .runtime._torchscript import NotScriptableError

_LOGGER = logging.getLogger("torch_tensorrt")
_FORMATS = ("exported_program", "torchscript", "aot_inductor")


# --- what a compiled module knows about its inputs ---


def _evaluate(size: int | str, symbols: Mapping[str, int]) -> int:
    return size if isinstance(size, int) else int(_compile_expr(size)(dict(symbols)))


def _example_leaf(described: dict[str, Any], sizes: Mapping[str, int]) -> Any:
    if "size" in described:
        return _evaluate(described["size"], sizes)
    if "dtype" not in described:
        return described["value"]
    shape = [_evaluate(size, sizes) for size in described["shape"]]
    # Zeros are valid everywhere: as indices, as masks, as probabilities.
    return torch.zeros(shape, dtype=described["dtype"], device=described["device"])


def _dynamic_dim(size: int | str, dims: Mapping[str, Any]) -> Any:
    if isinstance(size, int):
        return None
    if size.isidentifier():
        return dims[size]
    if all(isinstance(dim, Dim) for dim in dims.values()) and re.fullmatch(r"[\w\s()*+-]+", size):
        return _compile_expr(size)(dict(dims))  # Dim knows sums and products with numbers
    return Dim.DYNAMIC


def _leaf_dims(described: dict[str, Any], dims: Mapping[str, Any]) -> Any:
    if "size" in described:
        return Dim.DYNAMIC
    found = {axis: _dynamic_dim(size, dims) for axis, size in enumerate(described.get("shape", ()))}
    return {axis: dim for axis, dim in found.items() if dim is not None} or None


def _example_sizes(known: Mapping[str, Any], times: int) -> dict[str, int]:
    """A size for every symbol: the one that the program was captured with, which satisfies whatever the program
    demands of its sizes; else the optimal one, but never 0 or 1 (export specializes those). `times`: so many times
    that, as far as the ranges go."""
    captured = known.get("captured", {})
    sizes: dict[str, int] = {}
    for name, (low, opt, high) in known["ranges"].items():
        size = captured.get(name, max(opt, low, 2)) * times
        sizes[name] = size if high is None else min(size, high)
    return sizes


def _known_inputs(
    module: torch.fx.GraphModule, times: int = 1, named: bool = True
) -> tuple[tuple[Any, ...], dict[str, Any], Any] | None:
    """Example args and kwargs and dynamic shapes from a compiled module's description; None if it has none. `times`:
    of the sizes that it was captured with. `named`: dynamic sizes are `Dim`s with the known ranges; otherwise
    `Dim.DYNAMIC` without any."""
    known = module.meta.get("torch_tensorrt")
    if not known or known.get("in_spec") is None or any(d.get("shape", 0) is None for d in known["inputs"]):
        return None
    ranges = {name: bounds for name, bounds in known["ranges"].items() if not name.startswith("u")}
    sizes = _example_sizes(known, times)
    used = {size for d in known["inputs"] for size in d.get("shape", ()) if isinstance(size, str)}
    dims: dict[str, Any] = {
        name: Dim(name, min=low, max=high)
        for name, (low, _, high) in ranges.items()
        if any(re.search(rf"\b{name}\b", size) for size in used)
    }
    if not named:
        dims = dict.fromkeys(dims, Dim.DYNAMIC)
    args, kwargs = pytree.tree_unflatten([_example_leaf(d, sizes) for d in known["inputs"]], known["in_spec"])
    if not dims and not any("size" in d for d in known["inputs"]):
        return args, kwargs, None
    arg_dims, kwarg_dims = pytree.tree_unflatten([_leaf_dims(d, dims) for d in known["inputs"]], known["in_spec"])
    return args, kwargs, by_parameter_name(module, arg_dims, kwarg_dims)


def _mutable(spec: pytree.TreeSpec) -> pytree.TreeSpec:
    """Results as the module returns them: torch.export, which interprets its graph, sees fx's immutable containers."""
    if spec.is_leaf():
        return spec
    kind = {immutable_list: list, immutable_dict: dict}.get(spec.type, spec.type)
    return pytree.TreeSpec(kind, spec.context, [_mutable(child) for child in spec.children()])


def _drop_new_assertions(program: ExportedProgram, module: torch.fx.GraphModule) -> None:
    """Removes what exporting the module again asserts of its inputs' sizes beyond what the module asserts: torch.export
    takes sizes for 2 or more where it chooses a memory layout, and the module is right for all sizes in its ranges."""
    target = torch.ops.aten._assert_scalar.default
    blocks = [child.graph_module.graph for child in module.modules() if isinstance(child, TorchBlock)]
    own = {node.args[1] for graph in blocks for node in graph.nodes if node.target is target}
    for node in list(program.graph.nodes):
        condition = node.args[0].meta.get("val") if node.target is target and isinstance(node.args[0], Node) else None
        if isinstance(condition, torch.SymBool) and node.args[1] not in own:
            symbols = condition.node.expr.free_symbols
            if not any(symbol.name.startswith("u") for symbol in symbols):
                program.graph.erase_node(node)
    program.graph_module.recompile()


def _exported(
    module: torch.fx.GraphModule, args: tuple[Any, ...], kwargs: dict[str, Any], shapes: Any
) -> ExportedProgram:
    with selections_may_be_empty():
        return torch.export.export(
            module,
            args,
            kwargs,
            dynamic_shapes=shapes,
            strict=False,
            # What the compiled program assumes of its sizes, it asserts itself: nothing new is to be decided.
            prefer_deferred_runtime_asserts_over_guards=True,
        )


def _exported_in_known_ranges(module: torch.fx.GraphModule) -> ExportedProgram:
    """The module's program, for all sizes that it was compiled for."""
    # A size that follows from the example's may be 0 or 1, which export takes for a constant: with others it is more.
    # And of some sizes that follow from others export cannot say, in terms of named `Dim`s, what it found.
    failure: Exception | None = None
    for times, named in ((1, True), (3, True), (1, False), (3, False)):
        known = _known_inputs(module, times, named)
        assert known is not None
        try:
            program = _exported(module, *known)
        except Exception as error:  # other sizes may be none that the program takes at all
            failure = failure or error
            continue
        if not named:
            _restore_sizes(program, module.meta["torch_tensorrt"])
        return program
    assert failure is not None
    raise failure


def _restore_sizes(program: ExportedProgram, known: Mapping[str, Any]) -> None:
    """Gives the sizes of a program's inputs the known ranges, and makes those equal that are known to be."""
    values = {node.name: node.meta.get("val") for node in program.graph.nodes if node.op == "placeholder"}
    inputs = [values.get(name) for name in user_input_names(program)]
    described = [
        (text, size)
        for value, leaf in zip(inputs, known["inputs"], strict=True)
        for text, size in zip(
            leaf.get("shape", (leaf.get("size"),)),
            value.shape if isinstance(value, torch.Tensor) else (value,),
            strict=True,
        )
        if isinstance(text, str) and isinstance(size, torch.SymInt)
    ]
    found: dict[str, torch.SymInt] = {}
    for text, size in described:
        if text.isidentifier():
            found.setdefault(text, size)
    of_found = [(text, size) for text, size in described if set(re.findall(r"[a-z]+\d+", text)) <= found.keys()]
    equate(program, [(size, _compile_expr(text)(found)) for text, size in of_found])
    for name, size in found.items():
        low, _, high = known["ranges"][name]
        program.range_constraints[size.node.expr] = ValueRanges(low, int_oo if high is None else high)


def _reexport(module: torch.fx.GraphModule, arg_inputs: Any, kwarg_inputs: Any, dynamic_shapes: Any) -> ExportedProgram:
    if _known_inputs(module) is not None and dynamic_shapes is None:
        program = _exported_in_known_ranges(module)
        _drop_new_assertions(program, module)
        signature = program.module_call_graph[0].signature
        assert signature is not None
        signature.out_spec = _mutable(signature.out_spec)
        return program
    original = module.meta.get("torch_tensorrt_program")
    if isinstance(original, ExportedProgram) and dynamic_shapes is None:
        return original
    if arg_inputs is None and kwarg_inputs is None:
        raise ValueError("save: the module does not know its inputs; pass arg_inputs (and dynamic_shapes for ranges)")
    return _trace(module, arg_inputs=arg_inputs, kwarg_inputs=kwarg_inputs, dynamic_shapes=dynamic_shapes)


def _as_torchscript(module: torch.fx.GraphModule, arg_inputs: Any, kwarg_inputs: Any) -> torch.jit.ScriptModule:
    try:
        if isinstance(module, CompiledModule):
            return script_program(module)
        original = module.meta.get("torch_tensorrt_program")
        if isinstance(original, ExportedProgram):
            return script_program(in_pytorch(original))
        return _traced(module, arg_inputs, kwarg_inputs)
    except NotScriptableError as error:
        raise ValueError(f"save: the module cannot be said in TorchScript: {str(error)[:2000]}") from error


def _traced(module: torch.fx.GraphModule, arg_inputs: Any, kwarg_inputs: Any) -> torch.jit.ScriptModule:
    """A module that compile did not make: run once on copies of its state and inputs, which a run may change."""
    if arg_inputs is None and kwarg_inputs is None:
        raise ValueError("save: the module does not know its inputs; pass arg_inputs")
    specs = collect_inputs(None, arg_inputs, kwarg_inputs)
    args, kwargs = concrete(specs, module_device(module) or specs.device() or torch.device("cpu"))
    own = copy.deepcopy(module)
    state = {name: tensor.clone() for name, tensor in (*own.named_parameters(), *own.named_buffers())}
    bound = inspect.signature(own.forward).bind(*args, **kwargs).arguments
    named = {name: value for name, value in bound.items() if not isinstance(value, (int, float, str, type(None)))}
    inputs = {"example_inputs": tuple(bound.values())} if len(named) == len(bound) else {"example_kwarg_inputs": named}
    trace: Any = torch.jit.trace
    try:
        scripted = trace(own, **inputs, strict=False, check_trace=False)
    except RuntimeError as error:
        raise NotScriptableError(str(error)) from error
    for name, tensor in (*own.named_parameters(), *own.named_buffers()):
        tensor.copy_(state[name])
    assert isinstance(scripted, torch.jit.ScriptModule)
    return scripted


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """A block that leaves the caller's random numbers alone, and works in the caller's inference mode, too."""
    with torch.inference_mode(False), torch.no_grad(), unchanged_random_state():
        yield


def _as_captured(expected: str) -> str:
    """The expected inputs without the sizes for which the capture does not hold."""
    described = json.loads(expected)
    if where := described.pop(CAPTURED_WHERE, []):
        described["guards"] = [*described.get("guards", []), *where]
    least = described.get(CAPTURED_FROM, 0)
    raised = {name: bounds for name, bounds in described["symbols"].items() if bounds["min"] < least <= bounds["max"]}
    for bounds in raised.values():
        bounds.update(min=least, opt=max(bounds["opt"], least))
    if raised:
        _LOGGER.warning(
            "the program's results have other shapes at sizes below %d than its capture says, which AOTInductor's code "
            "relies on: the package refuses such sizes. Other formats take them",
            least,
        )
    return json.dumps(described, separators=(",", ":"))


def _with_checks(program: ExportedProgram) -> ExportedProgram:
    """The program with a check of its inputs, which AOTInductor's code needs.

    Raises:
        ValueError: the program cannot have one, and its shapes are not all as they were captured; or what it writes is
            nothing that AOTInductor writes.
    """
    if writes_through_windows(program):
        raise ValueError(
            "save: the model writes through windows (unfold), and AOTInductor's code would lose what lies in none of "
            "them. Save it in another format"
        )
    targets = {node.target for node in program.graph.nodes}
    if targets & {torch.ops.tensorrt.check_inputs.default, torch.ops.tensorrt.execute_engine.default}:
        return program  # engines check their own
    checked = in_pytorch(program)
    if _known_inputs(checked) is not None:
        return _reexport(checked, None, None, None)
    found = examine(program.graph, symbol_ranges(program, {}), program.graph_signature.user_outputs).nodes
    if found:
        node, what = next(iter(found.items()))
        raise ValueError(
            f"save: AOTInductor's code relies on shapes as they were captured, and {node.name} has others: {what}. "
            "Export the model with Dim(..., min=2), or save it in another format"
        )
    return program


def _exact_where_needed(program: ExportedProgram) -> ExportedProgram:
    """The program in a form of which AOTInductor's code may believe the metadata, and in which operators check what
    eager's check, as far as there is one."""
    checks = [node for node in program.graph.nodes if node.target is torch.ops.tensorrt.check_inputs.default]
    small_sizes = any(CAPTURED_FROM in json.loads(node.args[1]) for node in checks)
    for also_small_sizes in (True, False) if small_sizes else (False,):
        try:
            exact = with_exact_parts(program, also_small_sizes)
            return program if exact is None else _reexport(exact, None, None, None)
        except UnreliableCaptureError as error:
            _LOGGER.info("the package is not in all things as other formats are: %s", error)
    return program


def _is_read_by_kernels(node: Node) -> bool:
    """Whether something reads the tensor's memory that does not ask how it is laid out, as engines do."""
    asking = {torch.ops.tensorrt.check_inputs.default, torch.ops.tensorrt.execute_engine.default, *SIZE_OPS}
    return any(user.target not in asking for user in node.users)


def _give_each_engine_a_tensor(program: ExportedProgram) -> None:
    """Engines that read constants only take a tensor that they leave alone: AOTInductor writes no empty list."""
    for call in program.graph.find_nodes(op="call_function", target=torch.ops.tensorrt.execute_engine.default):
        if not call.args[0]:
            with program.graph.inserting_before(call):
                call.update_arg(0, [program.graph.call_function(torch.ops.aten.full.default, ([0], 0.0))])


def _write_slice_bounds(program: ExportedProgram) -> None:
    """Slices from the start or to the end say so in numbers: where data decides the size, Inductor would write None
    into its C++ code."""
    for node in program.graph.find_nodes(op="call_function", target=torch.ops.aten.slice.Tensor):
        for index, (name, number) in enumerate((("start", 0), ("end", sys.maxsize)), start=2):
            if index < len(node.args) and node.args[index] is None:
                node.update_arg(index, number)
            elif name in node.kwargs and node.kwargs[name] is None:
                node.update_kwarg(name, number)


@contextlib.contextmanager
def _windows_by_pytorch() -> Iterator[None]:
    """While AOTInductor compiles, adaptive pooling that is left to it calls PyTorch's operators. Inductor's own code
    has the windows of the captured sizes, whatever sizes come."""
    from torch._inductor import lowering
    from torch._inductor.decomposition import decompositions, fast_random_decomps

    fallback_handler: Any = lowering.fallback_handler
    lowerings = lowering.lowerings
    operators = (
        torch.ops.aten._adaptive_avg_pool2d.default,
        torch.ops.aten.adaptive_max_pool2d.default,
        torch.ops.aten.adaptive_max_pool3d.default,
    )
    with contextlib.ExitStack() as stack:
        stack.callback(fast_random_decomps.cache_clear)  # a copy of the table, kept from the first compilation on
        for operator in operators:
            if operator in decompositions:
                stack.callback(decompositions.__setitem__, operator, decompositions.pop(operator))
            if operator in lowerings:
                stack.callback(lowerings.__setitem__, operator, lowerings[operator])
                lowerings[operator] = fallback_handler(operator, add_to_fallback_set=False)
        fast_random_decomps.cache_clear()
        yield


def _has_dynamic_pooling(program: ExportedProgram) -> bool:
    return any(
        "adaptive_" in str(node.target)
        and any(
            isinstance(size, torch.SymInt)
            for item in node.all_input_nodes
            if is_tensor(item)
            for size in value_of(item).shape
        )
        for node in program.graph.nodes
    )


def _require_safe_inputs(program: ExportedProgram) -> None:
    """The kernels of an AOTInductor package read memory with the exported strides and sizes, whatever comes."""
    checks = [node for node in program.graph.nodes if node.target is torch.ops.tensorrt.check_inputs.default]
    contiguous = any(_is_read_by_kernels(item) for node in checks for item in node.args[0])
    for node in checks:
        node.args = (node.args[0], _as_captured(node.args[1]), contiguous)
    if contiguous:
        _LOGGER.info(
            "PyTorch's blocks take inputs of this program: its AOTInductor package takes contiguous tensors only, and "
            "raises an error for others"
        )


def _written_placeholders(program: ExportedProgram) -> set[str]:
    """The names of the placeholders whose tensors the program's nodes write."""
    return {base.name for node in program.graph.nodes if is_mutation(node) for base in view_chain(node.args[0])[-1:]}


def _copy_written_state(program: ExportedProgram) -> None:
    """Gives the program copies of the tensors that it writes. Inductor evaluates what reads constants only, and takes
    `self.a.copy_(self.b)` for such: it would write into the caller's buffer."""
    signature, written = program.graph_signature, _written_placeholders(program)
    targets = {spec.target for spec in signature.input_specs if spec.target and spec.arg.name in written}
    targets |= set(signature.buffers_to_mutate.values())
    for state in (program.state_dict, program.constants):
        for name in targets & state.keys():
            tensor = state[name]
            copied = tensor.detach().clone()
            is_parameter = isinstance(tensor, torch.nn.Parameter)
            state[name] = torch.nn.Parameter(copied, tensor.requires_grad) if is_parameter else copied


def _described_inputs(program: ExportedProgram) -> list[dict[str, Any]]:
    """Of each flattened input its name, its value if that is compiled in, and whether the program writes it."""
    written = _written_placeholders(program) | set(program.graph_signature.user_inputs_to_mutate.values())
    inputs = [spec.arg for spec in program.graph_signature.input_specs if spec.kind is InputKind.USER_INPUT]
    described: list[dict[str, Any]] = []
    for arg in inputs:
        if isinstance(arg, ConstantArgument):
            is_plain = arg.value is None or isinstance(arg.value, (bool, int, float, str))
            described.append({"name": arg.name, **({"value": arg.value} if is_plain else {})})
        else:
            described.append(
                {"name": arg.name, "tensor": isinstance(arg, TensorArgument), "written": arg.name in written}
            )
    return described


def _results_in_python(program: ExportedProgram) -> dict[str, Any]:
    """By index, what the results are that the package does not compute: "int" or "float" for one that it has as a
    tensor, [a constant], or {"input": the position of the input that it is}.

    Raises:
        ValueError: one that Inductor does not know.
    """
    found: dict[str, Any] = {}
    signature = program.graph_signature
    inputs = [spec.arg.name for spec in signature.input_specs if spec.kind is InputKind.USER_INPUT]
    results = [spec.arg for spec in signature.output_specs if spec.kind is OutputKind.USER_OUTPUT]
    for index, result in enumerate(results):
        if isinstance(result, ConstantArgument):
            found[str(index)] = [result.value]
        elif isinstance(result, SymIntArgument):
            found[str(index)] = "int"
        elif isinstance(result, SymFloatArgument):
            found[str(index)] = "float"
        elif isinstance(result, TensorArgument) and result.name in inputs:
            found[str(index)] = {"input": inputs.index(result.name)}
        elif not isinstance(result, TensorArgument):
            kind = "bool" if isinstance(result, SymBoolArgument) else type(result).__name__
            raise ValueError(
                f"save: an AOTInductor package cannot return result {index}, a {kind} that depends on sizes: return it "
                "as a tensor (torch.tensor), or save the program in another format"
            )
    return found


def _return_what_inductor_knows(program: ExportedProgram) -> None:
    """Makes results None where they are constants, of which Inductor knows integers only, and tensors where they are
    floats that depend on sizes."""
    output, specs = program.graph.output_node(), program.graph_signature.output_specs
    values = list(output.args[0])
    for index, spec in enumerate(specs):
        if isinstance(spec.arg, ConstantArgument):
            values[index], spec.arg = None, ConstantArgument(name="", value=None)
        elif isinstance(spec.arg, SymFloatArgument):
            with program.graph.inserting_before(output):
                number = program.graph.call_function(
                    torch.ops.aten.full.default, ([], values[index]), {"dtype": torch.float64}
                )
            values[index], spec.arg = number, TensorArgument(number.name)
    output.args = (tuple(values),)


class _LoadedProgram(ExportedProgram):
    """An ExportedProgram whose modules name the value that is out of range, too, and take inputs of any names."""

    def module(self, check_guards: bool = False) -> torch.fx.GraphModule:
        # PyTorch has two checks of the same ranges; the one that is left names input, dimension, range and value.
        with CAPTURE_LOCK:
            module = super().module(check_guards=check_guards)
        if name_inputs_apart(module.graph):
            module.recompile()
        return module


# --- save and load ---


def save(
    module: Any,
    file_path: str | os.PathLike[str] = "",
    *,
    extra_files: dict[str, Any] | None = None,
    output_format: str = "exported_program",
    inputs: Any = None,
    arg_inputs: Any = None,
    kwarg_inputs: Mapping[str, Any] | None = None,
    retrace: bool = True,
    use_legacy_exporter: bool | None = None,
    pickle_protocol: int = 2,
    dynamic_shapes: Any = None,
    **kwargs: Any,
) -> None:
    """Saves a compiled program.

    Args:
        module: what ``compile`` or ``load`` returned: a GraphModule, an ExportedProgram or a ScriptModule.
        file_path: where to. Written beside and renamed.
        extra_files: names and contents to store with it ("exported_program" and "torchscript").
        output_format: "exported_program" (for Python and re-export), "torchscript" (``torch.jit.load``) or
            "aot_inductor" (``AOTIModelPackageLoader``, ``torch._inductor.aoti_load_package``; the file must end in
            ".pt2").
        inputs: or `arg_inputs`, `kwarg_inputs`: needed only for modules that ``compile`` did not make. Compiled modules
            know their inputs and ranges.
        retrace: accepted; programs are always exported afresh.
        use_legacy_exporter: accepted, without effect.
        pickle_protocol: for "exported_program".
        dynamic_shapes: as in ``torch.export.export``, to replace the ranges that the module knows.
        inductor_configs: (aot_inductor) options of the Inductor.
    Raises:
        ValueError: a module or a combination that cannot be saved so.
        TypeError: unknown keyword.
    """
    del retrace, use_legacy_exporter
    inductor_configs = kwargs.pop("inductor_configs", None)
    if kwargs:
        raise TypeError(f"torch_tensorrt.save() got an unexpected keyword argument {next(iter(kwargs))!r}")
    if not file_path:
        raise ValueError("save: give the file's path")
    if inputs is not None and arg_inputs is not None:
        raise AssertionError("'arg_inputs' and 'inputs' should not be used at the same time.")
    if output_format not in _FORMATS:
        raise ValueError(f"save: unknown output_format {output_format!r}; known are {', '.join(_FORMATS)}")
    if inductor_configs is not None and output_format != "aot_inductor":
        raise ValueError('save: inductor_configs goes with output_format="aot_inductor"')
    path = os.fspath(file_path)
    if isinstance(module, CudaGraphsTorchTensorRTModule):
        module = module.compiled_module
    positional = arg_inputs if arg_inputs is not None else inputs
    if isinstance(module, torch.jit.ScriptModule):
        if output_format != "torchscript":
            raise ValueError('save: a ScriptModule can only be saved with output_format="torchscript"')
        scripted = module
    elif isinstance(module, ExportedProgram):
        if output_format == "torchscript":
            raise ValueError("save: an ExportedProgram cannot be saved as TorchScript; save the compiled module")
    elif not isinstance(module, torch.fx.GraphModule):
        raise ValueError(
            "save: expected a compiled GraphModule, an ExportedProgram or a ScriptModule, "
            f"got {type(module).__name__}; compile the model first"
        )
    if output_format == "aot_inductor":
        if extra_files:
            raise ValueError("save: AOTInductor packages take no extra_files")
        if not path.endswith(".pt2"):
            raise ValueError(f'save: an AOTInductor package must end in ".pt2", got {path!r}')
    with written_whole(path) as stream, CAPTURE_LOCK, _undisturbed():
        file: Any = stream
        if output_format == "torchscript":
            if not isinstance(module, torch.jit.ScriptModule):
                scripted = _as_torchscript(module, positional, kwarg_inputs)
            load_binding().save_script(scripted._c, file.write, extra_files or {})
            return
        if isinstance(module, ExportedProgram):
            program = own_copy(module)
        else:
            program = _reexport(module, positional, kwarg_inputs, dynamic_shapes)
        program = with_written_buffers(program)  # in a file, tensors share no memory
        if output_format == "exported_program":
            if any(isinstance(value, str) for value in program.graph.output_node().args[0]):
                raise ValueError("save: torch.export cannot read a program back that returns text; use another format")
            with held_signals():
                torch.export.save(program, file, extra_files=extra_files, pickle_protocol=pickle_protocol)
            return
        from torch._inductor import aoti_compile_and_package

        from .runtime._package import INPUTS, RESULTS

        program = _exact_where_needed(_with_checks(program))
        configs = dict(inductor_configs or {})
        metadata = {
            **configs.get("aot_inductor.metadata", {}),
            INPUTS: json.dumps(_described_inputs(program)),
            RESULTS: json.dumps(_results_in_python(program)),
        }
        _require_safe_inputs(program)
        _return_what_inductor_knows(program)
        _give_each_engine_a_tensor(program)
        _write_slice_bounds(program)
        _copy_written_state(program)
        windows = _windows_by_pytorch() if _has_dynamic_pooling(program) else contextlib.nullcontext()
        with windows, no_coincidences():
            aoti_compile_and_package(
                program, package_path=file, inductor_configs={**configs, "aot_inductor.metadata": metadata}
            )


def _archive_kind(path: str) -> str:
    """What the file holds: "aot_inductor", "torchscript" or "exported_program".

    Compares all checksums first (0.3 s for a gigabyte): PyTorch's own readers compare none, and a weight with a
    wrong bit is a wrong answer.
    """
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        damaged = archive.testzip()
    if damaged is not None:
        raise ValueError(f"its part {damaged!r} does not have the bytes that were written")
    if any("/data/aotinductor/" in name for name in names):
        return "aot_inductor"
    if any(re.search(r"/code/.*\.py$", name) or name.endswith("/constants.pkl") for name in names):
        return "torchscript"
    return "exported_program"


def _loaded_program(path: str, extra_files: dict[str, Any] | None) -> ExportedProgram:
    # Not torch.export.load, which puts "Please check the warnings above" in the place of the reason.
    from torch.export.pt2_archive._package import load_pt2

    # An open file: of a name that does not end in ".pt2", PyTorch would complain.
    with CAPTURE_LOCK, open(path, "rb") as file:
        contents = load_pt2(file)
    if "model" not in contents.exported_programs:
        raise ValueError("it holds no exported program")
    if extra_files is not None:
        extra_files.update(contents.extra_files)
    program = contents.exported_programs["model"]
    program.__class__ = _LoadedProgram
    return program


def load(
    file_path: str | os.PathLike[str] = "",
    extra_files: dict[str, Any] | None = None,
    *,
    format: str | None = None,
    **kwargs: Any,
) -> Any:
    """Loads what ``save`` wrote.

    Args:
        file_path: the file.
        extra_files: names whose contents are filled in.
        format: "exported_program", "torchscript" or "aot_inductor"; None: found out from the file.
    Returns:
        An ExportedProgram (call ``.module()``), a ScriptModule, or a callable AOTInductor model.
    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is none of these, or is damaged.
    """
    if kwargs:
        raise TypeError(f"torch_tensorrt.load() got an unexpected keyword argument {next(iter(kwargs))!r}")
    if format is not None and format not in _FORMATS:
        raise ValueError(f"load: unknown format {format!r}; known are {', '.join(_FORMATS)}")
    path = os.fspath(file_path)
    if not os.path.isfile(path):
        raise FileNotFoundError(f"load: there is no file {path!r}")
    try:
        kind = _archive_kind(path)
        if format is not None and format != kind:
            raise ValueError(f"it holds a program of format {kind!r}, not {format!r}")
        if kind == "torchscript":
            return torch.jit.load(path, _extra_files=extra_files)  # type: ignore[no-untyped-call]
        if kind == "aot_inductor":
            from torch._inductor import aoti_load_package

            from .runtime._package import LoadedPackage

            loaded = aoti_load_package(path)
            loaded.__class__ = LoadedPackage
            # The runtime modes' managers look for them here; they are the very engines of the package.
            setattr(loaded, PACKAGE_ENGINES, load_binding().package_engines(path))
            return loaded
        return _loaded_program(path, extra_files)
    except OSError:
        raise  # the file or its folder cannot be read
    except Exception as error:
        if "temporary directory" in str(error):
            raise OSError(
                f"load: {path!r} must be unpacked, and there is no place: {error}; set TMPDIR to a folder where files "
                "can be written"
            ) from error
        raise ValueError(
            f"load: {path!r} is not a program that torch_tensorrt.save wrote, or it is damaged: "
            f"{type(error).__name__}: {error}"
        ) from error
