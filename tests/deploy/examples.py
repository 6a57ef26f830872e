# SPDX-License-Identifier: Apache-2.0
"""The two C++ examples on a small encoder: built as a user would, with the files that they read."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import torch

from .conftest import ROOT, install_tree

PROGRAMS = {"torchtrt_runtime_example": "model.ts", "torchtrt_aoti_example": "model.pt2"}
FLAGS = ["--cuda-graphs", "--safe-mode", "--output-allocator", "--pre-allocated-outputs"]
MODES = [[], *([flag] for flag in FLAGS), ["--safe-mode", "--cuda-graphs", FLAGS[3]]]


class Encoder(torch.nn.Module):
    """Token ids and mask to embeddings of length one."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.linear = torch.nn.Embedding(50, 12), torch.nn.Linear(12, 8)

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        weights = mask.unsqueeze(-1).to(torch.float32)
        mean = (self.linear(self.table(ids)) * weights).sum(1) / weights.sum(1)
        return torch.nn.functional.normalize(mean, dim=1)


@dataclass
class Example:
    programs: dict[str, Path]
    folder: Path
    expected: torch.Tensor

    def run(self, name: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        command = [str(self.programs[name]), *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)

    def embeddings(self, name: str) -> torch.Tensor:
        """What the program wrote in its last run."""
        written = (self.folder / f"{name}.embeddings").read_bytes()
        return torch.frombuffer(bytearray(written), dtype=torch.float32)


def write_batch(folder: Path, name: str, rows: int, tokens: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Texts and tokens as the programs read them."""
    ids = torch.randint(0, 50, (rows, tokens))
    mask = (torch.arange(tokens) < torch.randint(1, tokens + 1, (rows, 1))).long()
    lines = [" ".join(map(str, line)) for line in [[rows, tokens], *ids.tolist(), *mask.tolist()]]
    (folder / f"{name}.tokens").write_text("\n".join(lines) + "\n")
    (folder / f"{name}.txt").write_text("".join(f"{name} {row}\n" for row in range(rows)))
    return ids, mask


def build(name: str, folder: Path) -> Path:
    """A CMake project of its own, built in this folder."""
    options = [f"-Dtorchtrt_ROOT={install_tree()}", f"-DPython3_EXECUTABLE={sys.executable}"]
    for command in (
        ["cmake", "-G", "Ninja", "-S", str(ROOT / "examples" / name), "-B", str(folder), *options],
        ["cmake", "--build", str(folder)],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    return folder / name


def make_example(folder: Path, builds: Path, device: str, **settings: object) -> Example:
    """Compiles the encoder on `device` and writes the programs' files into `folder`. `builds`: where the programs are
    built; what is there already is not compiled again. `settings`: for torch_tensorrt.compile."""
    import torch_tensorrt

    torch.manual_seed(0)
    encoder = Encoder().eval()
    batches = [write_batch(folder, "sentences", 5, 7), write_batch(folder, "queries", 2, 4)]
    with torch.no_grad():
        expected = torch.cat([encoder(*batch).flatten() for batch in batches])
    encoder = encoder.to(device)
    tokens = torch_tensorrt.Input(min_shape=(1, 1), opt_shape=(4, 8), max_shape=(8, 16), dtype=torch.int64)
    compiled = torch_tensorrt.compile(encoder, ir="dynamo", arg_inputs=[tokens, tokens], min_block_size=1, **settings)
    assert torch_tensorrt.runtime.engine_modules(compiled), "the model must hold an engine, or the flags test nothing"
    inputs = [tensor.to(device) for tensor in batches[0]]
    torch_tensorrt.save(compiled, str(folder / "model.ts"), output_format="torchscript", arg_inputs=inputs)
    torch_tensorrt.save(compiled, str(folder / "model.pt2"), output_format="aot_inductor", arg_inputs=inputs)
    return Example({name: build(name, builds / name) for name in PROGRAMS}, folder, expected)
