# SPDX-License-Identifier: Apache-2.0
"""The two C++ examples with their flags, on a small encoder. (`make demo` runs them on a pretrained one.)"""

from __future__ import annotations

import pytest
import torch

from .conftest import ROOT
from .examples import FLAGS, MODES, PROGRAMS, Example, make_example


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Example:
    # In build/, so that the next run compiles nothing.
    return make_example(tmp_path_factory.mktemp("examples"), ROOT / "build" / "deploy-tests", "cpu")


@pytest.mark.parametrize("flags", MODES, ids=str)
@pytest.mark.parametrize("name", PROGRAMS)
def test_modes(example: Example, name: str, flags: list[str]) -> None:
    done = example.run(name, *flags, str(example.folder / PROGRAMS[name]), str(example.folder))
    assert done.returncode == 0, done.stderr
    assert "no Python in this process" in done.stdout
    torch.testing.assert_close(example.embeddings(name), example.expected)


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
    for flag in [*FLAGS, "--cuda"]:
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
    assert all(flag in done.stderr for flag in [*FLAGS, "--cuda", "--help"])
    assert not done.stdout
