# SPDX-License-Identifier: Apache-2.0
"""A package of AOTInductor as ``torch_tensorrt.load`` gives it: PyTorch's, with a check of what it is called with.

Imported where a package is loaded: PyTorch's module takes a second.
"""

from __future__ import annotations

import functools
import itertools
import json
from typing import Any

import torch
from torch.export._tree_utils import reorder_kwargs
from torch.export.pt2_archive._package import AOTICompiledModel
from torch.utils import _pytree as pytree

from ._module import not_a_tensor

INPUTS = "torch_tensorrt_inputs"
"""Key of a package's metadata: the names of its flattened inputs as JSON, null for constants."""


def _arguments(in_spec: pytree.TreeSpec) -> list[pytree.TreeSpec]:
    args, kwargs = in_spec.children()
    return [*args.children(), *kwargs.children()]


class LoadedPackage(AOTICompiledModel):
    """Called like the module that was saved. PyTorch's own call counts tensors in C++ and names none."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        in_spec, out_spec, names = self._convention
        kwargs = reorder_kwargs(kwargs, in_spec)
        given = pytree.tree_leaves((args, kwargs))
        rest = iter(names)
        for spec, value in zip(_arguments(in_spec), (*args, *kwargs.values()), strict=False):
            name = next(itertools.islice(rest, spec.num_leaves - 1, None), None) if spec.num_leaves else None
            if spec.is_leaf() and name is not None and not isinstance(value, torch.Tensor):
                raise TypeError(not_a_tensor(name, value))
        if len(given) != in_spec.num_leaves:
            listed = f" ({', '.join(repr(name) for name in names if name)})" if names else ""
            raise TypeError(f"expected {in_spec.num_leaves} inputs{listed}, got {len(given)}")
        for name, value in zip(names, given, strict=False):
            if name is not None and not isinstance(value, torch.Tensor):
                raise TypeError(not_a_tensor(name, value))
        tensors = [value for value in given if isinstance(value, torch.Tensor)]
        return pytree.tree_unflatten(self.loader.boxed_run(tensors), out_spec)

    @functools.cached_property
    def _convention(self) -> tuple[pytree.TreeSpec, pytree.TreeSpec, list[str | None]]:
        in_spec, out_spec = (pytree.treespec_loads(text) for text in self.loader.get_call_spec())
        return in_spec, out_spec, json.loads(self.get_metadata().get(INPUTS, "[]"))
