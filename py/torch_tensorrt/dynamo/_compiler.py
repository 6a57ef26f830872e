# SPDX-License-Identifier: Apache-2.0
"""The pipeline: lower, query, partition, build, assemble; repeated when a block turns out not to build."""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import sympy
import torch
from torch import fx
from torch.export import ExportedProgram

from .._capture_lock import CAPTURE_LOCK
from .._device import Device
from .._library import load_binding
from .._settings import CompilationSettings, log_unused, make_settings, timing_cache_folder
from ..runtime._module import CompiledModule, EngineModule, TorchBlock, apply_calling_convention, name_inputs_apart
from ._assemble import Assembly, CallingConvention
from ._graph import (
    Program,
    Refusal,
    RefusedError,
    UnreliableCaptureError,
    block_graph,
    can_be_written_down,
    query,
    refusal,
)
from ._guards import recorded_codes, size_guards
from ._lowering import lower
from ._nodes import (
    ITEM_OP,
    attribute,
    attribute_names,
    is_checked_by_eager,
    is_compute,
    is_mutation,
    resamples,
    value_of,
)
from ._partition import Block, Partition, Partitioner, preliminary_refusals
from ._refit import structure
from ._report import BlockReport, Report
from ._small_sizes import examine
from ._symbols import NotRepresentableError, size_expr, size_text, sizes
from ._trace import InputSpecs, check_ir, collect_inputs, symbol_ranges, user_input_names
from .conversion._registry import conversion_scope

_LOGGER = logging.getLogger("torch_tensorrt")


def program_device(program: ExportedProgram) -> torch.device:
    """Where the exported program runs: its parameters' device, else its inputs', else its constants'. Numbers that are
    written in the model as tensors are on the CPU wherever it runs."""
    names = set(user_input_names(program))
    inputs = [node.meta.get("val") for node in program.graph.nodes if node.op == "placeholder" and node.name in names]
    for tensor in (*program.state_dict.values(), *inputs, *program.constants.values()):
        if isinstance(tensor, torch.Tensor):
            return tensor.device
    return torch.device("cpu")


def compile(
    exported_program: ExportedProgram,
    inputs: Any = None,
    *,
    arg_inputs: Any = None,
    kwarg_inputs: Mapping[str, Any] | None = None,
    ir: str = "dynamo",
    **settings: Any,
) -> fx.GraphModule:
    """Compiles an exported program.

    Args:
        exported_program: from ``torch_tensorrt.dynamo.trace`` or ``torch.export.export``; its ranges are kept.
        inputs: or `arg_inputs`, `kwarg_inputs`: the same inputs, for their ``opt_shape`` and profiles; optional.
        ir: "dynamo" or "default", which are the same here; scripts pass on what ``torch_tensorrt.compile`` takes.
        **settings: fields of ``CompilationSettings``.
    Returns:
        A GraphModule of engines and PyTorch blocks; the program's own module where too little can be compiled.
    Raises:
        AssertionError: require_full_compilation, and something cannot be compiled.
        TypeError, ValueError: unknown or impossible settings.
    """
    check_ir(ir, "dynamo.compile")
    resolved = make_settings(settings, context="dynamo.compile")
    if not isinstance(exported_program, ExportedProgram):
        raise TypeError(f"expected a torch.export.ExportedProgram, got {type(exported_program).__name__}")
    specs = None
    if inputs is not None or arg_inputs is not None or kwarg_inputs is not None:
        specs = collect_inputs(inputs, arg_inputs, kwarg_inputs)
    return compile_program(exported_program, resolved, specs)


