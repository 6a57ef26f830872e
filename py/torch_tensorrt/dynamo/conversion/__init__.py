# SPDX-License-Identifier: Apache-2.0
"""Converters of your own: how an operator becomes layers of an engine.

    @dynamo_tensorrt_converter(torch.ops.aten.nonzero.default, supports_dynamic_shapes=True,
                               requires_output_allocator=True)
    def aten_ops_nonzero(ctx, target, args, kwargs, name):
        positions = ctx.net.add_shuffle(ctx.net.add_non_zero(args[0]).get_output(0))
        positions.first_transpose = (1, 0)
        return positions.get_output(0)

``ctx.net`` has TensorRT's method names and serves every backend (docs/converters.md).
"""

from . import plugins
from ._network import Layer, Network, Tensor
from ._registry import (
    ConversionContext,
    ConverterPriority,
    ConverterRegistration,
    dynamo_tensorrt_converter,
)

__all__ = [
    "ConversionContext",
    "ConverterPriority",
    "ConverterRegistration",
    "Layer",
    "Network",
    "Tensor",
    "dynamo_tensorrt_converter",
    "plugins",
]
