# SPDX-License-Identifier: Apache-2.0
"""The network as a converter sees it: TensorRT's method and attribute names over torchtrt's own layers.

A layer is added when its first output is asked for, so that attributes may be set after the ``add_`` call, as with
TensorRT. What the layers compute is in include/torchtrt/network/layers.h.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch

Size = int | str
"""A dimension: a number, or the text of an expression over the program's symbols ("s0", "2*s0 + 1")."""


class Tensor:
    """A value of the network. ``shape`` has ints, and texts of expressions where a dimension is symbolic."""

    def __init__(self, net: Network, index: int) -> None:
        self._net, self.index = net, index
        self._name, self.dtype, shape = net._context.describe(index)
        self.shape: tuple[Size, ...] = tuple(shape)

    @property
    def name(self) -> str:
        return str(self._name)

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def __repr__(self) -> str:
        return f"Tensor({self._name}: {self.dtype}{list(self.shape)})"


class Layer:
    """A layer that is about to be added. Attributes are those of TensorRT's layer of the same kind."""

    def __init__(
        self,
        net: Network,
        kind: str,
        inputs: Sequence[Any],
        emit: Callable[[Layer], dict[str, str]],
        **attributes: Any,
    ) -> None:
        object.__setattr__(self, "_settable", frozenset(attributes) | {"name", "metadata", "precision"})
        self.__dict__.update(attributes)
        self.__dict__.update(
            _net=net, _kind=kind, _inputs=[net._tensor(item) for item in inputs], _emit=emit, _outputs=None
        )
        self.__dict__["name"] = ""

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in self._settable:
            known = ", ".join(sorted(self._settable))
            raise AttributeError(f"a layer {self._kind} has no attribute {name!r}; it has {known}")
        if self._outputs is not None and name not in ("name", "metadata"):
            raise AttributeError(f"{name} is set after the layer's output was taken; set it before get_output")
        self.__dict__[name] = value

    def __getattr__(self, name: str) -> Any:  # only for what __init__ did not set
        raise AttributeError(f"a layer {self.__dict__.get('_kind', '')} has no attribute {name!r}")

    @property
    def num_inputs(self) -> int:
        return len(self._inputs)

    def get_input(self, index: int) -> Tensor:
        tensor = self._inputs[index]
        assert isinstance(tensor, Tensor)
        return tensor

    def set_input(self, index: int, tensor: Any) -> None:
        while len(self._inputs) <= index:
            self._inputs.append(None)
        self._inputs[index] = self._net._tensor(tensor)

    @property
    def num_outputs(self) -> int:
        return len(self._add())

    def get_output(self, index: int) -> Tensor:
        return self._add()[index]

    def _add(self) -> list[Tensor]:
        if self._outputs is None:
            attributes = self._emit(self)
            operands = [tensor.index for tensor in self._inputs]
            results = self._net._context.add_layer(self._kind, attributes, operands, "")
            self.__dict__["_outputs"] = [Tensor(self._net, index) for index in results]
        outputs: list[Tensor] = self._outputs
        return outputs


