# SPDX-License-Identifier: Apache-2.0
"""RuntimeCache: a file of kernels as an object. A test backend that writes a few bytes takes TensorRT-RTX's place."""

from __future__ import annotations

import gc
import io
import logging
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from fake_backend import fake_engine, use_fake_backend

from torch_tensorrt import runtime

KERNELS = b"TRTRTXC1 of the fake"


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> runtime.EngineModule:
    use_fake_backend(monkeypatch)
    engine = fake_engine("cached", settings="")
    engine(torch.zeros(1, 3))  # loads it
    return engine


def test_stands_for_its_path(engine: runtime.EngineModule, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    cache = runtime.RuntimeCache("kernels")
    assert cache.path == os.fspath(cache) == str(tmp_path / "kernels")
    assert runtime.RuntimeSettings(runtime_cache=cache) == runtime.RuntimeSettings(runtime_cache=cache.path)
    with runtime.runtime_cache(engine, cache):
        assert engine.runtime_settings.runtime_cache == cache.path
    with runtime.runtime_config([engine], runtime_cache=cache):
        assert engine.runtime_settings.runtime_cache == cache.path
    assert engine.runtime_settings.runtime_cache is None
    with pytest.raises(TypeError):
        runtime.RuntimeCache(3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="expected the path of a file"):
        runtime.RuntimeCache(b"kernels")  # type: ignore[arg-type]


def test_save_and_load(engine: runtime.EngineModule, tmp_path: Path) -> None:
    cache = runtime.RuntimeCache(tmp_path / "kernels")
    assert not cache.load()
    cache.save()
    assert not cache.load(), "no engine uses it"
    with runtime.runtime_config(engine, runtime_cache=str(tmp_path / "." / "kernels")):
        cache.save()
        assert cache.load()
        assert Path(cache.path).read_bytes() == KERNELS
    Path(cache.path).write_bytes(b"a model, say")
    with pytest.raises(ValueError, match="is no runtime cache: expected what"):
        cache.load()
    lost = runtime.RuntimeCache(tmp_path / "none" / "kernels")
    with runtime.runtime_config(engine, runtime_cache=lost), pytest.raises(RuntimeError, match="cannot be written"):
        lost.save()


def test_streams(engine: runtime.EngineModule, tmp_path: Path) -> None:
    cache, stream = runtime.RuntimeCache(), io.BytesIO()
    assert cache.to_stream(stream) == 0
    with runtime.runtime_cache(engine, cache):
        assert cache.to_stream(stream) == len(KERNELS)
        with pytest.raises(RuntimeError, match="engines use the runtime cache"):
            cache.from_stream(io.BytesIO(KERNELS))
    assert stream.getvalue() == KERNELS
    other = runtime.RuntimeCache(tmp_path / "other")
    stream.seek(0)
    other.from_stream(stream)
    assert other.load()
    assert Path(other.path).read_bytes() == KERNELS
    assert os.listdir(tmp_path) == ["other"], "nothing is left beside it"
    (tmp_path / "usual").touch()
    assert stat.S_IMODE(Path(other.path).stat().st_mode) == stat.S_IMODE((tmp_path / "usual").stat().st_mode)
    with pytest.raises(ValueError, match="the stream holds no runtime cache"):
        other.from_stream(io.BytesIO(b"something"))
    assert Path(other.path).read_bytes() == KERNELS
    other.from_stream(io.BytesIO(b""))
    assert not other.load()


def test_autosave(engine: runtime.EngineModule, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    try:
        for autosave in (False, True):
            cache = runtime.RuntimeCache(tmp_path / "kernels", autosave_on_del=autosave)
            engine.runtime_settings = runtime.RuntimeSettings(runtime_cache=cache)
            del cache
            gc.collect()
            assert (tmp_path / "kernels").exists() == autosave
        cache = runtime.RuntimeCache(tmp_path / "none" / "kernels", autosave_on_del=True)
        engine.runtime_settings = runtime.RuntimeSettings(runtime_cache=cache)
        with caplog.at_level(logging.WARNING):
            del cache
            gc.collect()
        assert "cannot be written" in caplog.text
    finally:
        engine.runtime_settings = runtime.RuntimeSettings()


def test_private_files(engine: runtime.EngineModule) -> None:
    first, second = runtime.RuntimeCache(), runtime.RuntimeCache()
    assert first.path != second.path
    with runtime.runtime_cache(engine):
        path = engine.runtime_settings.runtime_cache
        assert path is not None
    assert Path(path).read_bytes() == KERNELS


def test_private_files_end_with_the_process() -> None:
    program = """
import sys, torch
from _pytest.monkeypatch import MonkeyPatch
from fake_backend import fake_engine, use_fake_backend
from torch_tensorrt import runtime
use_fake_backend(MonkeyPatch())
engine = fake_engine("left", settings="")
engine.runtime_settings = runtime.RuntimeSettings(runtime_cache=runtime.RuntimeCache())
engine(torch.zeros(1, 3))
engine.engine.save_runtime_cache()
print(engine.runtime_settings.runtime_cache)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=Path(__file__).parent, capture_output=True, text=True, check=False
    )
    if "Skipped" in done.stderr:
        pytest.skip("the test backend is not here")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    path = Path(done.stdout.strip())
    assert path.is_absolute()
    assert not path.parent.exists()
