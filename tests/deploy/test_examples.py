# SPDX-License-Identifier: Apache-2.0
"""The two C++ examples with their flags, on a small encoder. (`make demo` runs them on a pretrained one.)"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from .conftest import ROOT, install_tree

PROGRAMS = {"torchtrt_runtime_example": "model.ts", "torchtrt_aoti_example": "model.pt2"}
FLAGS = ["--cuda-graphs", "--safe-mode", "--output-allocator", "--pre-allocated-outputs"]


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

    def run(self, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(self.programs[name]), *arguments]
        return subprocess.run(command, env={}, capture_output=True, text=True, check=False, timeout=300)


def write_batch(folder: Path, name: str, rows: int, tokens: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Texts and tokens as the programs read them."""
    ids = torch.randint(0, 50, (rows, tokens))
    mask = (torch.arange(tokens) < torch.randint(1, tokens + 1, (rows, 1))).long()
    lines = [" ".join(map(str, line)) for line in [[rows, tokens], *ids.tolist(), *mask.tolist()]]
    (folder / f"{name}.tokens").write_text("\n".join(lines) + "\n")
    (folder / f"{name}.txt").write_text("".join(f"{name} {row}\n" for row in range(rows)))
    return ids, mask


def build(name: str) -> Path:
    """As a user would, each a CMake project of its own; in build/, so that the next run compiles nothing."""
    folder = ROOT / "build" / "deploy-tests" / name
    options = [f"-Dtorchtrt_ROOT={install_tree()}", f"-DPython3_EXECUTABLE={sys.executable}"]
    for command in (
        ["cmake", "-G", "Ninja", "-S", str(ROOT / "examples" / name), "-B", str(folder), *options],
        ["cmake", "--build", str(folder)],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    return folder / name


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Example:
    import torch_tensorrt

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("examples")
    encoder = Encoder().eval()
    batches = [write_batch(folder, "sentences", 5, 7), write_batch(folder, "queries", 2, 4)]
    tokens = torch_tensorrt.Input(min_shape=(1, 1), opt_shape=(4, 8), max_shape=(8, 16), dtype=torch.int64)
    compiled = torch_tensorrt.compile(encoder, ir="dynamo", arg_inputs=[tokens, tokens], min_block_size=1)
    assert torch_tensorrt.runtime.engine_modules(compiled), "the model must hold an engine, or the flags test nothing"
    torch_tensorrt.save(compiled, str(folder / "model.ts"), output_format="torchscript", arg_inputs=list(batches[0]))
    torch_tensorrt.save(compiled, str(folder / "model.pt2"), output_format="aot_inductor", arg_inputs=list(batches[0]))
    with torch.no_grad():
        expected = torch.cat([encoder(*batch).flatten() for batch in batches])
    return Example({name: build(name) for name in PROGRAMS}, folder, expected)


@pytest.mark.parametrize(
    "flags", [[], *([flag] for flag in FLAGS), ["--safe-mode", "--cuda-graphs", FLAGS[3]]], ids=str
)
@pytest.mark.parametrize("name", PROGRAMS)
def test_modes(example: Example, name: str, flags: list[str]) -> None:
    done = example.run(name, *flags, str(example.folder / PROGRAMS[name]), str(example.folder))
    assert done.returncode == 0, done.stderr
    assert "no Python in this process" in done.stdout
    written = (example.folder / f"{name}.embeddings").read_bytes()
    torch.testing.assert_close(torch.frombuffer(bytearray(written), dtype=torch.float32), example.expected)


@pytest.mark.parametrize("name", PROGRAMS)
def test_modes_that_exclude_each_other(example: Example, name: str) -> None:
    """That the program fails as the runtime says shows that the flags arrive at the engines."""
    files = [str(example.folder / PROGRAMS[name]), str(example.folder)]
    done = example.run(name, *files, "--cuda-graphs", "--output-allocator")
    assert done.returncode == 1
    assert "Both CUDA Graphs and dynamic output allocation are enabled" in done.stderr


@pytest.mark.parametrize("name", PROGRAMS)
def test_help(example: Example, name: str) -> None:
    done = example.run(name, "--help")
    assert done.returncode == 0
    assert done.stdout.startswith(f"usage: {name} [flags] <{PROGRAMS[name]}> <folder")
    readme = (ROOT / "examples" / name / "README.md").read_text()
    for flag in FLAGS:
        assert f"  {flag} " in done.stdout
        assert f"`{flag}`" in readme


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--cudagraphs", "model", "folder"], "unknown flag --cudagraphs"),
        (["--cuda-graphs=1", "model", "folder"], "unknown flag --cuda-graphs=1"),
        (["-h"], "unknown flag -h"),
        ([], "expected a model and a folder, but got 0"),
        (["--safe-mode", "model"], "expected a model and a folder, but got 1"),
        (["model", "folder", "more"], "expected a model and a folder, but got 3"),
    ],
    ids=str,
)
@pytest.mark.parametrize("name", PROGRAMS)
def test_bad_command_lines_say_what_is_accepted(
    example: Example, name: str, arguments: list[str], complaint: str
) -> None:
    done = example.run(name, *arguments)
    assert done.returncode == 2
    assert complaint in done.stderr
    assert all(flag in done.stderr for flag in [*FLAGS, "--help"])
    assert not done.stdout
