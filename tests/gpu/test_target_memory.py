# SPDX-License-Identifier: Apache-2.0
"""Device memory stays what it is over 1000 calls of a TensorRT engine, in every mode."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from torch_tensorrt import runtime

from .compiled import Mixed, Mlp, batch, compile_for

MODES: dict[str, Callable[[Any], Any]] = {
    "standard": lambda module: runtime.set_multi_device_safe_mode(False),
    "graphs": runtime.enable_cudagraphs,
    "allocator": runtime.enable_output_allocator,
    "pre-allocated": runtime.enable_pre_allocated_outputs,
    "whole": runtime.enable_cudagraphs,
}


@pytest.mark.alone
@pytest.mark.parametrize("mode", list(MODES))
def test_memory_is_constant(target: str, mode: str) -> None:
    compiled = compile_for(target, Mixed() if mode == "whole" else Mlp())
    inputs = [batch(count) for count in range(1, 13)]  # more shapes than graphs are kept
    streams = [torch.cuda.Stream() for _ in range(3)]

    def calls(module: Any, count: int) -> None:
        with torch.no_grad():
            for index in range(count):
                with torch.cuda.stream(streams[index // 20 % 3]):
                    module(inputs[index % len(inputs)])
        torch.cuda.synchronize()
        torch.cuda.empty_cache()

    with MODES[mode](compiled.module) as given:
        module = given if mode == "whole" else compiled.module
        calls(module, 300)
        allocated, free = torch.cuda.memory_allocated(), torch.cuda.mem_get_info()[0]
        calls(module, 1000)
        assert torch.cuda.memory_allocated() <= allocated + 64 * 1024
        assert free - torch.cuda.mem_get_info()[0] <= 32 * 2**20
