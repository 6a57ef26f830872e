# SPDX-License-Identifier: Apache-2.0
"""How many of the weights of TensorRT's engines stay on the GPU; the others are copied there while an engine runs."""

from __future__ import annotations

import logging
from types import TracebackType
from typing import Any

from .._engine import engines_of
from .._library import load_binding
from ._whole_graph import without_recordings

_LOGGER = logging.getLogger("torch_tensorrt")


class weight_streaming:  # noqa: N801 - a context manager, named as scripts know it
    """``with weight_streaming(module) as streaming:`` the module's weight streaming budget, to be set while the block
    lasts: ``streaming.device_budget = streaming.total_device_budget // 2``.

    The end of the block puts the former budget of every engine back, also when it ends by an exception; blocks may be
    nested. For modules compiled with ``enable_weight_streaming=True``, however they were loaded. Engines that did not
    run yet are loaded on the current GPU.

    Setting a budget waits for the calls in flight and for their work; calls of other threads that begin meanwhile wait
    for it, and then run with the new one. CUDA graphs are recorded anew, those of ``enable_cudagraphs`` too. A
    recording of the caller's own (``torch.cuda.graph``) holds the weights where they are: while it lives, setting
    another budget raises RuntimeError and changes nothing.

    Raises:
        RuntimeError: the module has no weights that can be streamed.
    """

    def __init__(self, module: Any) -> None:
        self._engines = engines_of(module)
        self._saved: list[Any] = []  # by nested block of this object
        if self.total_device_budget == 0:
            raise RuntimeError(
                f"weight_streaming: {type(module).__name__} has no weights that can be streamed; "
                "compile the model for TensorRT or TensorRT-RTX with enable_weight_streaming=True"
            )

    @property
    def total_device_budget(self) -> int:
        """Bytes of all weights that can be streamed, over the module's engines; as a budget: nothing is streamed."""
        return self._read()[0]

    @property
    def device_budget(self) -> int:
        """Bytes of those weights that stay on the GPU. What is set is split over the engines in proportion to their
        streamable weights; more than ``total_device_budget`` is taken for that, with a warning in the log.

        Raises:
            TypeError: the budget is not an int.
            RuntimeError: it is negative, or refused: by the library, or because a recording of the caller's holds the
                weights where they are. The former budgets stay.
        """
        return self._read()[1]

    @device_budget.setter
    def device_budget(self, budget: int) -> None:
        if isinstance(budget, bool) or not isinstance(budget, int):
            raise TypeError(f"device_budget: expected a number of bytes, got {budget!r}")
        if budget < 0:
            raise RuntimeError(f"device_budget: expected a number of bytes from 0 on, got {budget}")
        with without_recordings(self._engines):
            load_binding().set_weight_streaming_budget(self._engines, min(budget, 2**63 - 1))

    def get_automatic_weight_streaming_budget(self) -> int:
        """The budget in bytes that TensorRT proposes for the GPU memory that is free now, over the module's engines.
        Engines begin with what it proposes when they are loaded."""
        return self._read()[2]

    def _read(self) -> tuple[int, int, int]:
        streamable, budget, automatic = load_binding().weight_streaming(self._engines)
        return streamable, budget, automatic

    def __enter__(self) -> weight_streaming:
        self._saved.append(load_binding().SavedBudgets(self._engines))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        saved = self._saved.pop()
        try:
            with without_recordings(self._engines):
                saved.restore()
        except RuntimeError as refusal:
            if error is None:
                raise
            # The block's own error goes on.
            _LOGGER.error("the former weight streaming budget is not back: %s", refusal)
