# SPDX-License-Identifier: Apache-2.0
"""Calls of compiled modules: bad inputs, threads, modes, speed of the direct call's neighbours."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from typing import Any

import pytest
import torch
from py_models import Mlp, assert_same

import torch_tensorrt
from torch_tensorrt import runtime


def test_out_of_range_names_input_dimension_range_and_value(module: Any) -> None:
    with pytest.raises(ValueError, match=r'"x", dimension 0: 9 is outside the range \[1, 8\]'):
        module(torch.rand(9, 16))


@pytest.mark.parametrize(
    ("inputs", "error"),
    [
        ([], TypeError),
        ([torch.rand(2, 16)] * 2, TypeError),
        ([torch.rand(2, 16, dtype=torch.float64)], TypeError),
        ([torch.rand(2, 17)], ValueError),
        ([torch.rand(2, 16, 1)], ValueError),
        ([torch.rand(0, 16)], ValueError),
        (["text"], Exception),
        ([None], Exception),
    ],
)
def test_bad_inputs_are_errors_and_the_module_lives_on(
    module: Any, model: Mlp, inputs: list[Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        module(*inputs)
    x = torch.rand(2, 16)
    assert_same(module(x), model(x))


def test_strided_inputs(module: Any, model: Mlp) -> None:
    x = torch.rand(16, 6).t()
    assert_same(module(x), model(x))
    x = torch.rand(6, 32)[:, ::2]
    assert_same(module(x), model(x))


def test_not_a_number_stays_in_its_row(module: Any, model: Mlp) -> None:
    x = torch.rand(2, 16)
    x[1, 3] = torch.nan
    assert_same(module(x)[0], model(x)[0])


def test_inputs_that_require_gradients(module: Any, model: Mlp) -> None:
    x = torch.rand(2, 16, requires_grad=True)
    assert_same(module(x).detach(), model(x).detach())


def test_results_are_not_reused(module: Any) -> None:
    first = module(torch.rand(3, 16))
    kept = first.clone()
    module(torch.rand(3, 16))
    assert_same(first, kept)


def test_modes_that_watch_operators_see_the_operator(module: Any) -> None:
    from torch.utils._python_dispatch import TorchDispatchMode

    seen: list[str] = []

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            seen.append(str(function))
            return function(*args, **(kwargs or {}))

    x = torch.rand(2, 16)
    with Watch():
        module(x)
    assert seen == ["tensorrt.execute_engine.default"]


def test_fake_tensors(module: Any) -> None:
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode() as mode:
        result = module(mode.from_tensor(torch.rand(5, 16)))
    assert result.shape == (5, 4)


def test_threads(module: Any, model: Mlp) -> None:
    failures: list[BaseException] = []

    def work(seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        try:
            for _ in range(25):
                x = torch.rand(seed % 8 + 1, 16, generator=generator)
                with torch.no_grad():
                    assert_same(module(x), model(x))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures[0]


def test_safe_mode_is_restored() -> None:
    assert not runtime.get_multi_device_safe_mode()
    with runtime.set_multi_device_safe_mode(True):
        assert runtime.get_multi_device_safe_mode()
        with pytest.raises(KeyError), runtime.set_multi_device_safe_mode(False):
            raise KeyError
        assert runtime.get_multi_device_safe_mode()
    assert not runtime.get_multi_device_safe_mode()
    with pytest.raises(TypeError, match="True or False"):
        runtime.set_multi_device_safe_mode(1)  # type: ignore[arg-type]


def test_cpu_settings(model: Mlp) -> None:
    before = runtime.get_cpu_settings()
    with runtime.set_cpu_settings(streams=2, threads=2):
        assert runtime.get_cpu_settings() == (2, 2)
        module = torch_tensorrt.compile(model, inputs=[torch.rand(3, 16)])
        x = torch.rand(3, 16)
        assert_same(module(x), model(x))
    assert runtime.get_cpu_settings() == before
    with pytest.raises(ValueError, match="streams"):
        runtime.set_cpu_settings(streams=0)


_FORK = """
import itertools, os, signal, torch, torch_tensorrt
from torch_tensorrt import runtime
model = torch.nn.Sequential(torch.nn.Linear(16, 8), torch.nn.Tanh()).eval().requires_grad_(False)
x = torch.rand(3, 16)
shapes = [x, torch_tensorrt.Input(min_shape=(1, 16), opt_shape=(3, 16), max_shape=(9, 16))]
expected = model(x)
for streams, shape in itertools.product((1, 2), shapes):
    def right(module):
        torch.testing.assert_close(module(x), expected)
    def compiled():
        return torch_tensorrt.compile(model, inputs=[shape], min_block_size=1)
    with runtime.set_cpu_settings(streams=streams, threads=streams):
        module = compiled()
        right(module)
        if (child := os.fork()) == 0:
            signal.alarm(60)
            right(module)
            right(compiled())
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0, (streams, shape)
        right(module)
"""


def test_forked_processes_run_and_compile() -> None:
    # One thread for PyTorch, whose own threads do not survive a fork.
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", _FORK]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr


def test_serialized_engine_is_a_package(model: Mlp) -> None:
    image = torch_tensorrt.convert_method_to_trt_engine(model, inputs=[torch.rand(2, 16)])
    assert isinstance(image, bytes)
    assert b"openvino" in image[:65536]
