# SPDX-License-Identifier: Apache-2.0
"""Several optimization profiles: how they are described, captured, built and chosen."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from py_models import assert_same
from test_modes import FakeRecorder

import torch_tensorrt
from torch_tensorrt import Input, runtime
from torch_tensorrt._engine import engines_of
from torch_tensorrt.dynamo._trace import collect_inputs, profile_ranges, symbol_ranges, trace
from torch_tensorrt.runtime._whole_graph import CudaGraphsTorchTensorRTModule

needs_rtx = pytest.mark.skipif(
    not torch_tensorrt.ENABLED_FEATURES.tensorrt_rtx, reason="the TensorRT-RTX backend is not built"
)
Range = tuple[int, int, int]


def rows(*ranges: Range, width: int = 16, **others: Any) -> Input:
    """Shapes [n, width], a range of n for each profile."""
    names = ("min_shape", "opt_shape", "max_shape")
    profiles = [{name: (size, width) for name, size in zip(names, sizes, strict=True)} for sizes in ranges]
    return Input(profiles=profiles, **others)


class Adds(torch.nn.Module):
    """The model makes the two inputs' sizes equal."""

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return torch.relu(x) + y


class Doubles(torch.nn.Module):
    """y has twice as many rows as x."""

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return torch.relu(torch.cat([x, x])) + y


def ranges_of(model: torch.nn.Module, *inputs: Input) -> list[set[Range]]:
    """The ranges of the symbols in each profile."""
    program = trace(model.eval(), arg_inputs=list(inputs))
    specs = collect_inputs(None, list(inputs), None)
    return [set(profile.values()) for profile in profile_ranges(program, specs, symbol_ranges(program, {}))]


def mlp() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(16, 32), torch.nn.ReLU(), torch.nn.Linear(32, 4)).eval()


def test_the_range_is_that_of_all_profiles() -> None:
    made = rows((1, 1, 1), (4, 8, 16))
    assert made.shape == {"min_shape": (1, 16), "opt_shape": (8, 16), "max_shape": (16, 16)}
    assert made.profiles[1].opt_shape == (8, 16)
    assert "profiles=[" in repr(made)
    one = rows((1, 2, 4))
    assert one.profiles == Input(min_shape=(1, 16), opt_shape=(2, 16), max_shape=(4, 16)).profiles
    assert Input((2, 3)).profiles == (((2, 3),) * 3,)
    fixed = rows((1, 1, 1), (8, 8, 8))
    assert fixed.is_dynamic


