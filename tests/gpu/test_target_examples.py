# SPDX-License-Identifier: Apache-2.0
"""The C++ examples on a GPU: TorchScript and AOTInductor files with TensorRT engines, in every mode."""

from __future__ import annotations

import os

import pytest
import torch

from torch_tensorrt._library import library_directory

from ..deploy.examples import MODES, PROGRAMS, Example, make_example

# Where the vendor's libraries are; the programs have nothing else of this environment.
PASSED_ON = ("TORCHTRT_TENSORRT_LIBRARY", "TORCHTRT_TENSORRT_RTX_LIBRARY", "TensorRT_ROOT", "LD_LIBRARY_PATH")


@pytest.fixture(scope="module")
def example(target: str, tmp_path_factory: pytest.TempPathFactory) -> Example:
    builds = library_directory().parent / "gpu-tests"
    return make_example(tmp_path_factory.mktemp("examples"), builds, "cuda", targets=[target])


def run(example: Example, name: str, *flags: str) -> str:
    environment = {key: os.environ[key] for key in PASSED_ON if key in os.environ}
    done = example.run(name, "--cuda", *flags, str(example.folder / PROGRAMS[name]), str(example.folder), **environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("flags", MODES, ids=str)
@pytest.mark.parametrize("name", PROGRAMS)
def test_modes(example: Example, name: str, flags: list[str]) -> None:
    assert "no Python in this process" in run(example, name, *flags)
    torch.testing.assert_close(example.embeddings(name), example.expected, rtol=1e-3, atol=1e-4)
