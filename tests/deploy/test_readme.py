# SPDX-License-Identifier: Apache-2.0
"""The examples of README.md and of docs/ run as they are printed."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from .conftest import ROOT, install_tree


def blocks(document: str, language: str) -> list[str]:
    text = (ROOT / document).read_text()
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def readme(language: str) -> str:
    """The README's code blocks of this language: one program."""
    return "\n".join(blocks("README.md", language))


def run(command: list[str], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_examples(tmp_path: Path) -> None:
    (tmp_path / "example.py").write_text(readme("python"))
    assert "torch.Size([3, 10])" in run([sys.executable, "example.py"], tmp_path)
    assert all((tmp_path / f"model.{suffix}").stat().st_size > 10000 for suffix in ("ts", "pt2", "ep"))

    (tmp_path / "main.cpp").write_text(readme("cpp"))
    assert "[ CPUFloatType{5,10} ]" in run_program(tmp_path)


def run_program(folder: Path) -> str:
    """Builds main.cpp with the README's CMakeLists.txt and runs it."""
    (folder / "CMakeLists.txt").write_text(readme("cmake"))
    options = [f"-Dtorchtrt_ROOT={install_tree()}", f"-DPython3_EXECUTABLE={sys.executable}"]
    run(["cmake", "-G", "Ninja", "-S", ".", "-B", "build", *options], folder)
    run(["cmake", "--build", "build"], folder)
    return run(["build/program"], folder)


def test_converters(tmp_path: Path) -> None:
    (source,) = blocks("docs/converters.md", "python")
    source += "module = torch_tensorrt.compile(torch.nn.ReLU(), inputs=[torch.rand(2, 3)], min_block_size=1)\n"
    (tmp_path / "converters.py").write_text(source)
    run([sys.executable, "converters.py"], tmp_path)


def test_plugins(tmp_path: Path) -> None:
    (source,) = blocks("docs/plugins.md", "python")
    (tmp_path / "plugins.py").write_text(source)
    run([sys.executable, "plugins.py"], tmp_path)


def test_building(tmp_path: Path) -> None:
    (tmp_path / "building.py").write_text("\n".join(blocks("docs/building.md", "python")))
    run([sys.executable, "building.py"], tmp_path)


def test_runtime_modes(tmp_path: Path) -> None:
    (tmp_path / "modes.py").write_text("\n".join(blocks("docs/runtime.md", "python")))
    run([sys.executable, "modes.py"], tmp_path)
    (source,) = blocks("docs/runtime.md", "cpp")
    (tmp_path / "main.cpp").write_text(source)
    assert run_program(tmp_path).split() == ["[5,", "10]", "[7,", "10]"]


def test_several_machines(tmp_path: Path) -> None:
    (source,) = blocks("docs/deploy.md", "python")
    (tmp_path / "several.py").write_text(source)
    run([sys.executable, "several.py"], tmp_path)
    (command,) = blocks("docs/deploy.md", "bash")
    assert command.startswith("python ")
    said = run([sys.executable, *command.split()[1:]], tmp_path)
    assert said.startswith("model-new.ts: 1 engine")
    (source,) = blocks("docs/deploy.md", "cpp")
    (tmp_path / "main.cpp").write_text(source)
    for name in ("model.ts", "model-new.ts"):
        (tmp_path / name).rename(tmp_path / "model.ts")
        assert run_program(tmp_path).split() == ["[5,", "10]", "openvino"]


def test_whole_graphs_compile(tmp_path: Path) -> None:
    """Against CUDA's headers, from the wheels that torch brings: running it takes a GPU."""
    (source,) = blocks("docs/runtime.md", "c\\+\\+")
    (tmp_path / "main.cpp").write_text(source)
    torch_folder = Path(torch.__file__).parent
    wheels = torch_folder.parent
    # Triton has what cuda_runtime.h includes, the wheels of torch's libraries have the rest.
    folders = [wheels / "triton" / "backends" / "nvidia" / "include", *sorted(wheels.glob("nvidia/cu*/include"))]
    if not (folders[0] / "cuda_runtime.h").is_file():
        pytest.skip("this torch comes without CUDA's headers")
    folders += [torch_folder / "include", torch_folder / "include" / "torch" / "csrc" / "api" / "include"]
    includes = [f"-I{install_tree()}/include", *(part for folder in folders for part in ("-isystem", str(folder)))]
    run(["c++", "-std=c++20", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", *includes, "main.cpp"], tmp_path)