def compile_program(
    exported: ExportedProgram, settings: CompilationSettings, specs: InputSpecs | None = None
) -> fx.GraphModule:
    where = program_device(exported)
    device = settings.device or Device(where)
    if device.to_torch().type != where.type:
        raise ValueError(
            f"device={device.to_torch()}, but the model's parameters (or its inputs, if it has none) are on {where}: "
            f'move them with .to("{device.to_torch()}"), or leave out `device`'
        )
    settings = dataclasses.replace(settings, device=device)
    try:
        program, convention = lower(exported, settings, specs)
        for guard in program.guards:
            _LOGGER.warning(
                "the model branches on sizes: it is compiled for those with %s, and refuses others", guard.text
            )
        result = compile_lowered(program, convention, settings)
        if result is not None:
            return result
    except UnreliableCaptureError as error:
        if settings.require_full_compilation:
            raise AssertionError(
                f"require_full_compilation=True was set, but nothing can be compiled: {error}"
            ) from error
        _LOGGER.warning("the model is returned as it is: %s", error)
    with CAPTURE_LOCK:
        # PyTorch's operators answer where only they left guards.
        guards = size_guards(exported.graph, symbol_ranges(exported, {}), recorded_codes(exported))
        original = exported.module(check_guards=bool(guards.model))
    assert isinstance(original, fx.GraphModule)
    if name_inputs_apart(original.graph):
        original.recompile()
    original.meta["torch_tensorrt_program"] = exported  # so that it can be saved like a compiled module
    return original


def in_pytorch(exported: ExportedProgram) -> CompiledModule:
    """The program with all operators in PyTorch's blocks: what ``compile_program`` gives where nothing is compiled, in
    the form that can be saved."""
    settings = CompilationSettings(device=Device(program_device(exported)))
    try:
        program, convention = lower(exported, settings, None)
    except UnreliableCaptureError:
        return _as_captured(exported)
    refusals = {node.name: refusal(node, "USER", "nothing is compiled") for node in program.compute_nodes()}
    partitioner = Partitioner(program, min_block_size=1)
    module = Assembly(program, partitioner.partition(refusals), partitioner.sources).build({}, convention)
    module.meta["torch_tensorrt"] = _known_inputs(program, convention)
    return module


def with_exact_parts(exported: ExportedProgram, small_sizes: bool) -> CompiledModule | None:
    """The program with engines for PyTorch's own operators (target "aten") around operators that compilers make code
    of which checks less than the operator, or computes otherwise, and (`small_sizes`) around everything whose shapes
    are not always those of its metadata. Code that believes metadata may call engines: it passes results on as they
    come.

    None where there is nothing such. Raises UnreliableCaptureError where engines cannot hold all of it.
    """
    module = exported.module(check_guards=False)
    assert isinstance(module, fx.GraphModule)
    ranges = symbol_ranges(exported, {})
    found = examine(module.graph, ranges).nodes if small_sizes else {}
    inside = _between(found) if found else set()
    if program_device(exported).type == "cpu":
        inside |= {
            node
            for node in module.graph.nodes
            if (is_checked_by_eager(node) or resamples(node)) and can_be_written_down(node)
        }
    if not inside:
        return None
    for node in list(module.graph.nodes):
        if node.target is torch.ops.tensorrt.check_inputs.default and "guards" not in json.loads(node.args[1]):
            module.graph.erase_node(node)  # the assembly checks what is left to check
    program, convention = Program(module, ranges), CallingConvention.of(module.graph)
    refusals = {node.name: refusal(node, "USER", "") for node in program.compute_nodes() if node not in inside}
    partitioner = Partitioner(program, min_block_size=1)
    assembly = Assembly(program, partitioner.partition(refusals), partitioner.sources)
    blocks = {index: block for index, block in enumerate(assembly.blocks) if block.engine}
    if sum(len(block.nodes) for block in blocks.values()) != len(inside):
        raise UnreliableCaptureError("engines cannot hold all that needs PyTorch's own operators")
    builder = _Builder(program, CompilationSettings(device=Device(program_device(exported))), ("aten",), {})
    engines: dict[int, torch.nn.Module] = {}
    for index, block in blocks.items():
        name, outputs = f"_exact_{len(engines)}", assembly.outputs[index]
        try:
            built = builder.build(name, block, assembly.inputs[index], outputs, found)
        except (RefusedError, load_binding().UnsupportedError) as error:
            raise UnreliableCaptureError(str(error)) from error
        engines[index] = EngineModule(name, built.metadata, built.payload, single_output=len(outputs) == 1)
    result = assembly.build(engines, convention)
    result.meta["torch_tensorrt"] = _known_inputs(program, convention)
    return result


