# SPDX-License-Identifier: Apache-2.0
"""Seeing into engines: inspection, profiles of layers, NVTX ranges; and the settings of TensorRT-RTX."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from py_models import Mlp, Split, assert_same

import torch_tensorrt
from torch_tensorrt import runtime

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def engine(module: Any) -> runtime.EngineModule:
    (only,) = runtime.engine_modules(module).values()
    return only


# --- inspection ---


def test_inspection(module: Any, engine: runtime.EngineModule, capsys: pytest.CaptureFixture[str]) -> None:
    (described,) = runtime.inspect(module).values()
    assert described["engine"] == engine.name
    assert described["backend"] == "openvino"
    assert described["version"]
    kinds = [layer["type"] for layer in described["layers"]]
    assert kinds.count("FullyConnected") == sum(isinstance(m, torch.nn.Linear) for m in Mlp().modules())
    for layer in described["layers"]:
        assert set(layer) <= {"name", "type", "kernel", "precision", "output_shapes", "original_layers"}
    computing = [layer for layer in described["layers"] if layer["type"] == "FullyConnected"]
    assert all(layer["precision"] == "f32" and layer["kernel"] for layer in computing)
    assert json.loads(engine.get_layer_info()) == described
    engine.dump_layer_info()
    assert json.loads(capsys.readouterr().out) == described


def test_inspection_loads_and_finds_engines_of_files(model: Mlp, tmp_path: Path) -> None:
    compiled = torch_tensorrt.compile(model, inputs=[torch.rand(3, 16)])
    expected = runtime.inspect(compiled)  # before any call
    for format_, name in (("torchscript", "m.ts"), ("exported_program", "m.ep"), ("aot_inductor", "m.pt2")):
        torch_tensorrt.save(compiled, str(tmp_path / name), output_format=format_, arg_inputs=[torch.rand(3, 16)])
        assert runtime.inspect(torch_tensorrt.load(str(tmp_path / name))) == expected


def test_modules_without_engines_are_refused() -> None:
    for function in (runtime.inspect, runtime.profile, runtime.runtime_config, runtime.save_runtime_cache):
        with pytest.raises(ValueError, match="no engine found in Linear"):
            function(torch.nn.Linear(2, 2))


# --- profiles ---


def test_profile(module: Any, model: Mlp) -> None:
    x = torch.rand(4, 16)
    with torch.no_grad(), runtime.profile(module) as result:
        for _ in range(3):
            assert_same(module(x), model(x))
    module(x)  # after the block: not measured
    (layers,) = result.engines.values()
    names = {layer["name"] for layer in next(iter(runtime.inspect(module).values()))["layers"]}
    assert layers
    for layer in layers:
        assert layer.name in names
        assert layer.calls == 3
        assert layer.total_ms == pytest.approx(3 * layer.last_ms)
        assert 0 <= layer.total_ms < 60_000
    assert sum(layer.total_ms for layer in layers) > 0
    text = str(result)
    assert all(layer.name in text for layer in layers)


def test_profiles_of_several_engines_and_blocks() -> None:
    model = Split().eval()
    x = torch.rand(2, 12)
    compiled = torch_tensorrt.compile(model, inputs=[x], min_block_size=1)
    with torch.no_grad(), runtime.profile(compiled) as outer:
        assert_same(compiled(x), model(x))
        with runtime.profile(compiled) as inner:
            compiled(x)
    assert len(outer.engines) == 2
    assert list(outer.engines) == list(runtime.inspect(compiled))
    assert {layer.calls for layers in outer.engines.values() for layer in layers} == {2}
    assert {layer.calls for layers in inner.engines.values() for layer in layers} == {1}


def test_profiles_with_nan(module: Any, model: Mlp) -> None:
    """The form of the engine for NaN is measured as well."""
    x = torch.rand(4, 16)
    x[1, 3] = float("nan")
    with torch.no_grad(), runtime.profile(module) as result:
        ours, theirs = module(x), model(x)
    torch.testing.assert_close(ours, theirs, equal_nan=True)
    assert all(layer.calls == 1 for layers in result.engines.values() for layer in layers)


def test_profiles_in_threads(module: Any, model: Mlp) -> None:
    errors: list[BaseException] = []

    def work(seed: int) -> None:
        try:
            x = torch.rand(1 + seed % 8, 16, generator=torch.Generator().manual_seed(seed))
            with torch.no_grad():
                for _ in range(5):
                    with runtime.profile(module):
                        assert_same(module(x), model(x))
                    assert_same(module(x), model(x))
        except BaseException as error:
            errors.append(error)

    with runtime.profile(module) as result:
        threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not errors
    # Every call was measured, with an open block around all of them.
    assert {layer.calls for layers in result.engines.values() for layer in layers} == {40}


@pytest.mark.parametrize("profile_format", ["perfetto", "trex"])
def test_profiling_of_an_engine_module(
    module: Any, engine: runtime.EngineModule, profile_format: str, tmp_path: Path
) -> None:
    engine.enable_profiling(tmp_path, profile_format)
    module(torch.rand(2, 16))
    module(torch.rand(2, 16))
    engine.disable_profiling()
    engine.disable_profiling()  # again: nothing
    assert engine.profile is not None
    (layers,) = engine.profile.engines.values()
    document = json.loads((tmp_path / f"{engine.name}_engine_execution_profile.trace").read_text())
    if profile_format == "perfetto":
        assert [event["name"] for event in document["traceEvents"]] == [layer.name for layer in layers]
        assert document["traceEvents"][0]["dur"] == pytest.approx(1000 * layers[0].total_ms / 2)
    else:
        assert document[0] == {"count": 2}
        assert [entry["name"] for entry in document[1:]] == [layer.name for layer in layers]
        assert sum(entry["percentage"] for entry in document[1:]) == pytest.approx(100)
    with pytest.raises(ValueError, match="expected 'perfetto' or 'trex', got 'csv'"):
        engine.enable_profiling(profile_format="csv")


# --- NVTX ---

TOOL = r"""
#include <nvtx3/nvToolsExt.h>
#include <cstdio>
namespace {
int push(const char* name) { return std::fprintf(stderr, "push %s\n", name); }
int pop() { return std::fprintf(stderr, "pop\n"); }
}
extern "C" int InitializeInjectionNvtx2(NvtxGetExportTableFunc_t get_table) {
  const auto* callbacks = static_cast<const NvtxExportTableCallbacks*>(get_table(NVTX_ETID_CALLBACKS));
  NvtxFunctionTable functions;
  unsigned int size = 0;
  if (!callbacks || !callbacks->GetModuleFunctionTable(NVTX_CB_MODULE_CORE, &functions, &size)) return 0;
  *functions[NVTX_CBID_CORE_RangePushA] = reinterpret_cast<NvtxFunctionPointer>(&push);
  *functions[NVTX_CBID_CORE_RangePop] = reinterpret_cast<NvtxFunctionPointer>(&pop);
  return 1;
}
"""

PROGRAM = """
import sys
import torch
import torch_tensorrt
from torch_tensorrt import runtime
module = torch_tensorrt.compile(torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.ReLU()).eval(),
                                inputs=[torch.rand(2, 4)], min_block_size=1)
