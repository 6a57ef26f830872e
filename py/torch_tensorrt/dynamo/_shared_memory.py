# SPDX-License-Identifier: Apache-2.0
"""What a program writes besides buffers, and buffers that are one memory under several names.

A module may hold tensors where torch.export does not look for buffers, in an attribute, a list or a cache object, also
buffers a second time. torch.export takes them for constants. PyTorch takes no program apart in which a constant is
written, or a tensor that another input shares memory with, and a file would hold two copies. So constants that are
written become buffers, and a memory is one input, with views of it for the others.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from operator import attrgetter

import torch
from torch import fx
from torch.export import ExportedProgram
from torch.export.graph_signature import ExportGraphSignature, InputKind, InputSpec
from torch.fx.experimental.symbolic_shapes import GuardOnDataDependentSymNode

from ._graph import UnreliableCaptureError
from ._guards import recorded_codes
from ._nodes import (
    aliased_argument,
    copied,
    is_mutation,
    named_arguments,
    producer,
    updates_statistics,
    value_of,
    view_chain,
)

_COPY = torch.ops.aten.copy_.default
# They give a view where the order of their operand's memory allows it, otherwise a copy.
_DEPEND_ON_LAYOUT = frozenset(
    getattr(getattr(torch.ops.aten, name), overload)
    for name, overload in (
        ("contiguous", "default"),
        ("reshape", "default"),
        ("reshape_as", "default"),
        ("flatten", "using_ints"),
        ("ravel", "default"),
        ("as_strided", "default"),
    )
)
_HELD = (InputKind.PARAMETER, InputKind.BUFFER, InputKind.CONSTANT_TENSOR)


def with_written_buffers(program: ExportedProgram) -> ExportedProgram:
    """The program with a buffer for each memory that it writes; the program itself where it is so.

    Raises:
        UnreliableCaptureError: tensors share a memory that it writes, and none of them is all of it.
    """
    written = {view_chain(node.all_input_nodes[0])[-1].name for node in program.graph.nodes if is_mutation(node)}
    groups = _groups(program, written)
    constants = {
        spec.arg.name
        for spec in program.graph_signature.input_specs
        if spec.kind is InputKind.CONSTANT_TENSOR and spec.arg.name in written
    }
    if not groups and not constants:
        return program
    graph, copies = copied(program.graph)
    dropped: set[str] = set()
    first = next(node for node in graph.nodes if node.op != "placeholder")
    for group in groups:
        whole = next((node for node, tensor in group.items() if _is_all_of_its_memory(tensor)), None)
        if whole is None or len({tensor.dtype for tensor in group.values()}) > 1:
            raise UnreliableCaptureError(
                f"{', '.join(node.name for node in group)} share memory that it writes, and none is all of it"
            )
        for node, tensor in group.items():
            if node is whole:
                continue
            other = copies[whole]
            if _geometry(tensor) != _geometry(group[whole]):
                with graph.inserting_before(first):
                    other = graph.call_function(torch.ops.aten.as_strided.default, (other, *_geometry(tensor)))
                other.meta["val"] = torch.as_strided(value_of(whole), *_geometry(tensor))
            copies[node].replace_all_uses_with(other)
            graph.erase_node(copies[node])
            dropped.add(node.name)
    return _rebuilt(program, graph, dropped, constants)


def with_views_that_go_back(program: ExportedProgram) -> ExportedProgram:
    """The program with `select` for views of `unbind`, of memory that it writes through them; the program itself where
    there are none. To write one of the latter back, PyTorch fixes dynamic sizes at those of the example.

    Raises:
        UnreliableCaptureError: it writes through windows (`unfold`). Written back, what lies in none of them is lost.
    """
    if writes_through_windows(program):
        raise UnreliableCaptureError("it writes through windows (unfold), and what lies in none of them would be lost")
    through = _written_through(program)
    several = [node for node in program.graph.nodes if node in through and node.target is torch.ops.aten.unbind.int]
    if not several:
        return program
    graph, copies = copied(program.graph)
    for node in several:
        unbind = copies[node]
        given = named_arguments(unbind)
        for item in list(unbind.users):
            with graph.inserting_before(item):
                view = graph.call_function(
                    torch.ops.aten.select.int, (given["self"], given.get("dim", 0), item.args[1])
                )
            view.meta = dict(item.meta)
            item.replace_all_uses_with(view)
            graph.erase_node(item)
            # Results are known by name to the program's signature.
            view.name = item.name
        graph.erase_node(unbind)
    return _rebuilt(program, graph, set(), set())


def writes_through_windows(program: ExportedProgram) -> bool:
    """Whether the program writes through `unfold`, which PyTorch turns into values wrongly."""
    return any(view.target is torch.ops.aten.unfold.default for view in _written_through(program))


def _written_through(program: ExportedProgram) -> set[fx.Node]:
    """What the program's operators write, and the values of which that is a view."""
    found: set[fx.Node] = set()
    for node in program.graph.nodes:
        base: fx.Node | None = node.all_input_nodes[0] if is_mutation(node) else None
        while base is not None:
            found |= {base, producer(base)}
            base = base.all_input_nodes[0] if is_mutation(base) else aliased_argument(base)
    return found