def _between(found: Collection[fx.Node]) -> set[fx.Node]:
    """These nodes, and those that lie between two of them, but for engines.

    Raises:
        UnreliableCaptureError: there is one that no engine holds.
    """
    behind: set[fx.Node] = set()
    before: set[fx.Node] = set()
    graph = next(iter(found)).graph
    for node in graph.nodes:
        if node in found or any(item in behind for item in node.all_input_nodes):
            behind.add(node)
    for node in reversed(graph.nodes):
        if node in found or any(user in before for user in node.users):
            before.add(node)
    inside = behind & before
    for node in inside:
        if is_mutation(node) or node.target is ITEM_OP:
            raise UnreliableCaptureError(f"{node.name} ({node.target}) cannot be part of it")
    engine = torch.ops.tensorrt.execute_engine.default
    return {node for node in inside if is_compute(node) and node.target is not engine}


def _as_captured(exported: ExportedProgram) -> CompiledModule:
    """The program's operators one by one, as eager runs them: also those that write, which are not taken apart."""
    with CAPTURE_LOCK:
        source = exported.module(check_guards=False)
    assert isinstance(source, fx.GraphModule)
    graph = fx.Graph()
    graph.output(graph.graph_copy(source.graph, {}))
    names = attribute_names(str(node.target) for node in graph.nodes if node.op == "get_attr")
    attributes = {name: attribute(source, target) for target, name in names.items()}
    for node in graph.nodes:
        if node.op == "get_attr":
            node.target = names[str(node.target)]
    convention = CallingConvention.of(source.graph)
    apply_calling_convention(graph, convention.orig_args, convention.in_spec, convention.out_spec)
    return CompiledModule(attributes, graph)


class _Builder:
    """Builds engines and remembers them, since a repeated partitioning asks for most of them again."""

    def __init__(
        self, program: Program, settings: CompilationSettings, targets: tuple[str, ...], former: FormerEngines
    ) -> None:
        self._program = program
        self._settings = settings
        self._targets = targets
        self._former = former
        self._built: dict[tuple[Any, ...], Any] = {}

    def build(
        self,
        name: str,
        block: Block,
        inputs: list[fx.Node],
        outputs: list[fx.Node],
        of_any_size: Collection[fx.Node] = (),
    ) -> Any:
        """The binding's compiled engine; torch_tensorrt._C errors where it cannot be. `of_any_size`: see
        ``block_graph``."""
        key = (tuple(node.name for node in block.nodes), tuple(inputs), tuple(outputs))
        if key not in self._built:
            graph = block_graph(self._program, name, block.nodes, inputs, outputs, of_any_size)
            assert self._settings.device is not None
            timings = self._settings.timing_cache_path
            self._built[key] = load_binding().compile(
                graph,
                targets=list(self._targets),
                device=self._settings.device.to_torch().type,
                use_plugins=self._settings.use_plugins,
                workspace_size=self._settings.workspace_size,
                optimization_level=self._settings.optimization_level,
                use_fp32_acc=self._settings.use_fp32_acc,
                compute_capabilities=list(self._settings.compute_capabilities),
                inference_precision=self._settings.inference_precision,
                profiles=[dict(profile) for profile in self._program.profiles],
                hardware_compatible=self._settings.hardware_compatible,
                version_compatible=self._settings.version_compatible,
                timing_cache_path=timing_cache_folder() if timings is None else timings,
                weight_streaming=self._settings.enable_weight_streaming,
                torch_version=torch.__version__,
                rebuildable=self._settings.rebuildable,
                refit=self._settings.refit,
                strip_weights=self._settings.strip_engine_weights,
                former=self._former.get(name),
            )
        return self._built[key]


FormerEngines = Mapping[str, tuple[str, torch.Tensor]]
"""Metadata and payload by the engine's name."""


def compile_lowered(
    program: Program, convention: CallingConvention, settings: CompilationSettings, former: FormerEngines | None = None
) -> CompiledModule | None:
    """Compiles a lowered program; None where the module should be used as it is (too little to compile, or dryrun).

    `former`: engines of a program that may differ in weights only, to be refitted where that can be done.
    """
    assert settings.device is not None
    targets = settings.resolve_targets(settings.device.to_torch())
    log_unused(settings, targets)
    with conversion_scope(program.compute_nodes(), settings):
        return _compile_lowered(program, convention, settings, targets, former or {})


