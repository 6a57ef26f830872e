# SPDX-License-Identifier: Apache-2.0
"""One contender of benchmarks/gpu.py in a process of its own; worker.py's protocol, and a device as a sixth argument.

An inference is timed from the call until the device is done with it.
"""

from __future__ import annotations

import copy
import inspect
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parent))
import worker
from worker import Contender, Holder, Inputs, Run


def eager(model: torch.nn.Module, inputs: Inputs, _folder: Path, info: dict[str, Any]) -> Run:
    return lambda: model(*inputs)


def eager_graph(model: torch.nn.Module, inputs: Inputs, _folder: Path, info: dict[str, Any]) -> Run:
    """PyTorch's own recording: inputs are copied in, the result is the recording's memory and not copied out."""
    if inputs[0].device.type != "cuda":
        raise RuntimeError("CUDA graphs need a GPU")
    static = [tensor.clone() for tensor in inputs]
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            model(*static)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = model(*static)

    def run() -> torch.Tensor:
        for to, tensor in zip(static, inputs, strict=True):
            to.copy_(tensor)
        graph.replay()
        return result  # type: ignore[no-any-return]

    return run


def reduce_overhead(model: torch.nn.Module, inputs: Inputs, _folder: Path, info: dict[str, Any]) -> Run:
    return _inductor(model, inputs, "reduce-overhead")


def max_autotune(model: torch.nn.Module, inputs: Inputs, _folder: Path, info: dict[str, Any]) -> Run:
    return _inductor(model, inputs, "max-autotune")


def _inductor(model: torch.nn.Module, inputs: Inputs, mode: str) -> Run:
    compiled = torch.compile(model, mode=mode)
    for _ in range(3):  # its CUDA graphs are recorded after the first call
        compiled(*inputs)
    return lambda: compiled(*inputs)


def _compile(model: torch.nn.Module, inputs: Inputs, info: dict[str, Any], **settings: Any) -> Any:
    import torch_tensorrt

    compiled = torch_tensorrt.compile(model, ir="dynamo", arg_inputs=list(inputs), min_block_size=1, **settings)
    compiled(*inputs)
    info["compile_s"] = time.perf_counter() - info["started"]
    return compiled


def _compile_ours(model: torch.nn.Module, inputs: Inputs, folder: Path, info: dict[str, Any]) -> Any:
    """What one of our contenders has timed, the next need not time again."""
    return _compile(model, inputs, info, timing_cache_path=str(folder / "timing.cache"))


def torchtrt(model: torch.nn.Module, inputs: Inputs, folder: Path, info: dict[str, Any]) -> Run:
    """Ours; leaves model.ts and inputs.pt for benchmarks/cpp/enqueue_call.cpp."""
    from torch_tensorrt.runtime import engine_modules

    compiled = _compile_ours(model, inputs, folder, info)
    described = [module.engine.metadata() for module in engine_modules(compiled).values()]
    info["engines"] = len(described)
    info["modules"] = sorted({name for text in described for name in _modules(text)})
    torch.jit.save(torch.jit.trace(compiled, inputs, check_trace=False), folder / "model.ts")
    torch.jit.save(torch.jit.script(Holder(inputs)), folder / "inputs.pt")
    return lambda: compiled(*inputs)


def _modules(metadata: str) -> list[str]:
    """The executor modules of an engine's targets, without its exact form, which is none."""
    from torch_tensorrt._engine import parse_metadata

    targets = [row for row in parse_metadata(metadata)["targets"] if row["backend"] != "aten"]
    return [row["properties"].get("module", row["backend"]) for row in targets]


def torchtrt_graphs(model: torch.nn.Module, inputs: Inputs, folder: Path, info: dict[str, Any]) -> Run:
    return _with_graphs(_compile_ours(model, inputs, folder, info), inputs)


def _with_graphs(compiled: Any, inputs: Inputs) -> Run:
    import torch_tensorrt

    module = torch_tensorrt.runtime.enable_cudagraphs(compiled).__enter__()  # until the process ends
    for _ in range(3):
        module(*inputs)
    return lambda: module(*inputs)


def _check_theirs() -> None:
    import torch_tensorrt

    if hasattr(torch_tensorrt.ENABLED_FEATURES, "openvino"):
        raise RuntimeError("this interpreter imports our torch_tensorrt, not Torch-TensorRT's wheel")


def _their_settings() -> dict[str, Any]:
    """The model's own precision, which older releases do not take unless told so."""
    import torch_tensorrt

    known = inspect.signature(torch_tensorrt.dynamo.compile).parameters
    return {"use_explicit_typing": True} if "use_explicit_typing" in known else {}


def torch_tensorrt(model: torch.nn.Module, inputs: Inputs, _folder: Path, info: dict[str, Any]) -> Run:
    _check_theirs()
    compiled = _compile(model, inputs, info, **_their_settings())
    return lambda: compiled(*inputs)


def torch_tensorrt_graphs(model: torch.nn.Module, inputs: Inputs, _folder: Path, info: dict[str, Any]) -> Run:
    _check_theirs()
    return _with_graphs(_compile(model, inputs, info, **_their_settings()), inputs)


def checked(contender: Contender, device: str) -> Contender:
    """The contender with its error against float32, and on a GPU with every run waited for."""

    def prepare(model: torch.nn.Module, inputs: Inputs, folder: Path, info: dict[str, Any]) -> Run:
        expected = _float32(model, inputs).float()
        info["started"] = time.perf_counter()
        run = contender(model, inputs, folder, info)
        difference = (run().float() - expected).abs().max()
        info["error"] = (difference / expected.abs().max()).item()
        if device == "cpu":
            return run
        wait: Callable[[], None] = torch.cuda.synchronize

        def run_and_wait() -> None:
            run()
            wait()

        return run_and_wait

    return prepare


def _float32(model: torch.nn.Module, inputs: Inputs) -> torch.Tensor:
    """Eager's answer in float32, without TensorFloat-32, on the same weights."""
    former = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    wide = copy.deepcopy(model).float()
    result = wide(*(tensor.float() if tensor.is_floating_point() else tensor for tensor in inputs))
    torch.backends.cudnn.allow_tf32 = former
    return result  # type: ignore[no-any-return]


CONTENDERS: dict[str, Contender] = {
    contender.__name__: contender
    for contender in (
        torchtrt,
        torchtrt_graphs,
        eager,
        eager_graph,
        reduce_overhead,
        max_autotune,
        torch_tensorrt,
        torch_tensorrt_graphs,
    )
}

if __name__ == "__main__":
    where = sys.argv[6]
    worker.main({name: checked(contender, where) for name, contender in CONTENDERS.items()}, where)
