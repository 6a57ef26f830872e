# SPDX-License-Identifier: Apache-2.0
"""Which operators are taken apart before conversion: all that PyTorch can take apart and no converter takes whole."""

from __future__ import annotations

import functools
from collections.abc import Callable, MutableMapping
from typing import Any

import torch

from .._library import load_binding

# Taken apart they end in aten.index_put, which takes the negative indices that eager refuses here; nothing converts it.
_WHOLE = (torch.ops.aten.index_add.default, torch.ops.aten.index_copy.default)


def _overload(target: str) -> torch._ops.OpOverload | None:
    namespace, _, rest = target.partition(".")
    packet, _, overload = rest.rpartition(".")
    found = getattr(getattr(torch.ops, namespace), packet, None)
    return getattr(found, overload, None) if found is not None else None


@functools.lru_cache(maxsize=1)
def _pytorch_table(operators: int) -> dict[Any, Callable[..., Any]]:
    """PyTorch's table; `operators`: how many are registered, since the table names all that can be taken apart."""
    return dict(torch.export.default_decompositions().items())  # type: ignore[no-untyped-call]


def decomposition_table(decompose_attention: bool = False) -> MutableMapping[Any, Callable[..., Any]]:
    """PyTorch's core ATen table without the operators that the converters know: engines do those better whole."""
    # Half a second, which a process pays again only where it has got to know more operators.
    table = dict(_pytorch_table(len(torch._C._dispatch_get_all_op_names())))
    for whole in _WHOLE:
        table.pop(whole, None)
    attention = torch.ops.aten.scaled_dot_product_attention.default
    for target in load_binding().supported_targets():
        op = _overload(target)
        if op is not None and not (decompose_attention and op is attention):
            table.pop(op, None)
    return table
