# SPDX-License-Identifier: Apache-2.0
"""The device an engine is compiled for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from ._enums import DeviceType


@dataclass(frozen=True)
class Device:
    """``Device("cuda:1")``, ``Device("cpu")``, ``Device(gpu_id=1)``, or the DLA of a Jetson by ``dla_core``.

    Made from a string, a ``torch.device`` or keywords; hashable and comparable.
    """

    device_type: DeviceType = DeviceType.GPU
    gpu_id: int = 0
    dla_core: int = -1
    allow_gpu_fallback: bool = False

    def __init__(
        self,
        spec: str | torch.device | None = None,
        *,
        gpu_id: int | None = None,
        dla_core: int | None = None,
        allow_gpu_fallback: bool = False,
    ) -> None:
        kind, index, core = DeviceType.GPU, gpu_id or 0, -1
        if spec is not None:
            if gpu_id is not None or dla_core is not None:
                raise ValueError("Device: give either a device string or gpu_id/dla_core, not both")
            text = str(spec)
            name, _, number = text.partition(":")
            if name not in ("cpu", "cuda", "gpu", "dla") or (number and not number.isdigit()):
                raise ValueError(f'Device: expected "cpu", "cuda:0", "gpu:0" or "dla:0", got {text!r}')
            if name == "cpu":
                kind = DeviceType.CPU
            elif name == "dla":
                kind, core = DeviceType.DLA, int(number or 0)
            else:
                index = int(number or 0)
        elif dla_core is not None:
            kind, core = DeviceType.DLA, dla_core
        object.__setattr__(self, "device_type", kind)
        object.__setattr__(self, "gpu_id", index)
        object.__setattr__(self, "dla_core", core)
        object.__setattr__(self, "allow_gpu_fallback", allow_gpu_fallback)

    @classmethod
    def _from(cls, value: Any) -> Device:
        """From a Device, a string, a ``torch.device`` or a CUDA index."""
        if isinstance(value, cls):
            return value
        if isinstance(value, int) and not isinstance(value, bool):
            return cls(gpu_id=value)
        if isinstance(value, (str, torch.device)):
            return cls(value)
        raise TypeError(f"Device: expected a Device, a torch.device, a string or an index, got {type(value).__name__}")

    def to_torch(self) -> torch.device:
        """The device where the engine's inputs live."""
        if self.device_type is DeviceType.CPU:
            return torch.device("cpu")
        return torch.device("cuda", self.gpu_id)

    def to(self, target: type) -> torch.device:
        if target is torch.device:
            return self.to_torch()
        raise TypeError(f"Device has no counterpart in {target}")
