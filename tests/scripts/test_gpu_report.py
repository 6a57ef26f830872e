# SPDX-License-Identifier: Apache-2.0
"""What `make gpu-test` says it found (tools/gpu/report.py), from files as GoogleTest and pytest write them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

REPORT = Path(__file__).resolve().parents[2] / "tools" / "gpu" / "report.py"


def report(folder: Path) -> tuple[int, dict[str, Any], str]:
    """Exit status, the JSON, and what is printed."""
    written = folder.parent / "all.json"
    command = [sys.executable, str(REPORT), str(folder), "--json", str(written)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return done.returncode, json.loads(written.read_text()), done.stdout


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "results"
    path.mkdir()
    return path


def googletest(seconds: float, **results: str) -> str:
    """`results`: by test, "COMPLETED", "SKIPPED", "SUPPRESSED" (of another process), or a failure's text."""
    tests = [
        {"name": name, "result": result}
        if result.isupper()
        else {"name": name, "result": "COMPLETED", "failures": [{"failure": result}]}
        for name, result in results.items()
    ]
    return json.dumps({"time": f"{seconds}s", "testsuites": [{"name": "Suite", "testsuite": tests}]})


TESTS = """
import pytest
@pytest.mark.parametrize("n", [1, 2])
def test_numbers(n): assert n == 1
@pytest.mark.skip(reason="no GPU")
def test_skipped(): pass
@pytest.fixture
def broken(): raise RuntimeError
def test_error(broken): pass
"""


def test_parts_of_every_kind(folder: Path, tmp_path: Path) -> None:
    (folder / "layers.0.json").write_text(googletest(3.5, One="COMPLETED", Two="SUPPRESSED", Three="SKIPPED"))
    (folder / "layers.1.json").write_text(googletest(4.5, Two="expected 1\n got 2", One="SUPPRESSED"))
    (tmp_path / "suite").mkdir()
    (tmp_path / "suite" / "test_it.py").write_text(TESTS)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path)]
    command += [f"--junitxml={folder / 'python.xml'}", "-c", "/dev/null", "suite"]
    subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
    (folder / "about.json").write_text(json.dumps({"GPUs": "1 x NVIDIA H200"}))
    times = {"min_us": 300.0, "median_us": 312.4}
    case = {"model": "mlp", "dtype": "float16", "batch": 1, "results": {"torchtrt": times}}
    (folder / "latency.json").write_text(json.dumps({"cases": [case]}))

    status, found, text = report(folder)
    assert status == 1
    assert found["about"] == {"GPUs": "1 x NVIDIA H200"}
    assert found["latency"]["cases"] == [case]
    layers, python = found["parts"]
    assert layers == {"name": "layers", "passed": 1, "skipped": 1, "seconds": 4.5, "failures": ["Suite.Two"]}
    assert (python["name"], python["passed"], python["skipped"]) == ("python", 1, 1)
    assert python["failures"] == ["suite/test_it.py::test_numbers[2]", "suite/test_it.py::test_error"]
    assert "| `layers` | 1 | 1 | 1 | 4 |" in text
    assert "* failed: `suite/test_it.py::test_error`" in text
    assert "| mlp float16 1 | torchtrt | 0.300, 0.312 |" in text


def test_failures_are_printed_at_once(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(TESTS)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "gpu_failures", "-n", "2"]
    command += ["--rootdir", str(tmp_path), "-c", "/dev/null", "test_it.py"]
    environment = {**os.environ, "PYTHONPATH": str(REPORT.parent)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.stderr.count("failed: test_it.py::test_numbers[2] (call)") == 1, done.stderr
    assert "assert 2 == 1" in done.stderr
    assert "failed: test_it.py::test_error (setup)" in done.stderr


def test_all_passed(folder: Path) -> None:
    (folder / "layers.json").write_text(googletest(1, One="COMPLETED"))
    status, found, text = report(folder)
    assert (status, found["about"], found["latency"]) == (0, None, None)
    assert "failed:" not in text


@pytest.mark.parametrize(("name", "content"), [("a.json", '{"time"'), ("a.json", "[]"), ("a.xml", "<testsuites><")])
def test_what_was_cut_off_is_a_failure(folder: Path, name: str, content: str) -> None:
    (folder / name).write_text(content)
    status, found, _ = report(folder)
    assert status == 1
    assert found["parts"][0]["failures"][0].startswith(f"{name} cannot be read")


def test_nothing_ran(folder: Path) -> None:
    assert report(folder)[0] == 1
