# SPDX-License-Identifier: Apache-2.0
"""From an ExportedProgram to the functional ATen graph that is partitioned."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

import sympy
import torch
from torch import fx
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind

from .._capture_lock import CAPTURE_LOCK
from .._library import load_binding
from .._settings import CompilationSettings
from ._assemble import CallingConvention
from ._counts import largest_counts, selections_may_be_empty
from ._decompositions import decompose, long_recurrences
from ._graph import Program, UnreliableCaptureError
from ._guards import recorded_codes, size_guards
from ._known import with_known_values
from ._nodes import ITEM_OP, erase_unread, is_compute, updates_statistics, value_of
from ._shared_memory import (
    with_layouts_of_writes,
    with_values_of_their_own,
    with_views_that_go_back,
    with_written_buffers,
    without_guards_on_bases,
)
from ._small_sizes import (
    Findings,
    examine,
    keep_whole,
    restore,
    with_values_for_writes,
    written_views,
)
from ._symbols import Ranges, size_expr, sizes
from ._trace import LARGEST_SIZE, InputSpecs, optimal_sizes, profile_ranges, symbol_ranges

_METADATA_ASSERTS = frozenset(
    {
        torch.ops.aten._assert_tensor_metadata.default,
        torch.ops.aten.sym_constrain_range_for_size.default,
        torch.ops.aten.sym_constrain_range.default,
    }
)
# For what PyTorch would take apart wrongly, in the order in which they are applied.
_REWRITES = (
    without_guards_on_bases,
    with_written_buffers,
    with_views_that_go_back,
    with_layouts_of_writes,
    with_values_of_their_own,
)
_SHAPE_ONLY = frozenset({torch.ops.aten.slice.Tensor, torch.ops.aten.expand.default, torch.ops.aten.view.default})
_ALIAS_ONLY = frozenset({torch.ops.aten.alias.default, torch.ops.aten.detach.default})


def lower(
    program: ExportedProgram, settings: CompilationSettings, specs: InputSpecs | None
) -> tuple[Program, CallingConvention]:
    """Decomposes, lifts parameters back in, and drops what only tracing needed."""
    with CAPTURE_LOCK:
        ranges = symbol_ranges(program, optimal_sizes(program, specs))
        guards = size_guards(program.graph, ranges, recorded_codes(program))
        lowered, convention = lower_in_ranges(program, settings, ranges, profile_ranges(program, specs, ranges))
        lowered.guards = guards.model
        return lowered, convention


def lower_in_ranges(
    program: ExportedProgram,
    settings: CompilationSettings,
    ranges: dict[str, tuple[int, int, int | None]],
    profiles: tuple[Mapping[str, tuple[int, int, int]], ...],
) -> tuple[Program, CallingConvention]:
    """The same, for known ranges; those of sizes that data decides are added to them."""
    for rewrite in _REWRITES:
        program = rewrite(program)
    program, captured = _with_reliable_writes(program, ranges)
    whole = {**long_recurrences(program), **captured.nodes}
    module, unreliable = _taken_apart(program, settings, ranges, whole)
    if unreliable.disagreement(captured) is not None:
        # Some operator becomes others that do something else there: only what has a converter is needed in parts.
        known = set(load_binding().supported_targets())
        others = {
            node: "its parts do something else"
            for node in program.graph.nodes
            if is_compute(node) and str(node.target) not in known
        }
        module, unreliable = _taken_apart(program, settings, ranges, {**others, **whole})
    if (difference := unreliable.disagreement(captured)) is not None:
        raise UnreliableCaptureError(f"taken apart, it would be another one at small sizes: {difference}")
    convention = CallingConvention.of(module.graph)
    counts = largest_counts(module.graph)
    for name, largest in counts.items():
        low, opt, high = ranges.get(name, (0, 1, None))
        if high is None:
            high = int(largest) if largest.is_Integer else LARGEST_SIZE
            ranges[name] = (low, min(opt, high), high)
    clean(module, ranges, counts, unreliable.nodes)
    why = {node.name: what for node, what in unreliable.nodes.items()}
    unread = _read_inputs(program.graph, program) > _read_inputs(module.graph)
    assumed = tuple(unreliable.guards.values())
    lowered = Program(module, ranges, profiles, why, unreliable.holds_from, assumed, unread)
    with_known_values(lowered, None if settings.device is None else settings.device.to_torch())
    return lowered, convention


def _read_inputs(graph: fx.Graph, program: ExportedProgram | None = None) -> set[int]:
    """Which of a graph's inputs something reads, by their positions; of a program's graph, the user's inputs."""
    inputs = [node for node in graph.nodes if node.op == "placeholder"]
    if program is not None:
        users = {spec.arg.name for spec in program.graph_signature.input_specs if spec.kind is InputKind.USER_INPUT}
        inputs = [node for node in inputs if node.name in users]
    return {
        index for index, node in enumerate(inputs) if any(user.target not in _METADATA_ASSERTS for user in node.users)
    }


