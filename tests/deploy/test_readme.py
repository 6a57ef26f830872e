# SPDX-License-Identifier: Apache-2.0
"""The README's examples run as they are printed."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from .conftest import ROOT, install_tree


def block(language: str) -> str:
    """The README's only code block of this language."""
    found = re.findall(rf"^```{language}\n(.*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    assert len(found) == 1
    return str(found[0])


def run(command: list[str], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_examples(tmp_path: Path) -> None:
    (tmp_path / "example.py").write_text(block("python"))
    assert "torch.Size([3, 10])" in run([sys.executable, "example.py"], tmp_path)
    assert all((tmp_path / f"model.{suffix}").stat().st_size > 10000 for suffix in ("ts", "pt2", "ep"))

    (tmp_path / "main.cpp").write_text(block("cpp"))
    (tmp_path / "CMakeLists.txt").write_text(block("cmake"))
    options = [f"-Dtorchtrt_ROOT={install_tree()}", f"-DPython3_EXECUTABLE={sys.executable}"]
    run(["cmake", "-G", "Ninja", "-S", ".", "-B", "build", *options], tmp_path)
    run(["cmake", "--build", "build"], tmp_path)
    assert "[ CPUFloatType{5,10} ]" in run(["build/program"], tmp_path)
