# SPDX-License-Identifier: Apache-2.0
"""Which operators are taken apart before conversion: all that PyTorch can take apart and no converter takes whole."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Collection
from typing import Any

import torch
from torch import fx
from torch.export import ExportedProgram
from torch.export import exported_program as _export

from .._library import load_binding
from ._coincidences import no_coincidences
from ._nodes import value_of

# Taken apart, index_add and index_copy end in aten.index_put, which takes the negative indices that eager refuses here,
# and index_fill ends in index_copy, which refuses those that eager takes. Nothing converts them.
_WHOLE = (
    torch.ops.aten.index_add.default,
    torch.ops.aten.index_copy.default,
    torch.ops.aten.index_fill.int_Scalar,
    torch.ops.aten.index_fill.int_Tensor,
    # Taken apart, the number is kept in float32, where eager's kernel rounds it to half precision first.
    torch.ops.aten.xlogy.Scalar_Self,
    torch.ops.aten.xlogy.Scalar_Other,
    torch.ops.aten.special_xlog1py.self_scalar,
    torch.ops.aten.special_xlog1py.other_scalar,
    # Their kernels check values (classes, positions, probabilities), and what they are taken apart into does not, or
    # raises another error.
    torch.ops.aten.bernoulli.default,
    torch.ops.aten.binary_cross_entropy.default,
    torch.ops.aten.fake_quantize_per_channel_affine.default,
    torch.ops.aten.max_unpool2d.default,
    torch.ops.aten.max_unpool3d.default,
    torch.ops.aten.nll_loss_forward.default,
    torch.ops.aten.nll_loss2d_forward.default,
    # Taken apart, what says that a matrix has no inverse is an operator without a result, which TorchScript drops.
    torch.ops.aten.inverse.default,
    torch.ops.aten.linalg_cholesky.default,
    torch.ops.aten.linalg_inv.default,
    torch.ops.aten.linalg_ldl_factor.default,
    torch.ops.aten.linalg_lu_factor.default,
    torch.ops.aten.linalg_matrix_power.default,
    torch.ops.aten.linalg_solve.default,
    torch.ops.aten.linalg_tensorinv.default,
    torch.ops.aten.linalg_tensorsolve.default,
)
# Its result may be its argument, which its schema does not say: taken apart it is that or a cast.
_IN_PARTS = (torch.ops.aten.type_as.default,)


def _take(x: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """PyTorch's own indexes in Python, which makes a view of the input where the index is one number."""
    return torch.ops.aten.index.Tensor(x.reshape(-1), [index])  # type: ignore[no-any-return]


def _std_mean(
    x: torch.Tensor, dim: list[int] | None = None, *, correction: float | None = None, keepdim: bool = False
) -> tuple[torch.Tensor, torch.Tensor]:
    """PyTorch's own takes the root of a variance in float32, which overflows where the kernel, in float64, does not."""
    axes = list(dim or range(x.dim()))
    deviation = torch.ops.aten.std.correction(x, axes, correction=correction, keepdim=keepdim)
    return deviation, torch.ops.aten.mean.dim(x, axes, keepdim)


_RECURRENT = frozenset(
    {
        torch.ops.aten.lstm.input,
        torch.ops.aten.gru.input,
        torch.ops.aten.rnn_tanh.input,
        torch.ops.aten.rnn_relu.input,
    }
)
_MOST_STEPS = 256


def long_recurrences(program: ExportedProgram) -> dict[fx.Node, str]:
    """Recurrent layers that are not taken apart, and why: a step in time becomes some ten operators. They run faster
    than PyTorch's own kernel, but a step takes PyTorch 0.1 s to write down, and OpenVINO as long to compile."""
    found = {node: _steps(node) for node in program.graph.nodes if node.target in _RECURRENT}
    steps = sum(found.values())
    why = f"the program's recurrent layers take {steps} steps, more than the {_MOST_STEPS} that are written one by one"
    return dict.fromkeys(found, why) if steps > _MOST_STEPS else {}


