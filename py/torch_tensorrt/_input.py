# SPDX-License-Identifier: Apache-2.0
"""What the caller says of an input: shape or range of shapes, element type, memory format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch

from ._enums import dtype as _dtype
from ._enums import memory_format as _memory_format


def _as_shape(value: Any, what: str) -> tuple[int, ...]:
    if isinstance(value, torch.Size) or (isinstance(value, Sequence) and not isinstance(value, str)):
        dims = tuple(value)
        if all(isinstance(dim, int) and not isinstance(dim, bool) and dim >= 0 for dim in dims):
            return tuple(int(dim) for dim in dims)
    raise ValueError(f"Input: {what} must be a sequence of non-negative integers, got {value!r}")


class Profile(NamedTuple):
    """One range of shapes that engines are tuned for."""

    min_shape: tuple[int, ...]
    opt_shape: tuple[int, ...]
    max_shape: tuple[int, ...]


def _as_profile(low: Any, opt: Any, high: Any) -> Profile:
    profile = Profile(_as_shape(low, "min_shape"), _as_shape(opt, "opt_shape"), _as_shape(high, "max_shape"))
    if not len(profile.min_shape) == len(profile.opt_shape) == len(profile.max_shape):
        raise ValueError("Input: min_shape, opt_shape and max_shape must have the same rank")
    for axis, (least, usual, most) in enumerate(zip(*profile, strict=True)):
        if not least <= usual <= most:
            raise ValueError(
                f"Input: dimension {axis} must satisfy min <= opt <= max, got {least} <= {usual} <= {most}"
            )
    return profile


def _as_profiles(profiles: Any) -> tuple[Profile, ...]:
    names = Profile._fields
    if isinstance(profiles, (str, Mapping)) or not isinstance(profiles, Sequence) or len(profiles) == 0:
        raise ValueError("Input: profiles must be a list of {min_shape, opt_shape, max_shape}, at least one")
    made = []
    for profile in profiles:
        if not isinstance(profile, Mapping) or set(profile) != set(names):
            raise ValueError(f"Input: each profile must give {', '.join(names)} and nothing else, got {profile!r}")
        made.append(_as_profile(*(profile[name] for name in names)))
    if len({len(profile.min_shape) for profile in made}) != 1:
        raise ValueError("Input: all profiles must have the same rank")
    return tuple(made)


class Input:
    """One input of the model.

    ``Input((8, 3, 224, 224))`` or ``Input(shape=...)`` has a static shape,
    ``Input(min_shape=, opt_shape=, max_shape=)`` a range of shapes: a dimension whose minimum and maximum are equal is
    static, every other one takes any size between them, engines being tuned for ``opt_shape``. ``dtype`` defaults to
    float32.

    ``Input(profiles=[{min_shape, opt_shape, max_shape}, ...])`` gives several ranges: TensorRT engines are tuned for
    each of them and take the shapes of any, see ``torch_tensorrt.runtime.optimization_profile``. All inputs of a model
    have the same number of profiles, or one, which then is part of each. An engine on a CPU takes everything from the
    least to the greatest size.

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
        ranged = [part is not None for part in (min_shape, opt_shape, max_shape)]
        if is_shape_tensor:
            raise ValueError("Input: inputs that carry shapes are not supported; pass the tensor whose shape it is")
        if profiles is not None:
            if shape is not None or any(ranged):
                raise ValueError("Input: give either profiles or shapes, not both")
            self.profiles = _as_profiles(profiles)
            named = profiles[0]["min_shape"]
        elif (shape is not None) == any(ranged) or (any(ranged) and not all(ranged)):
            raise ValueError("Input: give one static shape, or all of min_shape, opt_shape and max_shape")
        elif shape is not None:
            self.profiles = (Profile(*[_as_shape(shape, "shape")] * 3),)
            named = shape
        else:
            self.profiles = (_as_profile(min_shape, opt_shape, max_shape),)
            named = min_shape
        # What the model is captured for: everything from the least to the greatest size. The example has the greatest
        # of the usual sizes: torch.export takes sizes that become 0 or 1 within the model for constants.
        self.min_shape = tuple(map(min, zip(*(profile.min_shape for profile in self.profiles), strict=True)))
        self.opt_shape = tuple(map(max, zip(*(profile.opt_shape for profile in self.profiles), strict=True)))
        self.max_shape = tuple(map(max, zip(*(profile.max_shape for profile in self.profiles), strict=True)))
        self.shared_dims: dict[int, str] = dict(shared_dims or {}) or dict(enumerate(getattr(named, "_fields", ())))
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
        """The static shape, or the three shapes of the range (of all profiles together) by name."""
        if not self.is_dynamic:
            return self.min_shape
        return {"min_shape": self.min_shape, "opt_shape": self.opt_shape, "max_shape": self.max_shape}

    def __repr__(self) -> str:
        if len(self.profiles) > 1:
            return f"Input(profiles={[profile._asdict() for profile in self.profiles]}, dtype={self.dtype.name})"
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

    def _example(
        self, shape: Sequence[int], device: torch.device | str = "cpu", generator: torch.Generator | None = None
    ) -> torch.Tensor:
        if self.torch_tensor is not None and tuple(self.torch_tensor.shape) == tuple(shape):
            return self.torch_tensor.detach().to(device).clone()
        low, high = self.tensor_domain
        values = torch.rand(tuple(shape), device=device, generator=generator) * (high - low) + low
        example: torch.Tensor = values.to(self.dtype.to(torch.dtype))
        return example.contiguous(memory_format=self.format.to(torch.memory_format))