def own_copy(program: ExportedProgram) -> ExportedProgram:
    """A copy of the program that shares nothing with it but tensors and engines.

    PyTorch's writers change nodes while they read them: fx takes a node out of the graph's table to set the way it is
    printed. An interrupt there would leave the caller a program that is never saved again.
    """
    graph, _ = copied(program.graph)
    return _rebuilt(program, graph, set(), set())


def without_guards_on_bases(program: ExportedProgram) -> ExportedProgram:
    """The program without guards on the tensor of which an example was a view (`L['x']._base.size()[4]`), which no
    caller's input has: PyTorch's own ends in an AttributeError. The program itself where there is none."""
    codes = recorded_codes(program)
    kept = [code for code in codes if "._base." not in code]
    if len(kept) == len(codes):
        return program
    found = own_copy(program)
    found._guards_code = kept
    return found


def with_values_of_their_own(program: ExportedProgram) -> ExportedProgram:
    """The program with a copy of each value that it writes into a tensor and into another, or returns; the program
    itself where there is none.

    What is written becomes a result of a program that is taken apart, and PyTorch knows results by name: two tensors
    cannot have one, and where it is returned too, PyTorch returns the tensor that was written, with which the caller
    would share the model's state.
    """
    taken = {view_chain(node)[-1] for node in program.graph.output_node().all_input_nodes}
    taken |= {item for node in program.graph.nodes if updates_statistics(node) for item in node.all_input_nodes[1:]}
    shared: list[fx.Node] = []
    for node in program.graph.find_nodes(op="call_function", target=_COPY):
        source = node.args[1]
        while isinstance(source, fx.Node) and source.target is _COPY:
            source = source.args[1]  # which is what was written there
        if isinstance(source, fx.Node):
            owner = view_chain(source)[-1]  # a view of all of it is the value itself once it is taken apart
            if owner in taken:
                shared.append(node)
            taken.add(owner)
    if not shared:
        return program
    graph, copies = copied(program.graph)
    for node in shared:
        write = copies[node]
        source = write.args[1]
        assert isinstance(source, fx.Node)
        with graph.inserting_before(write):
            own = graph.call_function(torch.ops.aten.clone.default, (source,))
        own.meta = dict(source.meta)
        write.update_arg(1, own)
    return _rebuilt(program, graph, set(), set())


def with_layouts_of_writes(program: ExportedProgram) -> ExportedProgram:
    """The program with a copy into it for each write (`masked_fill_`, `scatter_`) into a value whose memory is in
    another order than its dimensions, where an operator behind it copies or not as the order says; the program itself
    where there is none.

    Taken apart, such a write is an operator that gives contiguous results: what reads them (`contiguous`, `reshape`)
    would share memory where the captured program copies, or the other way round, and later writes would reach other
    values. A copy keeps the order.
    """
    nodes = list(program.graph.nodes)
    last = max((index for index, node in enumerate(nodes) if node.target in _DEPEND_ON_LAYOUT), default=0)
    writes = {node: target for node in nodes[:last] if (target := _as_value(node)) is not None}
    if not writes:
        return program
    graph, copies = copied(program.graph)
    for node, target in writes.items():
        write = copies[node]
        with graph.inserting_before(write):
            value = graph.call_function(target, write.args, write.kwargs)
            copy_ = graph.call_function(_COPY, (write.args[0], value))
        value.meta, copy_.meta = dict(node.meta), dict(node.meta)
        write.replace_all_uses_with(copy_)
        graph.erase_node(write)
        copy_.name = node.name
    return _rebuilt(program, graph, set(), set())