def _steps(node: fx.Node) -> int:
    x, _, _, _, layers, _, _, bidirectional, batch_first = node.args
    return int(value_of(x).shape[1 if batch_first else 0]) * int(layers) * (2 if bidirectional else 1)  # type: ignore


def _overload(target: str) -> torch._ops.OpOverload | None:
    namespace, _, rest = target.partition(".")
    packet, _, overload = rest.rpartition(".")
    found = getattr(getattr(torch.ops, namespace), packet, None)
    return getattr(found, overload, None) if found is not None else None


@functools.lru_cache(maxsize=1)
def _pytorch_table(operators: int) -> dict[Any, Callable[..., Any]]:
    """PyTorch's table; `operators`: how many are registered, since the table names all that can be taken apart."""
    return dict(torch.export.default_decompositions().items())  # type: ignore[no-untyped-call]


def decompose(
    program: ExportedProgram, decompose_attention: bool = False, in_parts: Collection[Any] = ()
) -> ExportedProgram:
    """PyTorch's core ATen program, but for the operators that the converters know: engines do those better whole.
    `in_parts`: operators that are taken apart all the same.

    ExportedProgram.run_decompositions installs what becomes of every composite operator that PyTorch has, some 540, in
    every call: more than a second, several times what a small model takes otherwise. Nearly all of them become what
    they become anyway, so only the others are installed here, where PyTorch's function has the parameters known to us.
    """
    table = _decomposition_table(decompose_attention, in_parts)
    if not _KNOWN:
        with no_coincidences():
            return program.run_decompositions(table)  # type: ignore[no-any-return]
    composites, others = _split(frozenset(table.items()))
    with torch._subclasses.fake_tensor.unset_fake_temporarily(), no_coincidences():
        return _export._decompose_exported_program(  # type: ignore[no-any-return]
            program,
            cia_to_decomp=composites,
            python_decomp_table=dict(others),
            joint_loss_index=None,
            decompose_custom_triton_ops=False,
        )


def _decomposition_table(decompose_attention: bool, in_parts: Collection[Any] = ()) -> dict[Any, Callable[..., Any]]:
    # Half a second, which a process pays again only where it has got to know more operators.
    table = dict(_pytorch_table(len(torch._C._dispatch_get_all_op_names())))
    for whole in _WHOLE:
        table.pop(whole, None)
    table[torch.ops.aten.take.default] = _take
    table[torch.ops.aten.std_mean.correction] = _std_mean
    attention = torch.ops.aten.scaled_dot_product_attention.default
    for target in load_binding().supported_targets():
        op = _overload(target)
        if op is not None and op not in (*_IN_PARTS, *in_parts) and not (decompose_attention and op is attention):
            table.pop(op, None)
    return table


def _parameters(name: str) -> set[str]:
    function = getattr(_export, name, None)
    return set() if function is None else set(inspect.signature(function).parameters)


_KNOWN = _parameters("_split_decomp_table_to_cia_and_python_decomp") == {"decomp_table"} and _parameters(
    "_decompose_exported_program"
) == {"ep", "cia_to_decomp", "python_decomp_table", "joint_loss_index", "decompose_custom_triton_ops"}


@functools.lru_cache(maxsize=4)
def _split(
    table: frozenset[tuple[Any, Callable[..., Any]]],
) -> tuple[dict[Any, Callable[..., Any]], dict[Any, Callable[..., Any]]]:
    """The table's composite operators but those that become what their own kernel calls, and its other operators."""
    composites, others = _export._split_decomp_table_to_cia_and_python_decomp(dict(table))
    ordinary = {op for op, becomes in composites.items() if getattr(becomes, "keywords", None) == {"kernel": op}}
    return {op: becomes for op, becomes in composites.items() if op not in ordinary}, others
