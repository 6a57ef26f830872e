# SPDX-License-Identifier: Apache-2.0
"""What the caller says of an input: shape or range of shapes, element type, memory format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from ._enums import dtype as _dtype
from ._enums import memory_format as _memory_format


def _as_shape(value: Any, what: str) -> tuple[int, ...]:
    if isinstance(value, torch.Size) or (isinstance(value, Sequence) and not isinstance(value, str)):
        dims = tuple(value)
        if all(isinstance(dim, int) and not isinstance(dim, bool) and dim >= 0 for dim in dims):
            return tuple(int(dim) for dim in dims)
    raise ValueError(f"Input: {what} must be a sequence of non-negative integers, got {value!r}")


class Input:
    """One input of the model.

    ``Input((8, 3, 224, 224))`` or ``Input(shape=...)`` has a static shape,
    ``Input(min_shape=, opt_shape=, max_shape=)`` a range of shapes: a dimension whose minimum and maximum are equal is
    static, every other one takes any size between them, engines being tuned for ``opt_shape``. ``dtype`` defaults to
    float32.

    ``tensor_domain`` bounds the values of example tensors, ``[low, high)``; ``name`` is for messages. ``shared_dims``
    (``{axis: name}``) or shapes given as namedtuples say that dimensions of one name (and range) are always equal. The
    first dimensions of inputs with equal ranges are taken for one batch size; different names keep them apart.
    """

    def __init__(
        self,
        *args: Any,
        shape: Any = None,
        min_shape: Any = None,
        opt_shape: Any = None,
        max_shape: Any = None,
        dtype: Any = None,
        format: Any = None,
        tensor_domain: tuple[float, float] | None = None,
        torch_tensor: torch.Tensor | None = None,
        name: str = "",
        is_shape_tensor: bool = False,
        shared_dims: Mapping[int, str] | None = None,
        profiles: Sequence[Mapping[str, Any]] | None = None,
    ) -> None:
        if args:
            if shape is not None:
                raise ValueError("Input: the shape was given both as positional arguments and as `shape=`")
            first = args[0]
            shape = first if len(args) == 1 and not isinstance(first, int) else args
        if profiles is not None:
            if len(profiles) != 1:
                raise ValueError("Input: exactly one optimization profile can be compiled; pass one range of shapes")
            if any(part is not None for part in (shape, min_shape, opt_shape, max_shape)):
                raise ValueError("Input: give either profiles or shapes, not both")
            min_shape, opt_shape, max_shape = (profiles[0][key] for key in ("min_shape", "opt_shape", "max_shape"))
        ranged = [part is not None for part in (min_shape, opt_shape, max_shape)]
        if (shape is not None) == any(ranged) or (any(ranged) and not all(ranged)):
            raise ValueError("Input: give one static shape, or all of min_shape, opt_shape and max_shape")
        if is_shape_tensor:
            raise ValueError("Input: inputs that carry shapes are not supported; pass the tensor whose shape it is")
        fields = getattr(min_shape if shape is None else shape, "_fields", None)
        self.shared_dims: dict[int, str] = dict(shared_dims or {}) or dict(enumerate(fields or ()))
        if shape is not None:
            self.min_shape = self.opt_shape = self.max_shape = _as_shape(shape, "shape")
        else:
            self.min_shape = _as_shape(min_shape, "min_shape")
            self.opt_shape = _as_shape(opt_shape, "opt_shape")
            self.max_shape = _as_shape(max_shape, "max_shape")
            if not len(self.min_shape) == len(self.opt_shape) == len(self.max_shape):
                raise ValueError("Input: min_shape, opt_shape and max_shape must have the same rank")
            for axis, (low, opt, high) in enumerate(zip(self.min_shape, self.opt_shape, self.max_shape, strict=True)):
                if not low <= opt <= high:
                    raise ValueError(
                        f"Input: dimension {axis} must satisfy min <= opt <= max, got {low} <= {opt} <= {high}"
                    )
        for axis in self.shared_dims:
            if not 0 <= axis < len(self.min_shape):
                raise ValueError(f"Input: shared_dims names axis {axis} of a shape of rank {len(self.min_shape)}")
        if torch_tensor is not None and dtype is None:
            dtype = torch_tensor.dtype
        self.dtype: _dtype = _dtype._from(torch.float32 if dtype is None else dtype)
        self.format: _memory_format = _memory_format._from(torch.contiguous_format if format is None else format)
        if tensor_domain is not None and not tensor_domain[0] < tensor_domain[1]:
            raise ValueError(f"Input: tensor_domain must be (low, high) with low < high, got {tensor_domain!r}")
        self.tensor_domain: tuple[float, float] = tensor_domain or (0, 2)
        self.torch_tensor = torch_tensor
        self.name = name

    @property
    def is_dynamic(self) -> bool:
        return self.min_shape != self.max_shape

    @property
    def shape_mode(self) -> str:
        return "dynamic" if self.is_dynamic else "static"

    @property
    def shape(self) -> Any:
        """The static shape, or the three shapes of the range by name."""
        if not self.is_dynamic:
            return self.min_shape
        return {"min_shape": self.min_shape, "opt_shape": self.opt_shape, "max_shape": self.max_shape}

    def __repr__(self) -> str:
        shape = f"min_shape={self.min_shape}, opt_shape={self.opt_shape}, max_shape={self.max_shape}"
        return f"Input({shape if self.is_dynamic else f'shape={self.min_shape}'}, dtype={self.dtype.name})"

    @classmethod
    def from_tensor(cls, tensor: torch.Tensor, disable_memory_format_check: bool = False) -> Input:
        """A static input with the tensor's shape, dtype and memory format."""
        format_ = torch.contiguous_format
        if not disable_memory_format_check and not tensor.is_contiguous():
            if tensor.dim() == 4 and tensor.is_contiguous(memory_format=torch.channels_last):
                format_ = torch.channels_last
            else:
                raise ValueError("Input.from_tensor: the tensor must be contiguous (or channels last)")
        return cls(shape=tensor.shape, dtype=tensor.dtype, format=format_, torch_tensor=tensor)

    @classmethod
    def from_tensors(cls, tensors: Any, disable_memory_format_check: bool = False) -> Any:
        """The same nested structure with an Input for every tensor."""
        if isinstance(tensors, torch.Tensor):
            return cls.from_tensor(tensors, disable_memory_format_check)
        if isinstance(tensors, Mapping):
            return {key: cls.from_tensors(value, disable_memory_format_check) for key, value in tensors.items()}
        if isinstance(tensors, (list, tuple)):
            return type(tensors)(cls.from_tensors(value, disable_memory_format_check) for value in tensors)
        if isinstance(tensors, cls):
            return tensors
        raise TypeError(f"Input.from_tensors: expected tensors, got {type(tensors).__name__}")

    def example_tensor(self, optimization_profile_field: str | None = None) -> torch.Tensor:
        """A CPU tensor of ``min_shape``, ``opt_shape`` or ``max_shape`` with values from the domain."""
        field = optimization_profile_field
        if field is None:
            if self.is_dynamic:
                raise ValueError("Input.example_tensor: a dynamic input needs min_shape, opt_shape or max_shape")
            field = "opt_shape"
        elif not self.is_dynamic:
            raise ValueError("Input.example_tensor: a static input has one shape; pass no field")
        if field not in ("min_shape", "opt_shape", "max_shape"):
            raise ValueError(f"Input.example_tensor: expected min_shape, opt_shape or max_shape, got {field!r}")
        return self._example(getattr(self, field))

    def _example(self, shape: Sequence[int], device: torch.device | str = "cpu") -> torch.Tensor:
        if self.torch_tensor is not None and tuple(self.torch_tensor.shape) == tuple(shape):
            return self.torch_tensor.detach().to(device).clone()
        low, high = self.tensor_domain
        values = torch.rand(tuple(shape), device=device) * (high - low) + low
        example: torch.Tensor = values.to(self.dtype.to(torch.dtype))
        return example.contiguous(memory_format=self.format.to(torch.memory_format))
