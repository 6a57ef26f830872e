# SPDX-License-Identifier: Apache-2.0
"""What builders are told, and how a build is cancelled."""

from __future__ import annotations

import json
import logging
import signal
import time
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import torch

import torch_tensorrt
from torch_tensorrt._library import load_binding
from torch_tensorrt._settings import (
    NO_EFFECT,
    TARGETS,
    CompilationSettings,
    log_unused,
    make_settings,
    timing_cache_folder,
)

needs_rtx = pytest.mark.skipif(
    not torch_tensorrt.ENABLED_FEATURES.tensorrt_rtx, reason="the TensorRT-RTX backend is not built"
)


def build(model: torch.nn.Module, *inputs: Any, **settings: Any) -> dict[str, Any]:
    """The properties of a TensorRT-RTX engine."""
    package = torch_tensorrt.convert_method_to_trt_engine(
        model.eval(), ir="dynamo", arg_inputs=list(inputs), targets=["tensorrt_rtx"], min_block_size=1, **settings
    )
    start, size = (int.from_bytes(package[at : at + 8], "little") for at in (24, 32))
    (target,) = json.loads(package[start : start + size])["targets"]
    properties: dict[str, Any] = target["properties"]
    return properties


def test_settings_and_their_types(tmp_path: Path) -> None:
    settings = make_settings({"timing_cache_path": tmp_path / "cache", "hardware_compatible": True})
    assert settings.timing_cache_path == str(tmp_path / "cache")
    assert make_settings({"timing_cache_path": None}) == CompilationSettings()
    assert make_settings({"timing_cache_path": ""}).timing_cache_path == ""
    for name in ("hardware_compatible", "version_compatible", "enable_weight_streaming"):
        with pytest.raises(TypeError, match=f"{name} must be True or False"):
            make_settings({name: "yes"})


def test_what_has_no_effect_is_said(caplog: pytest.LogCaptureFixture) -> None:
    known = set(CompilationSettings.__dataclass_fields__)
    assert known >= NO_EFFECT.keys()
    assert {target for reasons in NO_EFFECT.values() for target in reasons} <= set(TARGETS)
    with caplog.at_level(logging.INFO, "torch_tensorrt"):
        log_unused(CompilationSettings(), TARGETS)
        assert caplog.messages == []
        log_unused(make_settings({"hardware_compatible": True, "workspace_size": 5}), ["tensorrt_rtx", "tensorrt"])
    assert caplog.messages == [
        "hardware_compatible=True has no effect on target tensorrt_rtx: its engines are for the GPUs of "
        "compute_capabilities"
    ]
    caplog.clear()
    with caplog.at_level(logging.INFO, "torch_tensorrt"):
        x = torch.rand(2, 4)
        model = torch.nn.Linear(4, 4).eval()
        module = torch_tensorrt.compile(model, arg_inputs=[x], min_block_size=1, enable_weight_streaming=True)
    assert any("enable_weight_streaming=True has no effect on target openvino" in line for line in caplog.messages)
    torch.testing.assert_close(module(x), model(x))


@needs_rtx
def test_the_executor_is_told(tmp_path: Path) -> None:
    cache = tmp_path / "timings"
    properties = build(
        torch.nn.Linear(4, 4),
        torch.rand(2, 4),
        enable_weight_streaming=True,
        hardware_compatible=True,
        timing_cache_path=cache,
    )
    assert properties["weight_streaming"] == "true"
    assert "hardware_compatible" not in properties
    assert not cache.exists(), "TensorRT-RTX times nothing"


@needs_rtx
def test_the_librarys_refusal_comes_through() -> None:
    try:
        properties = build(torch.nn.Linear(4, 4), torch.rand(2, 4), version_compatible=True)
    except load_binding().UnsupportedError as error:
        assert "lean" in str(error)  # noqa: PT017 - the other outcome is the library's choice
    else:
        assert properties["version_compatible"] == "true"


class Interrupted(BaseException):
    pass


class Bindings:
    """The binding with a SIGALRM that comes `delay` seconds after compile() begins; 0: none comes."""

    def __init__(self, delay: float) -> None:
        self._binding, self._delay = load_binding(), delay
        self.seconds = 0.0  # of the last compile()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._binding, name)

    def compile(self, *args: Any, **kwargs: Any) -> Any:
        started = time.monotonic()
        try:
            signal.setitimer(signal.ITIMER_REAL, self._delay)
            return self._binding.compile(*args, **kwargs)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            self.seconds = time.monotonic() - started


def large_model() -> torch.nn.Module:
    torch.manual_seed(0)
    layers = [layer for _ in range(40) for layer in (torch.nn.Linear(512, 512), torch.nn.GELU())]
    return torch.nn.Sequential(*layers).eval()


@needs_rtx
@pytest.mark.parametrize("kind", ["default", "users"])
def test_a_signal_ends_a_build(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """As Ctrl-C does: the handler runs while C++ builds, and what it raises comes out of compile()."""

    def handler(number: int, frame: FrameType | None) -> None:
        if kind == "default":
            signal.default_int_handler(number, frame)
        raise Interrupted

    x = torch.rand(2, 512)
    model = large_model()
    undisturbed, interrupted = Bindings(0), Bindings(0.02)
    monkeypatch.setattr("torch_tensorrt.dynamo._compiler.load_binding", lambda: undisturbed)
    build(model, x)
    monkeypatch.setattr("torch_tensorrt.dynamo._compiler.load_binding", lambda: interrupted)
    former = signal.signal(signal.SIGALRM, handler)
    try:
        with pytest.raises(KeyboardInterrupt if kind == "default" else Interrupted):
            build(model, x)
    finally:
        signal.signal(signal.SIGALRM, former)
    assert 0.02 <= interrupted.seconds < undisturbed.seconds, "it ended in the middle of the build"
    monkeypatch.undo()
    assert build(torch.nn.Linear(4, 4), torch.rand(2, 4))["version"], "the next build works"


def test_where_timings_are_kept_by_default(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("TORCHTRT_CACHE_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert timing_cache_folder() == f"{tmp_path}/.cache/torchtrt/timing/"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert timing_cache_folder() == f"{tmp_path}/xdg/torchtrt/timing/"
    monkeypatch.setenv("TORCHTRT_CACHE_DIR", str(tmp_path / "ours"))
    assert timing_cache_folder() == f"{tmp_path}/ours/timing/"