def _with_reliable_writes(program: ExportedProgram, ranges: Ranges) -> tuple[ExportedProgram, Findings]:
    """The program without writes through views of sizes that were not captured as they are, and what is found out.

    Raises:
        UnreliableCaptureError: there is such a write, and nothing else says what it writes.
    """
    captured = examine(program.graph, ranges, program.graph_signature.user_outputs, recorded_codes(program))
    if not (views := written_views(program, captured.nodes)):
        return program, captured
    functional = with_values_for_writes(program, views)
    if functional is not None:
        found = examine(functional.graph, ranges, functional.graph_signature.user_outputs)
        if found.disagreement(captured) is None:
            return functional, found
    why = captured.nodes[next(iter(views))]
    raise UnreliableCaptureError(f"it writes through a view whose sizes were not captured as they are: {why}")


def _taken_apart(
    program: ExportedProgram, settings: CompilationSettings, ranges: Ranges, whole: Mapping[fx.Node, str]
) -> tuple[fx.GraphModule, Findings]:
    """The functional program, in which the nodes `whole` (and why) are as before; and what is found out about it."""
    writing = {node.target for node in program.graph.nodes if updates_statistics(node)}
    if writing:
        others = {
            node: "it writes nothing"
            for node in program.graph.nodes
            if node.target in writing and not updates_statistics(node)
        }
        whole = {**others, **whole}
    prepared = keep_whole(program, whole) if whole else program
    with torch.no_grad(), selections_may_be_empty():
        decomposed = decompose(prepared, settings.decompose_attention, writing)
    module = decomposed.module(check_guards=False)
    assert isinstance(module, fx.GraphModule)
    restore(module)
    return module, examine(module.graph, ranges)


def clean(
    module: fx.GraphModule,
    ranges: Ranges,
    counts: Mapping[str, sympy.Expr],
    unreliable: Collection[fx.Node] = (),
) -> None:
    """Removes assertions that the compiled ranges imply, or that numbers of selected elements (`counts`: the largest)
    cannot break, aliases of nothing (but not where the metadata is `unreliable`), and dead nodes."""
    read = _numbers_of_data(module.graph)
    for node in list(module.graph.nodes):
        if node.target in _METADATA_ASSERTS or (
            node.target is torch.ops.aten._assert_scalar.default and _implied(node, ranges, counts, read)
        ):
            module.graph.erase_node(node)
        elif (
            (node.target in _ALIAS_ONLY or _keeps_shape(node)) and not _reaches_output(node) and node not in unreliable
        ):
            node.replace_all_uses_with(node.args[0])
            module.graph.erase_node(node)
    erase_unread(module.graph)
    module.graph.lint()


def _keeps_shape(node: fx.Node) -> bool:
    """A slice of everything, an expansion to the same shape, ...: the operand itself."""
    if node.target not in _SHAPE_ONLY or not isinstance(operand := node.args[0], fx.Node):
        return False
    if node.target is torch.ops.aten.slice.Tensor and (len(node.args) > 4 or node.kwargs.get("step", 1) != 1):
        return False
    return [size_expr(size) for size in sizes(value_of(node))] == [size_expr(size) for size in sizes(value_of(operand))]


def _reaches_output(node: fx.Node) -> bool:
    return any(user.op == "output" for user in node.users)


def _numbers_of_data(graph: fx.Graph) -> set[str]:
    """The symbols of integers that the program reads out of tensors."""
    values = [value_of(node) for node in graph.nodes if node.target is ITEM_OP]
    return {str(value.node.expr) for value in values if isinstance(value, torch.SymInt)}


def _implied(
    node: fx.Node,
    ranges: Mapping[str, tuple[int, int, int | None]],
    counts: Mapping[str, sympy.Expr],
    read: Collection[str],
) -> bool:
    """Whether an assertion holds for every size that the program takes, and for all integers, where such are `read` out
    of tensors."""
    condition = node.args[0]
    value = value_of(condition) if isinstance(condition, fx.Node) else condition
    if not isinstance(value, torch.SymBool):
        return bool(value)
    relation = value.node.expr
    if relation is sympy.true:
        return True
    if not isinstance(relation, sympy.core.relational.Relational):
        return False
    # `size >= small` and `size <= large`: what export writes down for every size that data decides.
    match = re.fullmatch(r"(\w+) (>=|<=) (-?\d+)", str(relation))
    if match is None:
        return False
    bound = int(match[3])
    if match[1] in counts:  # whatever its range, which the model itself may have asserted
        return bound <= 0 if match[2] == ">=" else counts[match[1]].is_Integer and int(counts[match[1]]) <= bound
    if match[1].startswith("u"):  # its range is what the model asserts
        return match[2] == ">=" and bound <= 0 and match[1] not in read
    low, _, high = ranges.get(match[1], (0, 1, None))
    if match[2] == ">=":
        return low >= bound or (bound <= 0)
    return high is not None and high <= bound