say = lambda text: print(text, file=sys.stderr, flush=True)
say("name " + next(iter(runtime.inspect(module))))
assert not runtime.get_nvtx()
module(torch.rand(2, 4))
say("on")
runtime.set_nvtx(True)
assert runtime.get_nvtx()
module(torch.rand(2, 4))
try:
    module(torch.rand(3, 4))
except ValueError:
    say("refused")
runtime.set_nvtx(False)
say("off")
module(torch.rand(2, 4))
"""


def test_nvtx_ranges(tmp_path: Path) -> None:
    """Seen by a tool as Nsight is one: a library that NVTX loads."""
    headers = sorted(Path(torch.__file__).parents[1].glob("nvidia/*/include/nvtx3/nvToolsExt.h"))
    if not headers:
        pytest.skip("this torch comes without NVTX's headers")
    (tmp_path / "tool.cpp").write_text(TOOL)
    tool = tmp_path / "libtool.so"
    include = str(headers[0].parents[1])
    subprocess.run(
        ["c++", "-shared", "-fPIC", "-isystem", include, "-o", str(tool), str(tmp_path / "tool.cpp"), "-ldl"],
        check=True,
    )
    environment = {**os.environ, "NVTX_INJECTION64_PATH": str(tool), "PYTHONPATH": str(ROOT / "py")}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    lines = done.stderr.splitlines()
    name = next(line.removeprefix("name ") for line in lines if line.startswith("name "))
    begin = lines.index("on")
    expected = [f"push torchtrt: {name}", "pop", f"push torchtrt: {name}", "pop", "refused", "off"]
    assert [line for line in lines[begin + 1 :] if line.split()[0] in ("push", "pop", "refused", "off")] == expected
    assert not any(line.startswith("push torchtrt") for line in lines[:begin])


def test_nvtx_takes_a_bool() -> None:
    with pytest.raises(TypeError, match="expected True or False, got 1"):
        runtime.set_nvtx(1)  # type: ignore[arg-type]


# --- settings of TensorRT-RTX ---


def test_settings_are_values() -> None:
    settings = runtime.RuntimeSettings()
    assert settings == runtime.RuntimeSettings("lazy", "disabled", None)
    merged = settings.merge(cuda_graph_strategy="whole_graph_capture", runtime_cache=Path("a") / "b")
    assert merged == runtime.RuntimeSettings("lazy", "whole_graph_capture", str(Path("a/b")))
    assert settings == runtime.RuntimeSettings()
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.runtime_cache = "x"  # type: ignore[misc]
    with pytest.raises(ValueError, match="expected 'lazy' or 'eager' or 'none', got 'fast'"):
        settings.merge(dynamic_shapes_kernel_specialization_strategy="fast")
    with pytest.raises(ValueError, match="expected 'disabled' or 'whole_graph_capture', got True"):
        runtime.RuntimeSettings(cuda_graph_strategy=True)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="expected the path of a file, or None, got ''"):
        runtime.RuntimeSettings(runtime_cache="")
    with pytest.raises(TypeError):
        settings.merge(speed="high")


def test_settings_of_a_block(module: Any, model: Mlp, engine: runtime.EngineModule) -> None:
    x = torch.rand(2, 16)
    default = runtime.RuntimeSettings()
    with torch.no_grad():
        with runtime.runtime_config(module, cuda_graph_strategy="whole_graph_capture") as inside:
            assert inside is module
            with runtime.runtime_config([module], dynamic_shapes_kernel_specialization_strategy="eager"):
                assert engine.runtime_settings == runtime.RuntimeSettings("eager", "whole_graph_capture")
                assert_same(module(x), model(x))
            assert engine.runtime_settings == runtime.RuntimeSettings("lazy", "whole_graph_capture")
        assert engine.runtime_settings == default
        with pytest.raises(KeyError), runtime.runtime_config(module, cuda_graph_strategy="whole_graph_capture"):
            raise KeyError
        assert engine.runtime_settings == default
        with pytest.raises(ValueError, match="cuda_graph_strategy"):
            runtime.runtime_config(module, cuda_graph_strategy="some")


def test_settings_that_stay(module: Any, engine: runtime.EngineModule) -> None:
    try:
        runtime.set_dynamic_shapes_kernel_strategy(module, "none")
        assert engine.runtime_settings == runtime.RuntimeSettings("none")
        with pytest.raises(ValueError, match="set_dynamic_shapes_kernel_strategy: expected 'lazy'"):
            runtime.set_dynamic_shapes_kernel_strategy(module, "never")
    finally:
        engine.runtime_settings = runtime.RuntimeSettings()
    assert engine.runtime_settings == runtime.RuntimeSettings()


def test_a_cache_means_nothing_on_the_cpu(
    module: Any, model: Mlp, engine: runtime.EngineModule, tmp_path: Path
) -> None:
    x = torch.rand(2, 16)
    with torch.no_grad(), runtime.runtime_cache(module, tmp_path / "cache"):
        assert engine.runtime_settings.runtime_cache == str(tmp_path / "cache")
        assert_same(module(x), model(x))
        runtime.save_runtime_cache(module)
    assert engine.runtime_settings.runtime_cache is None
    assert not (tmp_path / "cache").exists()
