# SPDX-License-Identifier: Apache-2.0
"""Engines of the runtime's test backends in Python, made without a compiler."""

from __future__ import annotations

import json
import struct

import pytest
import torch

from torch_tensorrt._library import library_directory
from torch_tensorrt.runtime import EngineModule

BACKEND_PATH = f"{library_directory().parent / 'testing'}:{library_directory()}"
"""For TORCHTRT_BACKEND_PATH: the test backends' folder, and the real ones'; the variable takes the place of the usual
search."""


def _crc32c(data: bytes) -> int:
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
    return value ^ 0xFFFFFFFF


def make_engine(name: str, backend: str, device: str, bias: float, properties: dict[str, str]) -> EngineModule:
    """An engine from a float32 tensor of rows x 3, with 1 to 32 rows, to one like it: what ``operation`` among its
    properties says. Equal arguments give the same engine."""
    payload = struct.pack("<f", bias)
    fields = {
        "format_version": 1,
        "minimum_reader": 1,
        "name": name,
        "device": device,
        "inputs": [{"name": "x", "dtype": "float32", "shape": ["rows", 3]}],
        "outputs": [{"name": "y", "dtype": "float32", "shape": ["rows", 3]}],
        "symbols": {"rows": {"min": 1, "opt": 8, "max": 32}},
        "targets": [
            {
                "backend": backend,
                "producer": "the test",
                "properties": properties,
                "sections": [{"name": "bias", "offset": 0, "size": len(payload), "crc32c": _crc32c(payload)}],
            }
        ],
        "requires_output_allocator": False,
        "producer": {"torchtrt": "test"},
    }
    # The checksum is of the text behind its own digits.
    rest = '",' + json.dumps(fields, separators=(",", ":"))[1:]
    metadata = f'{{"crc32c":"{_crc32c(rest.encode()):08x}{rest}'
    tensor = torch.frombuffer(bytearray(payload), dtype=torch.uint8).clone()
    return EngineModule(name, metadata, tensor, single_output=True)


def use_fake_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets engines of fake_engine() be loaded; skips where that backend was not built."""
    if not (library_directory().parent / "testing" / "libtorchtrt_fake_executor.so").is_file():
        pytest.skip("these libraries were built without tests")
    monkeypatch.setenv("TORCHTRT_BACKEND_PATH", BACKEND_PATH)


def fake_engine(name: str, **properties: str) -> EngineModule:
    """An engine on the CPU that gives its input; src/runtime/testing/fake_executor.cpp says what properties change."""
    return make_engine(name, "fake", "cpu", 0.0, {"operation": "add", **properties})