def _text(value: Any) -> str:
    """An attribute as the network's text form has it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return "inf" if value == math.inf else "-inf" if value == -math.inf else repr(value)
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_text(item) for item in value) + "]"
    return str(value)


def _member(value: Any) -> str:
    """The name of an enumerator: of TensorRT's own enumerations, of Python's, or as text ("RELU", "relu")."""
    return str(value if isinstance(value, str) else value.name).lower()


def _axes(mask: int | Iterable[int]) -> list[int]:
    """Axes of a bit mask, as TensorRT takes them, or of a list."""
    if isinstance(mask, int):
        return [axis for axis in range(mask.bit_length()) if mask >> axis & 1]
    return sorted(mask)


def _single_axis(mask: int | Iterable[int], what: str) -> int:
    axes = _axes(mask)
    if len(axes) != 1:
        raise ValueError(f"{what}: expected one axis, got {axes}")
    return axes[0]


_DTYPES = {
    "float": torch.float32,
    "float32": torch.float32,
    "half": torch.float16,
    "float16": torch.float16,
    "bf16": torch.bfloat16,
    "bfloat16": torch.bfloat16,
    "int8": torch.int8,
    "uint8": torch.uint8,
    "int32": torch.int32,
    "int64": torch.int64,
    "bool": torch.bool,
}


def _dtype(value: Any) -> torch.dtype:
    if isinstance(value, torch.dtype):
        return value
    name = _member(value)
    if name not in _DTYPES:
        raise TypeError(f"{value!r} is no dtype that engines have")
    return _DTYPES[name]


_GATHER_MODES = {"default": "default", "element": "element", "nd": "nd"}
_SLICE_MODES = {"strict_bounds": "strict", "strict": "strict", "fill": "fill", "reflect": "reflect", "clamp": "clamp"}


class Network:
    """``ctx.net``: adds layers to the engine under construction. Usable only while the converter runs."""

    def __init__(self, context: Any) -> None:
        self._context = context

    def _tensor(self, value: Any) -> Tensor:
        if isinstance(value, Tensor):
            return value
        if isinstance(value, torch.Tensor):
            return Tensor(self, self._context.add_constant(value.detach().cpu()))
        raise TypeError(f"expected a tensor of the network or a torch.Tensor, got {type(value).__name__}")

    # --- sources ---

    def add_constant(self, shape: Sequence[int], weights: Any) -> Layer:
        """A constant of NumPy's or PyTorch's elements."""
        tensor = (weights if isinstance(weights, torch.Tensor) else torch.as_tensor(weights)).reshape(tuple(shape))
        return self.add_identity(tensor)

    def add_shape(self, input: Any) -> Layer:
        """int64, one element for each dimension."""
        tensor = self._tensor(input)
        return Layer(self, "shape_of", [], lambda layer: {"values": _text(tensor.shape)})

    def add_fill(self, shape: Sequence[Size], op: Any = "linspace", output_type: Any = torch.int64) -> Layer:
        """``alpha`` + i * ``beta``, one-dimensional."""
        if _member(op) != "linspace" or len(shape) != 1:
            raise NotImplementedError("fill: only LINSPACE over one dimension")
        dtype = _dtype(output_type)
        return Layer(
            self,
            "fill",
            [],
            lambda layer: {
                "dtype": str(dtype).removeprefix("torch."),
                "length": _text(shape[0]),
                "start": _text(float(layer.alpha)),
                "step": _text(float(layer.beta)),
            },
            alpha=0.0,
            beta=1.0,
        )

    # --- elementwise ---

    def add_activation(self, input: Any, type: Any) -> Layer:
        return Layer(
            self,
            "activation",
            [input],
            lambda layer: {
                "type": _member(type),
                **({"alpha": _text(float(layer.alpha))} if layer.alpha is not None else {}),
                **({"beta": _text(float(layer.beta))} if layer.beta is not None else {}),
            },
            alpha=None,
            beta=None,
        )

    def add_unary(self, input: Any, op: Any) -> Layer:
        return Layer(self, "unary", [input], lambda layer: {"operation": _member(op)})

    def add_elementwise(self, input1: Any, input2: Any, op: Any) -> Layer:
        return Layer(self, "elementwise", [input1, input2], lambda layer: {"operation": _member(op)})

    def add_select(self, condition: Any, then_input: Any, else_input: Any) -> Layer:
        return Layer(self, "select", [condition, then_input, else_input], lambda layer: {})

    def add_cast(self, input: Any, to_type: Any) -> Layer:
        return Layer(self, "cast", [input], lambda layer: {"to": str(_dtype(to_type)).removeprefix("torch.")})

    def add_identity(self, input: Any) -> Layer:
        return Layer(self, "identity", [input], lambda layer: {})

    # --- arithmetic over dimensions ---

    def add_matrix_multiply(self, input0: Any, op0: Any, input1: Any, op1: Any) -> Layer:
        return Layer(
            self, "matrix_multiply", [input0, input1], lambda layer: {"op_a": _member(op0), "op_b": _member(op1)}
        )

    def add_reduce(self, input: Any, op: Any, axes: int, keep_dims: bool) -> Layer:
        return Layer(
            self,
            "reduce",
            [input],
            lambda layer: {"operation": _member(op), "axes": _text(_axes(axes)), "keep_dims": _text(bool(keep_dims))},
        )

    def add_softmax(self, input: Any) -> Layer:
        return Layer(self, "softmax", [input], lambda layer: {"axis": str(_single_axis(layer.axes, "softmax"))}, axes=1)

    def add_topk(self, input: Any, op: Any, k: Size, axes: int) -> Layer:
        return Layer(
            self,
            "topk",
            [input],
            lambda layer: {"operation": _member(op), "k": _text(k), "axis": str(_single_axis(axes, "topk"))},
        )

    def add_cumulative(
        self, input: Any, axis: int, op: Any = "sum", exclusive: bool = False, reverse: bool = False
    ) -> Layer:
        if _member(op) != "sum":
            raise NotImplementedError("cumulative: only SUM")
        return Layer(
            self,
            "cumulative_sum",
            [input],
            lambda layer: {"axis": str(axis), "exclusive": _text(exclusive), "reverse": _text(reverse)},
        )

    # --- moving elements ---

    def add_shuffle(self, input: Any) -> Layer:
        """Transpose, reshape, transpose. In ``reshape_dims`` -1 stands for what is left over, 0 for the input's own."""
        tensor = self._tensor(input)

        def emit(layer: Layer) -> dict[str, str]:
            attributes = {}
            shape = tensor.shape
            if layer.first_transpose is not None:
                attributes["first_transpose"] = _text(list(layer.first_transpose))
                shape = tuple(shape[axis] for axis in layer.first_transpose)
            if layer.reshape_dims is not None:
                attributes["reshape"] = _text(_reshape(shape, list(layer.reshape_dims)))
            if layer.second_transpose is not None:
                attributes["second_transpose"] = _text(list(layer.second_transpose))
            return attributes

        return Layer(self, "shuffle", [tensor], emit, first_transpose=None, reshape_dims=None, second_transpose=None)

    def add_slice(self, input: Any, start: Sequence[Size], shape: Sequence[Size], stride: Sequence[int]) -> Layer:
        return Layer(
            self,
            "slice",
            [input],
            lambda layer: {
                "start": _text(list(start)),
                "size": _text(list(shape)),
                "stride": _text(list(stride)),
                "mode": _SLICE_MODES[_member(layer.mode)],
            },
            mode="strict",
        )

    def add_concatenation(self, inputs: Sequence[Any]) -> Layer:
        return Layer(self, "concatenation", list(inputs), lambda layer: {"axis": str(layer.axis)}, axis=0)

    def add_gather(self, input: Any, indices: Any, axis: int) -> Layer:
        return Layer(self, "gather", [input, indices], lambda layer: {"axis": str(axis)})

    def add_gather_v2(self, input: Any, indices: Any, mode: Any) -> Layer:
        return Layer(
            self,
            "gather",
            [input, indices],
            lambda layer: {"mode": _GATHER_MODES[_member(mode)], "axis": str(layer.axis)},
            axis=0,
        )

    def add_scatter(self, data: Any, indices: Any, updates: Any, mode: Any) -> Layer:
        return Layer(
            self,
            "scatter",
            [data, indices, updates],
            lambda layer: {"mode": _member(mode), "axis": str(layer.axis)},
            axis=0,
        )

    def add_non_zero(self, input: Any, indices_type: Any = torch.int64) -> Layer:
        """int64 [rank, count]."""
        if _dtype(indices_type) is not torch.int64:
            raise NotImplementedError("non_zero: indices are int64; add a cast")
        return Layer(self, "non_zero", [input], lambda layer: {"count_symbol": self._context.count_symbol()})

    # --- neural networks ---

    def add_convolution_nd(
        self, input: Any, num_output_maps: int, kernel_shape: Sequence[int], kernel: Any, bias: Any = None
    ) -> Layer:
        rank = len(kernel_shape)

        def emit(layer: Layer) -> dict[str, str]:
            padding = list(layer.padding_nd)
            return {
                "stride": _text(list(layer.stride_nd)),
                "dilation": _text(list(layer.dilation_nd)),
                "pre_padding": _text(list(layer.pre_padding) if layer.pre_padding is not None else padding),
                "post_padding": _text(list(layer.post_padding) if layer.post_padding is not None else padding),
                "groups": str(layer.num_groups),
            }

        return Layer(
            self,
            "convolution",
            [input, kernel] + ([] if bias is None else [bias]),
            emit,
            stride_nd=(1,) * rank,
            dilation_nd=(1,) * rank,
            padding_nd=(0,) * rank,
            pre_padding=None,
            post_padding=None,
            num_groups=1,
        )

    def add_normalization(self, input: Any, scale: Any, bias: Any, axesMask: int) -> Layer:  # noqa: N803 - TensorRT's
        return Layer(
            self,
            "normalization",
            [input, scale, bias],
            lambda layer: {"kind": "layer", "axes": _text(_axes(axesMask)), "epsilon": _text(float(layer.epsilon))},
            epsilon=1e-5,
        )


def _reshape(shape: Sequence[Size], wanted: list[Size]) -> list[Size]:
    """The dims of a reshape: 0 and -1 are resolved."""
    for index, size in enumerate(wanted):
        if size == 0:
            wanted[index] = shape[index]
    if -1 not in wanted:
        return wanted
    rest = [size for size in wanted if size != -1]
    # Symbols cancel as they are; a quotient of expressions is not needed where a -1 has one answer for every size.
    left = list(shape)
    for size in [item for item in rest if isinstance(item, str)]:
        if size not in left:
            raise NotImplementedError(f"-1 in a reshape of {list(shape)} to {wanted} is no plain size")
        left.remove(size)
    symbols = [size for size in left if isinstance(size, str)]
    number, divisor = (math.prod(size for size in sizes if isinstance(size, int)) for sizes in (left, rest))
    if divisor == 0 or number % divisor:
        raise ValueError(f"a tensor of {list(shape)} has no reshape to {wanted}")
    factors = [f"({size})" for size in symbols] + ([str(number // divisor)] if number != divisor or not symbols else [])
    wanted[wanted.index(-1)] = "*".join(factors) if symbols else number // divisor
    return wanted
