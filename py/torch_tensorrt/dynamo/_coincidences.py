# SPDX-License-Identifier: Apache-2.0
"""Sizes that are equal in the example alone."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any
from unittest import mock

import torch
from torch.fx.experimental.symbolic_shapes import statically_known_true, sym_eq

try:
    from torch._functorch._aot_autograd import collect_metadata_analysis as _analysis
except ImportError:
    _analysis = None  # type: ignore[assignment]
_COMPARISON = "has_same_metadata"


def _is_known_to_be_laid_out_as(one: torch.Tensor, other: torch.Tensor) -> bool:
    return (
        one.dim() == other.dim()
        and one.layout is other.layout is torch.strided
        and statically_known_true(sym_eq(one.shape, other.shape))
        and statically_known_true(sym_eq(one.stride(), other.stride()))
        and statically_known_true(sym_eq(one.storage_offset(), other.storage_offset()))
        and one.is_conj() == other.is_conj()
        and one.is_neg() == other.is_neg()
    )


@contextlib.contextmanager
def no_coincidences() -> Iterator[None]:
    """A block that takes an exported program apart, whose dynamic sizes stay dynamic.

    PyTorch 2.15 asks of every result that is a view whether it is laid out as what it is a view of. For
    `x.sin().mT`, captured with as many rows as columns, it takes the answer for granted: the size becomes a number, in
    the caller's program too, which shares its symbols.
    Needs the capture lock.
    """
    if not hasattr(_analysis, _COMPARISON):
        yield
        return
    patched: Any = mock.patch.object(_analysis, _COMPARISON, _is_known_to_be_laid_out_as)
    with patched:
        yield