@pytest.mark.parametrize(
    ("profiles", "message"),
    [
        ([], "at least one"),
        ({"min_shape": (1,), "opt_shape": (1,), "max_shape": (1,)}, "must be a list"),
        ([{"min_shape": (1,), "max_shape": (1,)}], "each profile must give"),
        ([{"min_shape": (1,), "opt_shape": (1,), "max_shape": (1,), "shape": (1,)}], "nothing else"),
        ([{"min_shape": (2,), "opt_shape": (1,), "max_shape": (3,)}], "min <= opt <= max"),
        (
            [
                {"min_shape": (1,), "opt_shape": (1,), "max_shape": (1,)},
                {"min_shape": (1, 1), "opt_shape": (1, 1), "max_shape": (1, 1)},
            ],
            "all profiles must have the same rank",
        ),
    ],
)
def test_profiles_that_are_none(profiles: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Input(profiles=profiles)
    with pytest.raises(ValueError, match="either profiles or shapes"):
        Input(shape=(1,), profiles=profiles)


def test_ranges_by_symbol() -> None:
    assert ranges_of(mlp(), rows((1, 1, 1), (4, 8, 16))) == [{(1, 1, 1)}, {(4, 8, 16)}]
    assert ranges_of(mlp(), rows((1, 4, 16))) == [], "one profile is the symbols' own ranges"
    # One batch size, by the same ranges; and one that the model makes.
    assert ranges_of(Adds(), rows((1, 2, 4), (8, 8, 8)), rows((1, 2, 4), (8, 8, 8))) == [{(1, 2, 4)}, {(8, 8, 8)}]
    assert ranges_of(Adds(), rows((1, 2, 4), (8, 8, 8)), rows((1, 8, 16))) == [{(1, 2, 4)}, {(8, 8, 8)}]


def test_sizes_that_follow_from_others() -> None:
    x = rows((1, 2, 4), (5, 6, 8))
    assert ranges_of(Doubles(), x, rows((2, 4, 8), (10, 12, 16))) == [{(1, 2, 4)}, {(5, 6, 8)}]
    module = torch_tensorrt.compile(Doubles(), arg_inputs=[x, rows((2, 4, 8), (10, 12, 16))], min_block_size=1)
    for count in (1, 5, 8):
        pair = torch.rand(count, 16), torch.rand(2 * count, 16)
        assert_same(module(*pair), Doubles()(*pair))
    with pytest.raises(ValueError, match=r"optimization profile 1: dimension 0 of input 'y' is .* not 8 to 16"):
        ranges_of(Doubles(), x, rows((2, 4, 8), (8, 12, 16)))


def test_profiles_without_shapes() -> None:
    with pytest.raises(ValueError, match=r"optimization profile 1: input 'y' takes sizes 2 to 4 in dimension 0, but 8"):
        ranges_of(Adds(), rows((1, 2, 4), (8, 8, 8)), rows((1, 8, 8), (2, 2, 4)))


def test_numbers_of_profiles_must_agree() -> None:
    inputs = [rows((1, 2, 4), (8, 8, 8)), rows((1, 2, 4), (5, 6, 6), (8, 8, 8))]
    with pytest.raises(ValueError, match="same number of optimization profiles, or one, got 2 and 3"):
        torch_tensorrt.compile(Adds(), arg_inputs=inputs, min_block_size=1)


def test_engines_on_the_cpu_take_everything() -> None:
    model = mlp()
    module = torch_tensorrt.compile(model, arg_inputs=[rows((1, 1, 2), (8, 8, 16))], min_block_size=1)
    for count in (1, 2, 5, 16):
        x = torch.rand(count, 16)
        assert_same(module(x), model(x))
    with pytest.raises(ValueError, match="outside"):
        module(torch.rand(17, 16))
    (engine,) = engines_of(module)
    assert engine.optimization_profile_count() == 1
    for profile in (0, "auto", None):
        with runtime.optimization_profile(module, profile) as inside:
            assert_same(inside(x), model(x))
    with pytest.raises(ValueError, match="there is no profile 1, the engines have one, number 0"):
        runtime.optimization_profile(module, 1)


@pytest.fixture(scope="module")
def two_profiles() -> Any:
    """For the CPU, where it runs, and for TensorRT-RTX, which has the profiles."""
    return torch_tensorrt.compile(
        mlp(),
        arg_inputs=[rows((1, 1, 1), (4, 8, 16))],
        targets=["openvino", "tensorrt_rtx"],
        min_block_size=1,
    )


def chosen(module: Any) -> int:
    (engine,) = engines_of(module)
    return int(engine.optimization_profile())


@needs_rtx
def test_plans_have_the_profiles(two_profiles: Any) -> None:
    (engine,) = engines_of(two_profiles)
    metadata = json.loads(engine.metadata())
    cpu, gpu, _ = (target["properties"] for target in metadata["targets"])
    assert "profiles" not in cpu
    assert gpu["profiles"] == "2"
    (symbol,) = metadata["symbols"].values()
    assert (symbol["min"], symbol["max"]) == (1, 16)
    assert engine.optimization_profile_count() == 2


@needs_rtx
def test_the_users_choice(two_profiles: Any) -> None:
    assert chosen(two_profiles) == -1
    with runtime.optimization_profile(two_profiles, 1) as module:
        assert module is two_profiles
        assert chosen(module) == 1
        with runtime.optimization_profile(module, 0):
            assert chosen(module) == 0
            with runtime.optimization_profile(module, None):
                assert chosen(module) == 0
            with runtime.optimization_profile(module, "auto"):
                assert chosen(module) == -1
            assert chosen(module) == 0
        assert chosen(module) == 1
        with pytest.raises(RuntimeError, match="from inside"), runtime.optimization_profile(module):
            raise RuntimeError("from inside")
        assert chosen(module) == 1
    assert chosen(two_profiles) == -1


@needs_rtx
@pytest.mark.parametrize(("profile", "error"), [(2, ValueError), (-1, ValueError), (True, TypeError), ("1", TypeError)])
def test_choices_that_are_none(two_profiles: Any, profile: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="profile"):
        runtime.optimization_profile(two_profiles, profile)
    assert chosen(two_profiles) == -1
    with pytest.raises(ValueError, match="no engine found"):
        runtime.optimization_profile(torch.nn.ReLU(), 0)


@needs_rtx
@pytest.mark.parametrize("format_", ["exported_program", "torchscript", "aot_inductor"])
def test_files_keep_them(two_profiles: Any, tmp_path: Any, format_: str) -> None:
    path = str(tmp_path / ("m.pt2" if format_ == "aot_inductor" else "m.file"))
    torch_tensorrt.save(two_profiles, path, output_format=format_)
    loaded = torch_tensorrt.load(path)
    with runtime.optimization_profile(loaded, 1):
        assert chosen(loaded) == 1
        assert chosen(two_profiles) == 1, "copies of an engine are one engine"
    assert chosen(loaded) == -1


@needs_rtx
def test_recordings_belong_to_a_profile(two_profiles: Any) -> None:
    recorder = FakeRecorder()
    whole = CudaGraphsTorchTensorRTModule(two_profiles, recorder)
    x = torch.rand(8, 16)
    for profile in (0, 1, 0, 1, "auto"):
        with runtime.optimization_profile(two_profiles, profile):
            whole(x)
    assert recorder.recorded == 3