def _as_value(node: fx.Node) -> torch._ops.OpOverload | None:
    """The operator that gives what `node` writes into its first operand, where that is not contiguous."""
    if not is_mutation(node) or node.target is _COPY or not isinstance(node.args[0], fx.Node):
        return None
    assert isinstance(node.target, torch._ops.OpOverload)
    written = value_of(node.args[0])
    name = node.target._schema.name.removeprefix("aten::")
    packet = getattr(torch.ops.aten, name.removesuffix("_"), None) if name.endswith("_") else None
    if packet is None or not isinstance(written, torch.Tensor) or torch.Tag.inplace_view in node.target.tags:
        return None
    try:
        return None if written.is_contiguous() else getattr(packet, node.target._overloadname, None)
    except GuardOnDataDependentSymNode:  # a copy is right in either case
        return getattr(packet, node.target._overloadname, None)


def _groups(program: ExportedProgram, written: set[str]) -> list[dict[fx.Node, torch.Tensor]]:
    """Inputs that share memory with others, of which one is written."""
    held = {spec.arg.name: spec.target for spec in program.graph_signature.input_specs if spec.kind in _HELD}
    if written.isdisjoint(held):
        return []
    groups: dict[int, dict[fx.Node, torch.Tensor]] = {}
    for node in program.graph.nodes:
        target = held.get(node.name) if node.op == "placeholder" else None
        tensor = program.state_dict.get(target, program.constants.get(target)) if target is not None else None
        if isinstance(tensor, torch.Tensor) and tensor.layout is torch.strided:
            groups.setdefault(tensor.untyped_storage()._cdata, {})[node] = tensor
    return [group for group in groups.values() if len(group) > 1 and any(node.name in written for node in group)]


def _geometry(tensor: torch.Tensor) -> tuple[tuple[int, ...], tuple[int, ...], int]:
    return tuple(tensor.shape), tensor.stride(), int(tensor.storage_offset())


def _is_all_of_its_memory(tensor: torch.Tensor) -> bool:
    return tensor.is_contiguous() and tensor.numel() * tensor.element_size() == tensor.untyped_storage().nbytes()


def _rebuilt(program: ExportedProgram, graph: fx.Graph, dropped: set[str], written: set[str]) -> ExportedProgram:
    """The program with another graph, without the inputs `dropped`, and with the constants `written` as buffers."""
    held = {node.target: attrgetter(str(node.target))(program.graph_module) for node in graph.find_nodes(op="get_attr")}
    module = fx.GraphModule({name: copy.deepcopy(value) for name, value in held.items()}, graph)
    module.meta.update(program.graph_module.meta)
    signature = program.graph_signature
    kept = [spec for spec in signature.input_specs if spec.arg.name not in dropped]
    kept = [
        InputSpec(InputKind.BUFFER, spec.arg, spec.target, persistent=False)
        if spec.arg.name in written
        else replace(spec)
        for spec in kept
    ]
    gone = {spec.target for spec in signature.input_specs if spec.arg.name in dropped}
    return ExportedProgram(
        root=module,
        graph=graph,
        graph_signature=ExportGraphSignature(kept, [replace(spec) for spec in signature.output_specs]),
        state_dict={name: tensor for name, tensor in program.state_dict.items() if name not in gone},
        range_constraints=program.range_constraints,
        module_call_graph=program.module_call_graph,
        example_inputs=program.example_inputs,
        constants={name: value for name, value in program.constants.items() if name not in gone},
        verifiers=program.verifiers,
    )
