# SPDX-License-Identifier: Apache-2.0
"""`make bench-gpu`: what an engine's call costs beside a bare enqueueV3 loop, and models against eager PyTorch with and
without CUDA graphs, torch.compile (reduce-overhead, max-autotune) and Torch-TensorRT's wheel. Markdown tables.

Needs an NVIDIA GPU (exit status 3 and the reason without one) and the build folder of `make gpu-test`. Every contender
of a model is a process of its own; they take turns in bursts, in an order that rotates, as in bench.py. A figure is the
minimum and the median; ratios are ours over theirs: below 1 ours is faster.

TORCH_TENSORRT_PYTHON names the interpreter of an environment with Torch-TensorRT's wheel: both packages are called
torch_tensorrt, so one environment cannot have them.

`--must-beat eager_graph` makes a model whose better figure of ours, by the minima, is slower than that a failure (exit
status 1): `make gpu-test` ends with such a run.

`--device cpu` proves that this program runs: two small models on OpenVINO. Its figures mean nothing.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
import models
from bench import Contender

HERE = Path(__file__).resolve().parent
OURS = ("torchtrt", "torchtrt_graphs")
PEERS = {
    "eager": "eager",
    "eager_graph": "eager + CUDA graph",
    "reduce_overhead": "torch.compile reduce-overhead",
    "max_autotune": "torch.compile max-autotune",
    "torch_tensorrt": "Torch-TensorRT",
    "torch_tensorrt_graphs": "Torch-TensorRT + CUDA graphs",
}
THEIR_PYTHON = "TORCH_TENSORRT_PYTHON"
BARE = "enqueueV3"
# Microseconds on the host: what a call may add to a bare one, and what a call that replays may take in all.
ADDED_TARGETS, REPLAY_TARGET = {"run_engine": 3.0, "TorchScript": 5.0}, 5.0

Pair = tuple[float, float]


# --- tables -----------------------------------------------------------------------------------------------------------


def pair(values: list[float]) -> Pair:
    """Minimum and median."""
    return min(values), statistics.median(values)


def cell(numbers: Pair | None, digits: int = 2) -> str:
    return "–" if numbers is None else ", ".join(f"{number:.{digits}f}" for number in numbers)


def row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def header(*cells: str) -> list[str]:
    return [row(*cells), row(*["---"] * len(cells))]


def calls_table(section: dict[str, Any]) -> list[str]:
    """Host time of a call. What is added is paired: a round's figures are of the same fraction of a second."""
    contenders = section["contenders"]
    bare = contenders[BARE]
    lines = [f"{section['library']}, {section['gpu']}; microseconds on the host: minimum, median", ""]
    lines += header("call", "µs", f"more than {BARE}")
    for name, figures in contenders.items():
        total = min(figures["minima_us"]), statistics.median(figures["medians_us"])
        lines.append(row(name, cell(total), cell(added(figures, bare))))
    return lines


def added(figures: dict[str, list[float]], bare: dict[str, list[float]]) -> Pair:
    """Minimum: of the minima. Median: of the differences of a round's medians."""
    differences = [own - other for own, other in zip(figures["medians_us"], bare["medians_us"], strict=True)]
    return min(figures["minima_us"]) - min(bare["minima_us"]), statistics.median(differences)


def verdicts(section: dict[str, Any]) -> list[str]:
    """Whether the targets are met, by the medians."""
    contenders = section["contenders"]
    lines = []
    for name, target in ADDED_TARGETS.items():
        more = added(contenders[name], contenders[BARE])[1]
        lines.append(f"* {name} adds {more:.2f} µs to {BARE}: {verdict(more, target)}")
        replay = statistics.median(contenders[f"{name}, CUDA graphs"]["medians_us"])
        lines.append(f"* {name} with CUDA graphs takes {replay:.2f} µs: {verdict(replay, REPLAY_TARGET)}")
    return lines


def verdict(value: float, target: float) -> str:
    return f"{'meets' if value <= target else 'MISSES'} the target of {target:g} µs"


