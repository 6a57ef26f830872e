# SPDX-License-Identifier: Apache-2.0
"""Saved models whose engines hold plugins, in processes without Python."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import torch_tensorrt
from torch_tensorrt.dynamo.conversion import plugins

from .conftest import BATCHES, ROOT, build_programs, example_input, install_tree
from .test_programs import CONTAINERS, check_output, run


class Reduced(torch.nn.Module):
    """With torchtrt's plugin."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("index", torch.tensor([[0, 1, 2, 3, 0, 1, 2, 3, 0, 1]]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        index = self.index.expand(x.shape[0], -1)
        start = torch.zeros_like(x[:, :4])
        return torch.tanh(torch.scatter_reduce(start, 1, index, torch.relu(x), "mean", include_self=False)) * 2 - 1


class Thresholded(torch.nn.Module):
    """With a user's operator."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.tanh(torch.ops.torchtrt_example.soft_threshold(torch.sin(x), 0.25)) * 2 - 1


@pytest.fixture(scope="module")
def programs() -> Path:
    build = ROOT / "build" / "deploy-tests"
    build_programs(install_tree(), build)
    return build


@pytest.fixture(scope="module")
def models(programs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """reduced.ts, reduced.pt2, thresholded.ts, thresholded.pt2"""
    torch.ops.load_library(str(programs / "libsoft_threshold.so"))

    @torch.library.register_fake("torchtrt_example::soft_threshold")
    def _(x: torch.Tensor, limit: float) -> torch.Tensor:
        return torch.empty_like(x)

    registration = plugins.custom_op(
        "torchtrt_example::soft_threshold", supports_dynamic_shapes=True, library="libsoft_threshold.so"
    )
    out = tmp_path_factory.mktemp("plugins")
    shape = torch_tensorrt.Input(min_shape=(1, 10), opt_shape=(4, 10), max_shape=(64, 10))
    for net in (Reduced(), Thresholded()):
        compiled = torch_tensorrt.compile(
            net.eval(), arg_inputs=[shape], use_plugins=True, require_full_compilation=True, min_block_size=1
        )
        name = type(net).__name__.lower()
        with torch.no_grad():
            torch.testing.assert_close(compiled(example_input(3)), net(example_input(3)))
            torch.jit.save(torch.jit.trace(compiled, (example_input(3),)), str(out / f"{name}.ts"))
        torch_tensorrt.save(compiled, out / f"{name}.pt2", output_format="aot_inductor", arg_inputs=[example_input(3)])
    registration.remove()
    return out


def model(models: Path, name: str, container: str) -> Path:
    return models / f"{name}.{'ts' if container == 'jit' else 'pt2'}"


def expected(net: torch.nn.Module) -> dict[int, torch.Tensor]:
    with torch.no_grad():
        return {batch: net(example_input(batch)) for batch in BATCHES}


def plugins_of(tree: Path) -> Path:
    return tree / "lib" / "libtorchtrt_plugins.so"


@pytest.mark.parametrize("container", CONTAINERS)
def test_linked(models: Path, programs: Path, container: str) -> None:
    done = run([programs / f"{container}_plugins", model(models, "reduced", container)])
    mapped = check_output(done, expected(Reduced()))
    assert str(plugins_of(install_tree()).resolve()) in mapped


@pytest.mark.parametrize("container", CONTAINERS)
def test_dlopened(models: Path, programs: Path, container: str) -> None:
    program = programs / f"{container}_torch"
    done = run([program, model(models, "reduced", container), plugins_of(install_tree())])
    check_output(done, expected(Reduced()))


@pytest.mark.parametrize("container", CONTAINERS)
def test_preloaded(models: Path, programs: Path, container: str) -> None:
    program = programs / f"{container}_torch"
    done = run([program, model(models, "reduced", container)], LD_PRELOAD=str(plugins_of(install_tree())))
    check_output(done, expected(Reduced()))


@pytest.mark.parametrize("container", CONTAINERS)
def test_without_the_library_the_exact_form_runs(models: Path, programs: Path, container: str) -> None:
    done = run([programs / f"{container}_runtime", model(models, "reduced", container)])
    check_output(done, expected(Reduced()))
    assert "runs its exact form" in done.stderr
    assert 'uses the plugin "torch_operator" of libtorchtrt_plugins.so, which is not loaded' in done.stderr


@pytest.mark.parametrize("container", CONTAINERS)
def test_operator_of_a_user(models: Path, programs: Path, container: str) -> None:
    path = model(models, "thresholded", container)
    done = run([programs / f"{container}_plugins", path, programs / "libsoft_threshold.so"])
    check_output(done, expected(Thresholded()))
    done = run([programs / f"{container}_plugins", path])
    assert done.returncode == 1
    assert "no operator torchtrt_example::soft_threshold in this process: open libsoft_threshold.so" in done.stderr
