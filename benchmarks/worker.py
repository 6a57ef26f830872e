# SPDX-License-Identifier: Apache-2.0
"""One contender in a process of its own, so that runtimes do not disturb each other and peak memory can be told apart.

Started by bench.py as `worker.py CONTENDER MODEL DTYPE BATCH FOLDER`. Sets the contender up, prints one JSON line about
it, then answers each line `run SECONDS` on standard input with the nanoseconds of every inference it ran.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parent))
import models

Run = Callable[[], Any]
Inputs = tuple[torch.Tensor, ...]
Contender = Callable[[torch.nn.Module, Inputs, Path, dict[str, Any]], Run]


def eager(model: torch.nn.Module, inputs: Inputs, _folder: Path, info: dict[str, Any]) -> Run:
    return lambda: model(*inputs)


def inductor(model: torch.nn.Module, inputs: Inputs, _folder: Path, info: dict[str, Any]) -> Run:
    compiled = torch.compile(model)
    compiled(*inputs)
    return lambda: compiled(*inputs)


def inductor_freezing(model: torch.nn.Module, inputs: Inputs, folder: Path, info: dict[str, Any]) -> Run:
    import torch._inductor.config

    torch._inductor.config.freezing = True
    return inductor(model, inputs, folder, info)


def openvino(model: torch.nn.Module, inputs: Inputs, _folder: Path, info: dict[str, Any]) -> Run:
    """OpenVINO used directly, as its documentation shows: convert_model, compile_model, infer on a bound request."""
    import openvino as ov

    dtype = next(model.parameters()).dtype
    # bfloat16: the float32 network with OpenVINO's own bfloat16 execution, which is its fast way.
    shapes = [list(tensor.shape) for tensor in inputs]
    converted = ov.convert_model(
        model.float(), example_input=tuple(t.float() if t.is_floating_point() else t for t in inputs), input=shapes
    )
    request = (
        ov.Core()
        .compile_model(
            converted,
            "CPU",
            {"INFERENCE_PRECISION_HINT": "f32" if dtype == torch.float32 else "bf16", "PERFORMANCE_HINT": "LATENCY"},
        )
        .create_infer_request()
    )
    arrays = [t.float().numpy() if t.is_floating_point() else t.numpy() for t in inputs]
    return lambda: request.infer(arrays, share_inputs=True, share_outputs=True)


def onnxruntime(model: torch.nn.Module, inputs: Inputs, folder: Path, info: dict[str, Any]) -> Run:
    import onnxruntime as ort

    path = folder / "model.onnx"
    torch.onnx.export(model, inputs, path, dynamo=True, verbose=False)
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    feed = {arg.name: tensor.numpy() for arg, tensor in zip(session.get_inputs(), inputs, strict=True)}
    return lambda: session.run(None, feed)


def torchtrt(model: torch.nn.Module, inputs: Inputs, folder: Path, info: dict[str, Any]) -> Run:
    """Ours from Python; leaves model.ts and its inputs for the C++ contender."""
    import torch_tensorrt

    compiled = torch_tensorrt.compile(model, ir="dynamo", arg_inputs=list(inputs), min_block_size=1)
    info["compile_s"] = time.perf_counter() - info.pop("started")
    compiled(*inputs)

    start = time.perf_counter()
    torch.jit.save(torch.jit.trace(compiled, inputs, check_trace=False), folder / "model.ts")
    info["save_s"] = time.perf_counter() - start
    torch.jit.save(torch.jit.script(Holder(inputs)), folder / "inputs.pt")
    info["file_mb"] = os.path.getsize(folder / "model.ts") / 1e6

    start = time.perf_counter()
    torch.jit.load(folder / "model.ts")(*inputs)
    info["load_to_first_s"] = time.perf_counter() - start
    with torch.no_grad():
        expected = model(*inputs).float()
        info["relative_difference"] = ((compiled(*inputs).float() - expected).abs().max() / expected.abs().max()).item()
    return lambda: compiled(*inputs)


class Holder(torch.nn.Module):
    """Carries tensors into a file that C++ can load: attributes input0, input1, ..."""

    def __init__(self, tensors: Inputs) -> None:
        super().__init__()
        self.count = len(tensors)
        for i, tensor in enumerate(tensors):
            self.register_buffer(f"input{i}", tensor)

    def forward(self) -> int:
        return self.count


CONTENDERS: dict[str, Contender] = {
    f.__name__: f for f in (eager, inductor, inductor_freezing, openvino, onnxruntime, torchtrt)
}


def measure(run: Run, seconds: float) -> list[int]:
    times: list[int] = []
    deadline = time.perf_counter_ns() + int(seconds * 1e9)
    while len(times) < 3 or (time.perf_counter_ns() < deadline and len(times) < 20000):
        start = time.perf_counter_ns()
        run()
        times.append(time.perf_counter_ns() - start)
    return times


def main(contenders: dict[str, Contender] = CONTENDERS, device: str = "cpu") -> None:
    contender, name, dtype, batch, folder = sys.argv[1:6]
    protocol = os.fdopen(os.dup(1), "w")  # libraries may print on standard output
    os.dup2(2, 1)
    model, inputs = models.build(name, getattr(torch, dtype), int(batch))
    model, inputs = model.to(device), tuple(tensor.to(device) for tensor in inputs)
    start = time.perf_counter()
    info: dict[str, Any] = {"started": start}
    with torch.no_grad():
        run = contenders[contender](model, inputs, Path(folder), info)
        run()
        info.pop("started", None)
        info.setdefault("compile_s", time.perf_counter() - start)
        print(json.dumps(info), file=protocol, flush=True)
        for line in sys.stdin:
            times = measure(run, float(line.split()[1]))
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            print(json.dumps({"ns": times, "peak_mb": peak}), file=protocol, flush=True)


if __name__ == "__main__":
    main()
