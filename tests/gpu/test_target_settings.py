# SPDX-License-Identifier: Apache-2.0
"""Settings of builds, and what engines tell of themselves, on TensorRT's own engines."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

import torch_tensorrt
from torch_tensorrt import Input, logging, runtime

from .compiled import WIDTH, Compiled, Mlp, batch, compile_for


@pytest.fixture
def profiled(target: str) -> Compiled:
    shapes = [((1, WIDTH), (1, WIDTH), (4, WIDTH)), ((4, WIDTH), (16, WIDTH), (32, WIDTH))]
    names = ("min_shape", "opt_shape", "max_shape")
    profiles = [dict(zip(names, shape, strict=True)) for shape in shapes]
    return compile_for(target, Mlp(), Input(profiles=profiles, dtype=torch.float32))


def test_profiles(profiled: Compiled) -> None:
    for count in (1, 32, 4, 8, 2, 16):
        profiled.check(batch(count))
    for profile, takes, refuses in ((0, 4, 8), (1, 4, 2)):
        with runtime.optimization_profile(profiled.module, profile):
            profiled.check(batch(takes))
            with pytest.raises((ValueError, RuntimeError), match=f"profile {profile}"):
                profiled.module(batch(refuses))
            profiled.check(batch(takes))
    profiled.check(batch(8))


def test_profiles_in_graphs(profiled: Compiled) -> None:
    with runtime.enable_cudagraphs(profiled.module):
        for count in (1, 32, 4, 1, 32, 4) * 2:
            profiled.check(batch(count))
        for profile in (0, 1, 0, 1):
            with runtime.optimization_profile(profiled.module, profile):
                profiled.check(batch(4))


def test_hardware_compatible(target: str) -> None:
    compiled = compile_for(target, Mlp(), hardware_compatible=True)
    compiled.check(batch(8))


def test_version_compatible(target: str) -> None:
    """The library takes a second one for it, which not every installation has: then its reason comes through."""
    try:
        compiled = compile_for(target, Mlp(), version_compatible=True, pass_through_build_failures=True)
    except RuntimeError as error:
        if "lean" not in str(error):
            raise
        pytest.skip(f"the library lacks its lean runtime: {error}")
    compiled.check(batch(8))


def test_timing_cache(target: str, tmp_path: Path) -> None:
    if target == "tensorrt_rtx":
        pytest.skip("TensorRT-RTX times no kernels while it builds")
    path = tmp_path / "cache" / "timings"
    compile_for(target, Mlp(), timing_cache_path=path).check(batch(8))
    first = path.read_bytes()
    assert len(first) > 100
    compile_for(target, Mlp(), timing_cache_path=path).check(batch(8))
    path.write_bytes(b"damaged" * 100)
    compile_for(target, Mlp(), timing_cache_path=path).check(batch(8))
    assert len(path.read_bytes()) > 100
    assert not path.read_bytes().startswith(b"damaged")


def test_weight_streaming(target: str, capfd: pytest.CaptureFixture[str]) -> None:
    with logging.info():
        compiled = compile_for(target, Mlp(), enable_weight_streaming=True)
        compiled.check(batch(8))
    assert "bytes of weights on the GPU" in capfd.readouterr().err


def test_inspection(target: str) -> None:
    compiled = compile_for(target, Mlp())
    compiled.check(batch(8))
    (told,) = runtime.inspect(compiled.module).values()
    assert told["backend"] == target
    assert told["layers"]
    assert all("Name" in layer and "LayerType" in layer for layer in told["layers"])


def test_layer_times(target: str) -> None:
    compiled = compile_for(target, Mlp())
    compiled.check(batch(8))
    with runtime.profile(compiled.module) as profile:
        for _ in range(3):
            compiled.check(batch(8))
    (times,) = profile.engines.values()
    assert times
    assert sum(layer.total_ms for layer in times) > 0


class WithSize(nn.Module):
    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.relu(x), torch.sigmoid(x).sum(dim=0) * x.shape[0]


def test_sizes(target: str) -> None:
    compiled = compile_for(target, WithSize())
    for count in (1, 8, 32):
        x = batch(count)
        with torch.no_grad():
            for ours, theirs in zip(compiled.module(x), compiled.eager(x), strict=True):
                torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_what_is_compiled_by_default_and_for_several(target: str) -> None:
    """`target` fits this machine, so something does."""
    for targets in (None, ["tensorrt_rtx", "tensorrt"]):
        model = Mlp().eval().cuda()
        module = torch_tensorrt.compile(model, ir="dynamo", arg_inputs=[batch(4)], min_block_size=1, targets=targets)
        Compiled(module, model).check(batch(4))
        (engine,) = runtime.engine_modules(module).values()
        assert engine.engine.target() in ("tensorrt_rtx", "tensorrt")