def _compile_lowered(
    program: Program,
    convention: CallingConvention,
    settings: CompilationSettings,
    targets: tuple[str, ...],
    former: FormerEngines,
) -> CompiledModule | None:
    refusals = preliminary_refusals(program, settings)
    refusals = {**query(program, targets, settings.use_plugins), **refusals}
    total = len(program.compute_nodes())
    if (
        total - len(refusals) < settings.min_block_size
        and not settings.require_full_compilation
        and not settings.dryrun
    ):
        _LOGGER.warning(
            "%d of %d operators can be compiled, fewer than min_block_size=%d: the model is returned as it is",
            total - len(refusals),
            total,
            settings.min_block_size,
        )
        return None
    partitioner = Partitioner(program, 1 if settings.require_full_compilation else settings.min_block_size)
    builder = _Builder(program, settings, targets, former)
    while True:
        partition = partitioner.partition(refusals)
        if settings.require_full_compilation:
            _require_one_engine(partition)
        assembly = Assembly(program, partition, partitioner.sources)
        if settings.dryrun:
            _publish(make_report(assembly, partition, settings, targets, {}), settings)
            return None
        engines, failed = _build_engines(builder, assembly, settings)
        if failed is None:
            break
        refusals.update(failed)
    if not engines:
        _LOGGER.warning("no block of at least %d operators: the model is returned as it is", settings.min_block_size)
        return None
    modules: dict[int, torch.nn.Module] = {}
    for number, index in enumerate(engines):
        built = engines[index]
        single = len(assembly.outputs[index]) == 1
        modules[index] = EngineModule(f"_run_on_acc_{number}", built.metadata, built.payload, single_output=single)
    module = assembly.build(modules, convention)
    report = make_report(assembly, partition, settings, targets, engines)
    module.meta["torch_tensorrt"] = {
        "report": report,
        "settings": settings,
        "mutated": program.mutated,
        **_known_inputs(program, convention),
    }
    if settings.knows_structure:
        module.meta["torch_tensorrt"]["structure"] = structure(program, convention.in_spec, convention.out_spec)
    _LOGGER.info("%s", report.to_text())
    return module


_ASSERTIONS = frozenset(
    {torch.ops.aten._assert_scalar.default, torch.ops.aten._assert_async.default, torch.ops.aten._assert_async.msg}
)


def _require_one_engine(partition: Partition) -> None:
    """AssertionError unless there is one engine, and besides it at most assertions, which compute nothing."""
    computing = [block for block in partition.blocks if any(node.target not in _ASSERTIONS for node in block.nodes)]
    if len(computing) == 1 and computing[0].engine:
        return
    assertions = {str(target) for target in _ASSERTIONS}
    lines = [
        f"  {item.node} ({item.target}): {item.reason}: {item.message}"
        for item in partition.refusals.values()
        if item.target not in assertions
    ]
    raise AssertionError(
        "require_full_compilation=True was set, but not all operators can be compiled:\n" + "\n".join(lines)
    )


def _build_engines(
    builder: _Builder, assembly: Assembly, settings: CompilationSettings
) -> tuple[dict[int, Any], dict[str, Refusal] | None]:
    """Engines by block index; or the refusals that a failed build leads to."""
    c = load_binding()
    engines: dict[int, Any] = {}
    for index, block in enumerate(assembly.blocks):
        if not block.engine:
            continue
        name = f"_run_on_acc_{len(engines)}"
        try:
            engines[index] = builder.build(name, block, assembly.inputs[index], assembly.outputs[index])
        except c.UnsupportedError as error:
            if settings.pass_through_build_failures or settings.require_full_compilation:
                raise
            found = getattr(error, "refusal", None)
            if found is not None:  # one node is to blame: the rest of the block can still be an engine
                _LOGGER.info("%s cannot be converted after all: %s", found.node, found.message)
                return {}, {found.node: Refusal(found.node, found.target, found.reason, found.message, found.source)}
            _LOGGER.warning("%s (%d operators) stays in PyTorch: %s", name, block.size, error)
            return {}, {node.name: refusal(node, "BUILD_FAILURE", str(error)) for node in block.nodes}
    return engines, None


def _known_inputs(program: Program, convention: CallingConvention) -> dict[str, Any]:
    """What a compiled module knows of its inputs, so that it can be exported again."""
    return {
        "inputs": describe_inputs(program),
        "ranges": {name: tuple(bounds) for name, bounds in program.ranges.items()},
        "captured": captured_sizes(program),
        "in_spec": convention.in_spec,
    }


