# SPDX-License-Identifier: Apache-2.0
"""A package of AOTInductor as ``torch_tensorrt.load`` gives it: PyTorch's, with a check of what it is called with.

Imported where a package is loaded: PyTorch's module takes a second.
"""

from __future__ import annotations

import collections
import functools
import itertools
import json
from typing import Any

import torch
from torch.export._tree_utils import reorder_kwargs
from torch.export.pt2_archive._package import AOTICompiledModel
from torch.utils import _pytree as pytree

from ._module import check_constant, not_a_tensor

INPUTS = "torch_tensorrt_inputs"
"""Key of a package's metadata: its flattened inputs as JSON, of each its name, and either whether it is a tensor and
whether the program writes it, or the value that is compiled in."""

RESULTS = "torch_tensorrt_results"
"""And of those results that are no tensors, by index: "int", or [the constant] (JSON)."""


def _arguments(in_spec: pytree.TreeSpec) -> list[pytree.TreeSpec]:
    args, kwargs = in_spec.children()
    return [*args.children(), *kwargs.children()]


_DICTS = (dict, collections.OrderedDict, collections.defaultdict)


def _flattened(value: Any, spec: pytree.TreeSpec) -> list[Any]:
    """The leaves in the order of `spec`, in which dicts may have another order than when the program was captured.

    Raises:
        TypeError: a list, tuple, dict or other container that is not like the captured one.
    """
    if spec.is_leaf():
        return [value]
    children = spec.children()
    if spec.type in _DICTS:
        keys = spec.context[1] if spec.type is collections.defaultdict else spec.context
        if not isinstance(value, dict) or value.keys() != set(keys):
            got = f"the keys {list(value)}" if isinstance(value, dict) else f"a {type(value).__name__}"
            raise TypeError(f"an input: expected a dict with the keys {list(keys)}, got {got}")
        items = [value[key] for key in keys]
    else:
        given = pytree.tree_structure(value, is_leaf=lambda item: item is not value)
        if given.type is not spec.type or given.num_children != len(children) or given.context != spec.context:
            raise TypeError(
                f"an input: expected a {_text(spec.type)} of {len(children)} elements, got a {type(value).__name__}"
                + (f" of {given.num_children}" if not given.is_leaf() else "")
            )
        items = pytree.tree_leaves(value, is_leaf=lambda item: item is not value)
    return [leaf for item, child in zip(items, children, strict=True) for leaf in _flattened(item, child)]


def _text(kind: Any) -> str:
    return str(getattr(kind, "__name__", kind))


def _is_laid_out_otherwise(tensor: torch.Tensor) -> bool:
    return tensor.layout is torch.strided and (not tensor.is_contiguous() or tensor.is_neg() or tensor.is_conj())


class LoadedPackage(AOTICompiledModel):
    """Called like the module that was saved. PyTorch's own call counts tensors in C++ and names none."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        in_spec, out_spec, inputs, known = self._convention
        kwargs = reorder_kwargs(kwargs, in_spec)
        rest = iter(inputs)
        for spec, value in zip(_arguments(in_spec), (*args, *kwargs.values()), strict=False):
            first = next(rest, {})
            if spec.is_leaf() and first.get("tensor") and not isinstance(value, torch.Tensor):
                raise TypeError(not_a_tensor(first["name"], value))
            next(itertools.islice(rest, spec.num_leaves - 1, spec.num_leaves - 1), None)
        expected = [len(part.children()) for part in in_spec.children()]
        if [len(args), len(kwargs)] != expected:
            names = [repr(item["name"]) for item in inputs if item.get("tensor")]
            listed = f" ({', '.join(names)})" if names else ""
            raise TypeError(f"expected {sum(expected)} inputs{listed}, got {len(args) + len(kwargs)}")
        given = _flattened((args, kwargs), in_spec)
        own = list(given)
        for index, (described, value) in enumerate(zip(inputs, given, strict=False)):
            if "value" in described:
                check_constant(value, described["value"], described["name"])
            elif described.get("tensor"):
                if not isinstance(value, torch.Tensor):
                    raise TypeError(not_a_tensor(described["name"], value))
                # Its code reads memory as that of contiguous tensors. What is written must be the caller's own.
                if not described["written"] and _is_laid_out_otherwise(value):
                    given[index] = value.resolve_conj().resolve_neg().contiguous()
        results: list[Any] = self.loader.boxed_run([value for value in given if isinstance(value, torch.Tensor)])
        for index, kind in known:
            if isinstance(kind, dict):  # the caller's own tensor, also where the package got a contiguous copy of it
                results[index] = own[kind["input"]]
            elif isinstance(kind, list):
                results[index] = kind[0]
            else:
                results[index] = (float if kind == "float" else int)(results[index])
        return pytree.tree_unflatten(results, out_spec)

    @functools.cached_property
    def _convention(self) -> tuple[pytree.TreeSpec, pytree.TreeSpec, list[dict[str, Any]], list[tuple[int, Any]]]:
        in_spec, out_spec = (pytree.treespec_loads(text) for text in self.loader.get_call_spec())
        metadata = self.get_metadata()
        inputs = [  # version 0.1 wrote names only
            item if isinstance(item, dict) else {"name": item, "tensor": item is not None, "written": True}
            for item in json.loads(metadata.get(INPUTS, "[]"))
        ]
        return (
            in_spec,
            out_spec,
            inputs,
            [(int(i), kind) for i, kind in json.loads(metadata.get(RESULTS, "{}")).items()],
        )
