# SPDX-License-Identifier: Apache-2.0
"""The lock around PyTorch's exporter, its passes, its script compiler and its deserializer, which keep state of the
process: in two threads at once they fail, each with the other's state."""

from __future__ import annotations

import threading
from typing import Any

import torch._dynamo.convert_frame

# The one that torch.compile takes, which calls the same code: two locks could be taken in two orders.
CAPTURE_LOCK: Any = getattr(torch._dynamo.convert_frame, "compile_lock", None) or threading.RLock()
