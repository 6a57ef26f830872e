# SPDX-License-Identifier: Apache-2.0
"""`make bench-gpu` where there is no GPU: its tables on made-up numbers, its workers on the CPU, and what it says."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from torch_tensorrt import ENABLED_FEATURES
from torch_tensorrt._library import library_directory

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
BUILD = library_directory().parent
PROGRAMS = [f"enqueue_call_{library}" for library in ("tensorrt_rtx", "tensorrt11", "tensorrt10")]


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("gpu_benchmark", BENCHMARKS / "gpu.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


gpu = load()


def figures(*medians: float) -> dict[str, list[float]]:
    return {"minima_us": [value - 1 for value in medians], "medians_us": list(medians)}


CALLS: dict[str, Any] = {
    "what": "calls",
    "library": "TensorRT 11.2.1",
    "gpu": "NVIDIA Made-Up",
    "contenders": {
        "enqueueV3": figures(10, 20, 30),
        "run_engine": figures(13, 24, 32),
        "TorchScript": figures(16, 25, 40),
        "run_engine, CUDA graphs": figures(9, 10, 20),
        "TorchScript, CUDA graphs": figures(9, 12, 20),
    },
}


def test_calls_are_paired_with_the_bare_loop() -> None:
    table = gpu.calls_table(CALLS)
    assert table[0] == "TensorRT 11.2.1, NVIDIA Made-Up; microseconds on the host: minimum, median"
    assert "| enqueueV3 | 9.00, 20.00 | 0.00, 0.00 |" in table
    # Differences of the medians, round by round: 3, 4, 2 and 6, 5, 10.
    assert "| run_engine | 12.00, 24.00 | 3.00, 3.00 |" in table
    assert "| TorchScript | 15.00, 25.00 | 6.00, 6.00 |" in table


def test_verdicts() -> None:
    assert gpu.verdicts(CALLS) == [
        "* run_engine adds 3.00 µs to enqueueV3: meets the target of 3 µs",
        "* run_engine with CUDA graphs takes 10.00 µs: MISSES the target of 5 µs",
        "* TorchScript adds 6.00 µs to enqueueV3: MISSES the target of 5 µs",
        "* TorchScript with CUDA graphs takes 12.00 µs: MISSES the target of 5 µs",
    ]


def test_throughput() -> None:
    rates = {"enqueueV3": [100.0, 200.0, 400.0], "run_engine": [90.0, 100.0, 300.0]}
    table = gpu.throughput_table([{"threads": 8, "calls_per_second": rates}])
    assert table[2:] == [
        "| 8 | enqueueV3 | 400, 200 | 1.00, 1.00 |",
        "| 8 | run_engine | 300, 100 | 0.75, 0.75 |",
    ]


def result(least: float, median: float, **more: Any) -> dict[str, Any]:
    return {"min_us": least, "median_us": median, **more}


def test_models() -> None:
    case = {
        "model": "resnet50",
        "dtype": "float16",
        "batch": 8,
        "missing": {"torch_tensorrt": "it is not there"},
        "results": {
            "torchtrt": result(1000.0, 1500.0, error=0.00123, compile_s=12.34, engines=1),
            "torchtrt_graphs": result(500.0, 600.0),
            "eager": result(2000.0, 6000.0),
            "eager_graph": result(1000.0, 1200.0),
        },
    }
    table = gpu.models_table([case])
    assert table[2:] == [
        "| resnet50 float16 8 | torchtrt | 1.000, 1.500 | 0.50, 0.25 | 1.00, 1.25 | – | – | – | – |",
        "| resnet50 float16 8 | torchtrt_graphs | 0.500, 0.600 | 0.25, 0.10 | 0.50, 0.50 | – | – | – | – |",
    ]
    assert {line.count("|") for line in table} == {10}, "a row has as many cells as the header"
    assert gpu.errors_table([case])[2:] == ["| resnet50 float16 8 | torchtrt | 1.2e-03 | 12.3 | 1 |"]
    assert gpu.remarks([case]) == ["* resnet50 float16 8: no torch_tensorrt: it is not there"]


def test_the_better_of_ours_must_beat_a_peer() -> None:
    def case(plain: float, graphs: float, peer: float) -> dict[str, Any]:
        results = {"torchtrt": result(plain, 1), "torchtrt_graphs": result(graphs, 1), "eager_graph": result(peer, 1)}
        return {"model": "resnet50", "dtype": "float16", "batch": 1, "missing": {}, "results": results}

    assert gpu.beaten([case(8591, 8458, 914)], "eager_graph") == [
        "resnet50 float16 1: 8458 µs, eager + CUDA graph takes 914 µs"
    ]
    assert gpu.beaten([case(950, 307, 914), case(366, 950, 914)], "eager_graph") == []
    assert gpu.beaten([case(8591, 8458, 914)], "max_autotune") == [], "a peer that did not run beats nothing"


def test_their_wheel_has_an_interpreter_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ("mlp", "float16", 1, "/folder", "cuda")
    monkeypatch.delenv(gpu.THEIR_PYTHON, raising=False)
    with pytest.raises(RuntimeError, match="TORCH_TENSORRT_PYTHON does not name"):
        gpu.worker_command("torch_tensorrt", *arguments)
    monkeypatch.setenv(gpu.THEIR_PYTHON, "/theirs/bin/python")
    theirs = gpu.worker_command("torch_tensorrt_graphs", *arguments)
    assert theirs[:6] == ["env", "-u", "PYTHONPATH", "-u", "TORCHTRT_LIBRARY_DIR", "/theirs/bin/python"]
    ours = gpu.worker_command("torchtrt_graphs", *arguments)
    assert ours[0] == sys.executable
    assert theirs[-5:] == ours[-5:] == ["mlp", "float16", "1", "/folder", "cuda"]


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(BENCHMARKS / "gpu.py"), "--build", str(BUILD), *arguments]
    return subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=False)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu() -> None:
    done = run()
    assert (done.returncode, done.stdout) == (3, "")
    assert "no GPU that this PyTorch can use" in done.stderr


@pytest.mark.slow
@pytest.mark.skipif(not ENABLED_FEATURES.openvino, reason="the OpenVINO backend is not built")
def test_workers_on_the_cpu(tmp_path: Path) -> None:
    """Every line of a run but the GPU's: workers, turns, table; and an interpreter that is not Torch-TensorRT's."""
    contenders = ["torchtrt", "torchtrt_graphs", "eager", "eager_graph", "torch_tensorrt"]
    options = {"--contenders": contenders, "--batches": ["2"], "--rounds": ["1"], "--burst": ["0.01"], "--pause": ["0"]}
    flags = [part for name, values in options.items() for part in (name, *values)]
    results = tmp_path / "results.json"
    flags += ["--device", "cpu", "--models", "small_encoder", "--dtypes", "float32", "--json", str(results)]
    # Without PYTHONPATH this interpreter has no torch_tensorrt, or one of ours that is installed.
    done = run(*flags, **{gpu.THEIR_PYTHON: sys.executable})
    assert done.returncode == 0, done.stderr
    (case,) = json.loads(results.read_text())["cases"]
    assert case["results"].keys() == {"torchtrt", "torchtrt_graphs", "eager"}
    assert case["results"]["torchtrt"]["engines"] == 1
    assert case["results"]["torchtrt"]["modules"] == ["openvino"]
    assert case["results"]["torchtrt"]["error"] < 1e-4
    assert case["results"]["eager"]["error"] == 0
    assert "CUDA graphs need a GPU" in case["missing"]["eager_graph"]
    assert re.search("No module named 'torch_tensorrt'|not Torch-TensorRT's wheel", case["missing"]["torch_tensorrt"])
    assert re.search(r"\| small_encoder float32 2 \| torchtrt \| [\d.]+, [\d.]+ \| [\d.]+, [\d.]+ \| – \|", done.stdout)


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize("name", PROGRAMS)
def test_enqueue_call_says_what_is_missing(name: str, tmp_path: Path) -> None:
    """Builds the program, which `make` does not."""
    if not (library_directory() / f"libtorchtrt_{name.removeprefix('enqueue_call_')}_executor.so").is_file():
        pytest.skip(f"this build has no module for {name}")
    if not (BUILD / "build.ninja").is_file():
        pytest.skip(f"{BUILD} is no build folder")
    build = subprocess.run(
        ["cmake", "--build", str(BUILD), "--target", name], capture_output=True, text=True, check=False
    )
    assert build.returncode == 0, build.stdout + build.stderr
    program = str(BUILD / "bin" / name)
    done = subprocess.run([program, str(tmp_path)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (3, "")
    assert re.match(r"TensorRT(-RTX)? needs an NVIDIA GPU, and ", done.stderr)
    for wrong in ([], ["folder", "0"], ["folder", "1", "0"], ["folder", "1", "1", "1"]):
        done = subprocess.run([program, *wrong], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == f"usage: {name} FOLDER [ROUNDS] [THREADS]\n"
