# SPDX-License-Identifier: Apache-2.0
"""Descriptions of inputs, devices and element types; keywords of compile."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch

import torch_tensorrt
from torch_tensorrt import Device, DeviceType, Input, dtype, memory_format
from torch_tensorrt._settings import (
    ACCEPTED,
    DEPRECATED,
    REFUSED,
    CompilationSettings,
    default_device,
    make_settings,
)
from torch_tensorrt.dynamo._trace import collect_inputs


def test_static_shapes() -> None:
    for made in (Input((2, 3)), Input(2, 3), Input([2, 3]), Input(shape=torch.Size([2, 3]))):
        assert made.shape == (2, 3)
        assert made.shape_mode == "static"
        assert made.dtype is dtype.f32
    assert Input((2, 3)).example_tensor().shape == (2, 3)


def test_dynamic_shapes() -> None:
    made = Input(min_shape=(1, 3), opt_shape=(4, 3), max_shape=(8, 3), dtype=torch.int64, tensor_domain=(5, 7))
    assert made.shape == {"min_shape": (1, 3), "opt_shape": (4, 3), "max_shape": (8, 3)}
    example = made.example_tensor("max_shape")
    assert example.shape == (8, 3)
    assert example.dtype is torch.int64
    assert example.min() >= 5
    assert example.max() < 7


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "one static shape, or all of"),
        ({"shape": (1,), "min_shape": (1,)}, "one static shape"),
        ({"min_shape": (1,), "opt_shape": (2,)}, "all of min_shape, opt_shape and max_shape"),
        ({"min_shape": (4,), "opt_shape": (2,), "max_shape": (8,)}, "min <= opt <= max"),
        ({"min_shape": (1,), "opt_shape": (2, 2), "max_shape": (8,)}, "same rank"),
        ({"shape": (-1, 3)}, "non-negative"),
        ({"shape": "abc"}, "sequence of non-negative"),
        ({"shape": (1,), "tensor_domain": (3, 1)}, "low < high"),
        ({"shape": (1,), "shared_dims": {2: "n"}}, "names axis 2"),
    ],
)
def test_bad_shapes(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Input(**arguments)  # type: ignore[arg-type]


def test_input_from_tensor() -> None:
    tensor = torch.rand(2, 3, 4, 5).to(memory_format=torch.channels_last)
    made = Input.from_tensor(tensor)
    assert made.format is memory_format.channels_last
    nested = Input.from_tensors({"a": [tensor, tensor]})
    assert nested["a"][1].shape == (2, 3, 4, 5)
    with pytest.raises(ValueError, match="contiguous"):
        Input.from_tensor(torch.rand(3, 4).t())


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (torch.float16, dtype.f16),
        (np.int64, dtype.i64),
        ("bfloat16", dtype.bf16),
        (bool, dtype.b),
        (dtype.f8, dtype.fp8),
    ],
)
def test_dtype_conversions(value: object, expected: dtype) -> None:
    assert dtype._from(value) is expected


def test_dtype_round_trip() -> None:
    for torch_type in (torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.uint8, torch.bool):
        assert dtype._from(torch_type).to(torch.dtype) is torch_type
    assert dtype.f32.to(np.dtype) == np.float32
    with pytest.raises(TypeError, match="no counterpart"):
        dtype.bf16.to(np.dtype)
    with pytest.raises(TypeError, match="element type"):
        dtype._from(torch.complex64)


def test_devices() -> None:
    assert Device("cpu").to_torch() == torch.device("cpu")
    assert Device("cuda:1").to(torch.device) == torch.device("cuda", 1)
    assert Device(gpu_id=2).gpu_id == 2
    assert Device("dla:0").device_type is DeviceType.DLA
    assert Device._from(torch.device("cuda:3")).gpu_id == 3
    with pytest.raises(ValueError, match="expected"):
        Device("tpu:0")


def test_unknown_keyword_names_its_neighbours() -> None:
    with pytest.raises(TypeError, match=r"'min_blok_size'.*did you mean 'min_block_size'"):
        torch_tensorrt.compile(torch.nn.ReLU(), inputs=[torch.rand(2)], min_blok_size=1)


def test_every_known_keyword_is_decided() -> None:
    for name in DEPRECATED:
        with pytest.warns(DeprecationWarning, match=name):
            make_settings({name: True})
    for name, (default, _) in REFUSED.items():
        make_settings({name: default})
        with pytest.raises(ValueError, match=name):
            make_settings({name: object()})
    for name in ACCEPTED:
        assert make_settings({name: None}) == CompilationSettings()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"min_block_size": 0}, "min_block_size"),
        ({"optimization_level": 9}, "optimization_level"),
        ({"targets": "onnx"}, "unknown target"),
        ({"targets": []}, "at least one"),
        ({"refit_identical_engine_weights": True}, "immutable_weights=False"),
        ({"inference_precision": "int8"}, "inference_precision"),
        ({"require_full_compilation": True, "fallback_data_dependent_ops": True}, "exclude each other"),
        ({"engine_capability": torch_tensorrt.EngineCapability.SAFETY}, "STANDARD"),
    ],
)
def test_impossible_settings(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_settings(settings)


def test_executed_ops_by_any_name() -> None:
    settings = make_settings(
        {"torch_executed_ops": {torch.ops.aten.add.Tensor, torch.ops.aten.relu, "torch.ops.aten.sin", "aten::exp"}}
    )
    assert settings.torch_executed_ops == {"aten.add.Tensor", "aten.relu", "aten.sin", "aten.exp"}


def test_settings_take_what_compile_takes() -> None:
    """Scripts make CompilationSettings themselves, and copy them with other values."""
    made = CompilationSettings(cache_built_engines=True, lazy_engine_init=False, torch_executed_ops={"aten.add"})
    assert made.accepted == {"cache_built_engines": True, "lazy_engine_init": False}
    assert made.torch_executed_ops == frozenset({"aten.add"})
    copied = dataclasses.replace(made, min_block_size=2)
    assert (copied.min_block_size, copied.accepted) == (2, made.accepted)
    assert made == make_settings({"torch_executed_ops": {"aten.add"}})
    with pytest.warns(DeprecationWarning, match="'debug' is deprecated"):
        CompilationSettings(debug=True)
    with pytest.raises(TypeError, match="did you mean 'min_block_size'"):
        CompilationSettings(min_blok_size=1)
    with pytest.raises(ValueError, match="no engine cache is kept"):
        CompilationSettings(custom_engine_cache=object())


@pytest.mark.parametrize("name", [*ACCEPTED, *REFUSED])
def test_settings_know_every_keyword(name: str) -> None:
    value = REFUSED[name][0] if name in REFUSED else None
    assert CompilationSettings(**{name: value}) == CompilationSettings()


@pytest.mark.parametrize("ir", ["dynamo", "default"])
def test_ir_is_passed_on(ir: str) -> None:
    model, x = torch.nn.Linear(3, 3).eval(), torch.rand(2, 3)
    program = torch_tensorrt.dynamo.trace(model, [x], ir=ir)
    module = torch_tensorrt.dynamo.compile(program, [x], ir=ir, min_block_size=1)
    with torch.no_grad():
        torch.testing.assert_close(module(x), model(x))
    assert torch_tensorrt.dynamo.convert_exported_program_to_serialized_trt_engine(program, ir=ir)


def test_other_front_ends_are_not_passed_on() -> None:
    model, x = torch.nn.Linear(3, 3).eval(), torch.rand(2, 3)
    with pytest.raises(ValueError, match=r"dynamo\.trace: ir must be"):
        torch_tensorrt.dynamo.trace(model, [x], ir="torchscript")
    with pytest.raises(ValueError, match=r"dynamo\.compile: ir must be"):
        torch_tensorrt.dynamo.compile(torch.export.export(model, (x,)), ir="fx")


@pytest.mark.parametrize(
    ("targets", "gpu", "libraries", "expected"),
    [
        (None, False, ("tensorrt",), "cpu"),
        (None, True, (), "cpu"),
        (None, True, ("tensorrt",), "cuda"),
        (None, True, ("tensorrt_rtx",), "cuda"),
        (("openvino",), True, ("tensorrt",), "cpu"),
        (("tensorrt",), True, (), "cuda"),
        (("tensorrt_rtx", "openvino"), True, (), "cuda"),
        (("tensorrt_rtx",), False, ("tensorrt_rtx",), "cpu"),
    ],
)
def test_where_a_model_without_tensors_goes(
    monkeypatch: pytest.MonkeyPatch, targets: Any, gpu: bool, libraries: tuple[str, ...], expected: str
) -> None:
    """To the GPU, where there is one and a target for it; what it is called with does not say."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr("torch_tensorrt._settings._has_library", lambda target: target in libraries)
    assert default_device(targets).type == expected


def test_inputs_go_where_the_tensors_beside_them_are() -> None:
    tensor = torch.empty(2, 3, device="meta")
    assert collect_inputs(None, [Input((2, 3)), {"y": tensor}], None).device() == tensor.device
    assert collect_inputs(None, [Input((2, 3))], {"y": 3}).device() is None
