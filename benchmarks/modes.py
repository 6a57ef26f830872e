# SPDX-License-Identifier: Apache-2.0
"""What a call costs on the host with each runtime mode on and off, and what it allocates; part of `make bench`.

A small model on the CPU, from Python and (build/bin/mode_costs) from C++, and in C++ the runtime alone. All modes take
turns in one process, in short bursts with pauses, in an order that rotates. A sample is the mean of 50 calls.
"standard, again" is the same as "standard": what it differs by is the machine's doing.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

CALLS_PER_SAMPLE, SAMPLES_PER_ROUND = 50, 40


class _CudaGraphs:
    """The process's default, so that engines on CPUs get it as well."""

    def __enter__(self) -> None:
        import torch_tensorrt

        torch_tensorrt.runtime.set_cudagraphs_mode(True)

    def __exit__(self, *_: object) -> None:
        import torch_tensorrt

        torch_tensorrt.runtime.set_cudagraphs_mode(False)


def sample(call: Callable[[], Any]) -> list[float]:
    """Nanoseconds a call, in order of size."""
    samples = []
    for _ in range(SAMPLES_PER_ROUND):
        start = time.perf_counter_ns()
        for _ in range(CALLS_PER_SAMPLE):
            call()
        samples.append((time.perf_counter_ns() - start) / CALLS_PER_SAMPLE)
    return sorted(samples)


def measure(module: Any, call: Callable[[], Any], rounds: int) -> dict[str, Any]:
    from torch_tensorrt import runtime

    modes: dict[str, Callable[[], AbstractContextManager[Any]]] = {
        "standard": nullcontext,
        "standard, again": nullcontext,
        "multi-device safe mode": lambda: runtime.set_multi_device_safe_mode(True),
        "CUDA graphs": _CudaGraphs,
        "output allocator": lambda: runtime.enable_output_allocator(module),
        "pre-allocated outputs": lambda: runtime.enable_pre_allocated_outputs(module),
    }
    times: dict[str, Any] = {name: {"minima": [], "medians": []} for name in modes}
    names = list(modes)
    for round_ in range(rounds):
        for i in range(len(names)):
            name = names[(i + round_) % len(names)]
            time.sleep(0.005)
            with modes[name]():
                for _ in range(2 * CALLS_PER_SAMPLE):
                    call()
                samples = sample(call)
            times[name]["minima"].append(samples[0])
            times[name]["medians"].append(statistics.median(samples))
    return times


def describe(what: str, modes: dict[str, Any]) -> str:
    standard = modes["standard"]
    lines = [what, f"  {'':24}{'min us':>10}{'median us':>11}{'/ standard':>16}   allocations a call"]
    for name, row in modes.items():
        ratio = min(row["minima"]) / min(standard["minima"])
        # Paired: a round's figures are of the same fraction of a second.
        pairs = zip(row["medians"], standard["medians"], strict=True)
        typical = statistics.median(own / reference for own, reference in pairs)
        counts = row.get("allocations")
        text = "" if counts is None else ", ".join(f"{n} {library}" for library, n in sorted(counts.items())) or "none"
        lines.append(
            f"  {name:24}{min(row['minima']) / 1e3:10.3f}{statistics.median(row['medians']) / 1e3:11.3f}"
            f"{ratio:9.2f},{typical:6.2f}   {text}"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--cpp-program", type=Path, default=HERE.parent / "build" / "bin" / "mode_costs")
    args = parser.parse_args()

    import models

    import torch_tensorrt

    model, inputs = models.build("toy", torch.float32, 8)
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        compiled = torch_tensorrt.compile(model, ir="dynamo", arg_inputs=list(inputs), min_block_size=1)
        path = Path(folder) / "toy.ts"
        torch.jit.save(torch.jit.trace(compiled, inputs, check_trace=False), path)
        done = subprocess.run([args.cpp_program, path, str(args.rounds)], stdout=subprocess.PIPE, text=True, check=True)
        for line in done.stdout.splitlines():
            section = json.loads(line)
            print(describe(f"C++: {section['what']}", section["modes"]), flush=True)
        print(describe("Python: OpenVINO", measure(compiled, lambda: compiled(*inputs), args.rounds)))


if __name__ == "__main__":
    main()
