# SPDX-License-Identifier: Apache-2.0
"""The caller's random numbers."""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch


def unchanged_random_state() -> AbstractContextManager[None]:
    """A block after which PyTorch's generators stand where they stood before."""
    in_use = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    devices = range(torch.cuda.device_count()) if in_use else ()
    return torch.random.fork_rng(devices=devices)
