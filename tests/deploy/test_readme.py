# SPDX-License-Identifier: Apache-2.0
"""The examples of README.md and of docs/ run as they are printed."""

from __future__ import annotations

import os
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


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "main.cpp").write_text(readme("cpp"))
    with pytest.raises(AssertionError) as raised:
        run_program(tmp_path)
    (said,) = str(raised.value).splitlines()[:1]
    assert "model.ts" in said
    assert "Exception raised from" not in str(raised.value)


def test_what_to_ship(tmp_path: Path) -> None:
    """The recipe's folder is all that the program needs besides the C++ library and glibc, and has the size it says."""
    (tmp_path / "example.py").write_text(readme("python"))
    run([sys.executable, "example.py"], tmp_path)
    (tmp_path / "main.cpp").write_text(readme("cpp"))
    run_program(tmp_path)
    (recipe,) = blocks("docs/deploy.md", "sh")
    torch_folder = Path(torch.__file__).parent
    if torch.version.cuda is None:
        recipe = re.sub(r"(?m)^(cp -L .*nvidia.*|c\+\+ .*)$", 'cp "$TORCH"/lib/libtorch.so ship/lib/', recipe)
    variables = f"TORCHTRT={install_tree()} TORCH={torch_folder}"
    assert "[ CPUFloatType{5,10} ]" in run(["bash", "-ec", f"{variables}\n{recipe}"], tmp_path)
    ship = tmp_path / "ship"
    environment = {"LD_LIBRARY_PATH": str(ship / "lib"), "PATH": os.environ["PATH"]}
    program = subprocess.run(
        ["ldd", str(ship / "program")], env=environment, capture_output=True, text=True, check=True
    )
    outside = [line.split()[2] for line in program.stdout.splitlines() if "=>" in line and str(ship) not in line]
    system = ("libstdc++", "libgcc_s", "libc.", "libm.", "libdl.", "librt.", "libpthread.", "libutil.")
    assert all(Path(library).name.startswith(system) for library in outside), outside
    megabytes = sum(file.stat().st_size for file in ship.rglob("*") if file.is_file()) / 1e6
    (told,) = re.findall(r"that is about (\d+) MB", (ROOT / "docs/deploy.md").read_text())
    assert abs(megabytes - int(told)) < 0.1 * int(told), megabytes


def test_cmake_prefix() -> None:
    command = [sys.executable, "-m", "torch_tensorrt", "--cmake-prefix-path"]
    environment = {**os.environ, "TORCHTRT_LIBRARY_DIR": str(install_tree() / "lib")}
    said = subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout
    assert Path(said.strip()).samefile(install_tree())


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