def describe_inputs(program: Program) -> list[dict[str, Any]]:
    """Name, dtype, device and sizes of every flattened input; a size is an int or an expression over the symbols."""
    described: list[dict[str, Any]] = []
    for node in program.module.graph.nodes:
        if node.op != "placeholder":
            continue
        value = value_of(node)
        if isinstance(value, torch.Tensor):
            try:
                shape: list[int | str] | None = [size_text(size) for size in sizes(value)]
            except NotRepresentableError:
                shape = None
            described.append({"name": node.name, "dtype": value.dtype, "device": value.device, "shape": shape})
        elif isinstance(value, torch.SymInt):
            described.append({"name": node.name, "size": size_text(value)})
        else:
            described.append(
                {"name": node.name, "value": value if isinstance(value, (int, float, bool, str)) else None}
            )
    return described


def captured_sizes(program: Program) -> dict[str, int]:
    """The size of each of the inputs' symbols in the example that the program was captured with."""
    found: dict[str, int] = {}
    for node in program.module.graph.nodes:
        if node.op == "placeholder":
            value = value_of(node)
            for size in sizes(value) if isinstance(value, torch.Tensor) else (value,):
                expr = size_expr(size) if isinstance(size, torch.SymInt) else None
                if isinstance(expr, sympy.Symbol) and size.node.has_hint():
                    found[expr.name] = int(size.node.hint)
    return found


def make_report(
    assembly: Assembly,
    partition: Partition,
    settings: CompilationSettings,
    targets: tuple[str, ...],
    engines: Mapping[int, Any],
) -> Report:
    blocks = []
    numbers = {True: 0, False: 0}
    for index, block in enumerate(assembly.blocks):
        prefix = "_run_on_acc_" if block.engine else "_run_on_gpu_"
        built = engines.get(index)
        blocks.append(
            BlockReport(
                name=f"{prefix}{numbers[block.engine]}",
                engine=block.engine,
                operators=[str(node.target) for node in block.nodes],
                inputs=[node.name for node in assembly.inputs[index]],
                outputs=[node.name for node in assembly.outputs[index]],
                engine_bytes=len(built.payload) if built is not None else None,
                layers=built.layers if built is not None else None,
            )
        )
        numbers[block.engine] += 1
    order = {node.name: position for position, node in enumerate(assembly.program.compute_nodes())}
    refusals = sorted(partition.refusals.values(), key=lambda item: order.get(item.node, -1))
    shown = {
        item.name: getattr(settings, item.name)
        for item in dataclasses.fields(settings)
        if getattr(settings, item.name) != item.default and item.name not in ("accepted", "device")
    }
    return Report(targets, {key: str(value) for key, value in shown.items()}, blocks, refusals)


def _publish(report: Report, settings: CompilationSettings) -> None:
    print(report.to_text())
    if isinstance(settings.dryrun, str):
        path = Path(settings.dryrun)
        path.write_text(report.to_json(), encoding="utf-8")
        _LOGGER.info("the partitioning was written to %s", path)


def convert_exported_program_to_serialized_trt_engine(
    exported_program: ExportedProgram,
    inputs: Any = None,
    *,
    arg_inputs: Any = None,
    kwarg_inputs: Mapping[str, Any] | None = None,
    ir: str = "dynamo",
    **settings: Any,
) -> bytes:
    """Compiles the whole program into one engine and returns its package as bytes.

    Raises AssertionError, with every operator and the reason, where it cannot be one engine.
    """
    check_ir(ir, "dynamo.convert_exported_program_to_serialized_trt_engine")
    resolved = make_settings(
        {**settings, "require_full_compilation": True},
        context="dynamo.convert_exported_program_to_serialized_trt_engine",
    )
    specs = None
    if inputs is not None or arg_inputs is not None or kwarg_inputs is not None:
        specs = collect_inputs(inputs, arg_inputs, kwarg_inputs)
    module = compile_program(exported_program, resolved, specs)
    if any(isinstance(child, TorchBlock) for child in module.modules()):
        raise AssertionError(
            "the program asserts something of its sizes or values, which an engine by itself does not: use "
            "torch_tensorrt.compile, whose module does"
        )
    engine = next(child for child in module.modules() if isinstance(child, EngineModule))
    return bytes(load_binding().package_bytes(engine.engine.metadata(), engine.engine.payload()))