def throughput_table(sections: list[dict[str, Any]]) -> list[str]:
    """Calls per second of all threads, and each as a ratio to the bare loop's of as many threads: above 1 is faster."""
    lines = header("threads", "call", "calls/s: most, median", f"/ {BARE}")
    for section in sections:
        bare = section["calls_per_second"][BARE]
        for name, values in section["calls_per_second"].items():
            rates = max(values), statistics.median(values)
            paired = statistics.median(own / other for own, other in zip(values, bare, strict=True))
            lines.append(row(str(section["threads"]), name, cell(rates, 0), cell((max(values) / max(bare), paired))))
    return lines


def models_table(cases: list[dict[str, Any]]) -> list[str]:
    """Time of an inference until the device is done, and ratios of ours to each peer: minimum, median."""
    lines = header("model, dtype, batch", "ours", "ms", *(f"/ {title}" for title in PEERS.values()))
    for case in cases:
        for ours in OURS:
            if ours in case["results"]:
                own = case["results"][ours]
                ratios = [ratio(own, case["results"].get(peer)) for peer in PEERS]
                time_ms = own["min_us"] / 1e3, own["median_us"] / 1e3
                lines.append(row(title_of(case), ours, cell(time_ms, 3), *(cell(numbers) for numbers in ratios)))
    return lines


def ratio(own: dict[str, float], peer: dict[str, float] | None) -> Pair | None:
    return None if peer is None else (own["min_us"] / peer["min_us"], own["median_us"] / peer["median_us"])


def remarks(cases: list[dict[str, Any]]) -> list[str]:
    """What is not in the table, and why."""
    return [f"* {title_of(case)}: no {name}: {why}" for case in cases for name, why in case["missing"].items()]


def errors_table(cases: list[dict[str, Any]]) -> list[str]:
    """Largest difference from eager PyTorch in float32 on the same weights, as a fraction of its largest value; and how
    long it took to be ready."""
    lines = header("model, dtype, batch", "contender", "error", "seconds to be ready", "engines")
    for case in cases:
        for name, result in case["results"].items():
            if "error" in result:
                engines = str(result.get("engines", "–"))
                cells = f"{result['error']:.1e}", f"{result['compile_s']:.1f}", engines
                lines.append(row(title_of(case), name, *cells))
    return lines


def title_of(case: dict[str, Any]) -> str:
    return f"{case['model']} {case['dtype']} {case['batch']}"


def beaten(cases: list[dict[str, Any]], peer: str) -> list[str]:
    """The cases in which the better of ours takes longer than the peer, by the minima."""
    lines = []
    for case in cases:
        ours = [case["results"][name]["min_us"] for name in OURS if name in case["results"]]
        theirs = case["results"].get(peer)
        if ours and theirs and min(ours) > theirs["min_us"]:
            lines.append(f"{title_of(case)}: {min(ours):.0f} µs, {PEERS[peer]} takes {theirs['min_us']:.0f} µs")
    return lines


# --- runs -------------------------------------------------------------------------------------------------------------


def worker_command(contender: str, model: str, dtype: str, batch: int, folder: str, device: str) -> list[str]:
    """RuntimeError where the contender needs an interpreter that nobody named."""
    script = [str(HERE / "gpu_worker.py"), contender, model, dtype, str(batch), folder, device]
    if not contender.startswith("torch_tensorrt"):
        return [sys.executable, *script]
    python = os.environ.get(THEIR_PYTHON)
    if not python:
        raise RuntimeError(f"{THEIR_PYTHON} does not name an interpreter that has it")
    return ["env", "-u", "PYTHONPATH", "-u", "TORCHTRT_LIBRARY_DIR", python, *script]


def run_case(model: str, dtype: str, batch: int, folder: str, args: argparse.Namespace) -> dict[str, Any]:
    contenders: list[Contender] = []
    missing: dict[str, str] = {}
    for name in args.contenders:
        try:
            command = worker_command(name, model, dtype, batch, folder, args.device)
            contenders.append(Contender(name, command))
        except (RuntimeError, OSError) as error:
            missing[name] = str(error)
    for round_ in range(args.rounds):
        for i in range(len(contenders)):
            time.sleep(args.pause)
            contenders[(i + round_) % len(contenders)].burst(args.burst)
    for contender in contenders:
        contender.close()
    results = {}
    for contender in contenders:
        least, median = pair([value / 1e3 for value in contender.times])
        results[contender.name] = {"min_us": least, "median_us": median, "runs": len(contender.times), **contender.info}
    return {"model": model, "dtype": dtype, "batch": batch, "missing": missing, "results": results}


