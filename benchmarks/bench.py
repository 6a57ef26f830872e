# SPDX-License-Identifier: Apache-2.0
"""`make bench`: ours against eager, torch.compile, OpenVINO used directly and ONNX Runtime, in one run.

Every contender runs in a process of its own. They take turns in short bursts with pauses between them, in an order that
rotates, so that a machine whose speed drifts is fair to all; a figure is the minimum and the median over all bursts.
Ratios are ours over theirs: below 1 ours is faster.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

PEERS = ("openvino", "onnxruntime", "inductor", "inductor_freezing", "eager")
OURS = ("torchtrt", "torchtrt_cpp")


class Contender:
    """A worker process; `info` is what it said after setting up. RuntimeError if it did not get that far."""

    def __init__(self, name: str, command: list[str]) -> None:
        self.name = name
        self.times: list[int] = []
        self.peak_mb = 0.0
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115 (lives as long as the process)
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, text=True, bufsize=1
        )
        self.info = self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            self._log.seek(0)
            tail = self._log.read().strip().splitlines()[-1:]
            raise RuntimeError(f"{self.name}: exit {self._process.returncode}: {' '.join(tail)[:200]}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def burst(self, seconds: float) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"run {seconds}\n")
        self._process.stdin.flush()
        answer = self._answer()
        self.times += answer["ns"]
        self.peak_mb = answer["peak_mb"]

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def run_case(model: str, dtype: str, batch: int, args: argparse.Namespace) -> dict[str, Any]:
    contenders: list[Contender] = []
    missing: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder:

        def start(name: str) -> None:
            command = [sys.executable, str(HERE / "worker.py"), name, model, dtype, str(batch), folder]
            if name == "torchtrt_cpp":
                command = [str(args.cpp_worker), folder]
            try:
                contenders.append(Contender(name, command))
            except RuntimeError as error:
                missing[name] = str(error)

        for name in args.contenders:
            start(name)
        for round_ in range(args.rounds):
            for i in range(len(contenders)):
                time.sleep(args.pause)
                contenders[(i + round_) % len(contenders)].burst(args.burst)
        for contender in contenders:
            contender.close()
    return {
        "model": model,
        "dtype": dtype,
        "batch": batch,
        "missing": missing,
        "results": {
            c.name: {
                "min_us": min(c.times) / 1e3,
                "median_us": statistics.median(c.times) / 1e3,
                "runs": len(c.times),
                "peak_mb": round(c.peak_mb),
                **c.info,
            }
            for c in contenders
        },
    }


def format_case(case: dict[str, Any]) -> str:
    results = case["results"]
    lines = [f"{case['model']} {case['dtype']} batch {case['batch']}"]
    for name, row in results.items():
        ratios = ""
        for ours in OURS:
            if ours in results and name not in OURS:
                ratios += f"  {ours}/this {results[ours]['min_us'] / row['min_us']:5.2f}"
        extra = "".join(
            f"  {key} {row[key]:.3g}"
            for key in ("compile_s", "save_s", "load_to_first_s", "file_mb", "relative_difference")
            if key in row
        )
        lines.append(
            f"  {name:18} min {row['min_us']:10.1f} us  median {row['median_us']:10.1f} us  peak {row['peak_mb']:5} MB"
            f"{ratios}{extra}"
        )
    lines += [f"  {name:18} none: {why}" for name, why in case["missing"].items()]
    return "\n".join(lines)


def summary(cases: list[dict[str, Any]]) -> str:
    lines = ["geometric mean of ours / theirs (minima; below 1 ours is faster)"]
    for ours in OURS:
        for peer in PEERS:
            for dtype in sorted({case["dtype"] for case in cases}):
                ratios = [
                    case["results"][ours]["min_us"] / case["results"][peer]["min_us"]
                    for case in cases
                    if case["dtype"] == dtype and ours in case["results"] and peer in case["results"]
                ]
                if ratios:
                    mean = math.exp(statistics.fmean(map(math.log, ratios)))
                    line = f"  {ours:13} / {peer:18} {dtype:9} {mean:5.2f}  worst {max(ratios):5.2f}"
                    lines.append(f"{line}  ({len(ratios)} cases)")
    return "\n".join(lines)


def main() -> None:
    import models

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=list(models.NAMES), choices=models.NAMES)
    parser.add_argument("--dtypes", nargs="+", default=["float32", "bfloat16"])
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 8])
    parser.add_argument("--contenders", nargs="+", default=[*OURS, *PEERS], choices=[*OURS, *PEERS])
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--burst", type=float, default=0.15, help="seconds a turn (at least three inferences)")
    parser.add_argument("--pause", type=float, default=0.3, help="seconds before a turn")
    parser.add_argument("--cpp-worker", type=Path, default=HERE.parent / "build" / "bin" / "torchscript_worker")
    parser.add_argument("--json", type=Path, help="write all figures here")
    args = parser.parse_args()

    # libgomp's idle threads spin; a shorter spin costs torch nothing measurable and leaves the core to the others.
    os.environ.setdefault("GOMP_SPINCOUNT", "100000")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    cases = []
    for model in args.models:
        for dtype in args.dtypes:
            for batch in args.batches:
                cases.append(run_case(model, dtype, batch, args))
                print(format_case(cases[-1]), flush=True)
                if args.json:
                    args.json.write_text(json.dumps(cases, indent=1))
    print(summary(cases))


if __name__ == "__main__":
    main()