def run_calls(folder: str, module: str, args: argparse.Namespace) -> list[dict[str, Any]]:
    """The C++ part, on the program that the contender torchtrt left in the folder."""
    name = f"enqueue_call_{module}"
    run(["cmake", "--build", str(args.build), "--target", name])
    said = run([str(args.build / "bin" / name), folder, str(args.call_rounds), str(args.threads)])
    return [json.loads(line) for line in said.splitlines()]


def run(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip()[-2000:]
        raise RuntimeError(f"{' '.join(command)}: exit status {done.returncode}: {said}")
    return done.stdout


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--models", nargs="+", default=list(models.GPU_NAMES))
    parser.add_argument("--dtypes", nargs="+", default=["float16"])
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 8])
    parser.add_argument("--contenders", nargs="+", default=[*OURS, *PEERS], choices=[*OURS, *PEERS])
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--burst", type=float, default=0.3, help="seconds a turn (at least three inferences)")
    parser.add_argument("--pause", type=float, default=0.1, help="seconds before a turn")
    parser.add_argument("--call-rounds", type=int, default=20, help="rounds of enqueue_call (0: it does not run)")
    parser.add_argument("--must-beat", choices=PEERS, help="to be slower than this peer is a failure")
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--build", type=Path, default=HERE.parent / "build")
    parser.add_argument("--json", type=Path, help="write all figures here")
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> int:
    args = parse(arguments)
    import torch

    if args.device == "cuda" and not torch.cuda.is_available():
        print(
            "benchmarks/gpu.py: no GPU that this PyTorch can use (--device cpu only proves that it runs)",
            file=sys.stderr,
        )
        return 3
    paths = (str(HERE.parent / "py"), os.environ.get("PYTHONPATH"))
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    os.environ.setdefault("TORCHTRT_LIBRARY_DIR", str(args.build.resolve() / "lib"))
    os.environ.setdefault("GOMP_SPINCOUNT", "100000")  # see bench.py
    about = {"gpu": torch.cuda.get_device_name(0) if args.device == "cuda" else None, "torch": torch.__version__}
    if args.device == "cuda":
        print(f"{torch.cuda.get_device_name(0)}, torch {torch.__version__}\n", flush=True)
    status = 0
    cases: list[dict[str, Any]] = []
    calls: list[dict[str, Any]] = []
    for model, dtype, batch in itertools.product(args.models, args.dtypes, args.batches):
        with tempfile.TemporaryDirectory() as folder:
            cases.append(run_case(model, dtype, batch, folder, args))
            ours = cases[-1]["results"].get("torchtrt")
            if ours is None and "torchtrt" in args.contenders:
                status = 1
            elif ours is not None and args.device == "cuda" and args.call_rounds and not calls and ours["engines"] == 1:
                try:
                    calls = run_calls(folder, ours["modules"][0], args)
                except RuntimeError as error:
                    print(f"benchmarks/gpu.py: no costs of calls: {error}", file=sys.stderr)
                    status = 1
        print(f"done: {title_of(cases[-1])}", file=sys.stderr, flush=True)
        if args.json:
            args.json.write_text(json.dumps({**about, "cases": cases, "calls": calls}, indent=1))
    if calls:
        print("\n".join([*calls_table(calls[0]), "", *verdicts(calls[0]), "", *throughput_table(calls[1:]), ""]))
    print("\n".join([*models_table(cases), "", *errors_table(cases), "", *remarks(cases)]))
    slower = beaten(cases, args.must_beat) if args.must_beat else []
    for line in slower:
        print(f"benchmarks/gpu.py: slower than it must be: {line}", file=sys.stderr)
    return 1 if slower else status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
