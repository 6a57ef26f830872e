# SPDX-License-Identifier: Apache-2.0
"""Other weights for a compiled module, compared with eager PyTorch."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from py_models import Counter, Keywords, Mlp, Split, assert_same
from torch import nn

import torch_tensorrt
from torch_tensorrt._engine import parse_metadata
from torch_tensorrt._settings import make_settings
from torch_tensorrt.dynamo import _lowering, refit_module_weights
from torch_tensorrt.dynamo import _refit as refit_code
from torch_tensorrt.runtime import EngineModule, TorchBlock

BATCH = torch_tensorrt.Input(min_shape=(1, 12), opt_shape=(4, 12), max_shape=(8, 12))


def compiled(model: nn.Module, *inputs: Any, **settings: Any) -> Any:
    settings = {"min_block_size": 1, "immutable_weights": False, **settings}
    return torch_tensorrt.compile(model.eval(), arg_inputs=list(inputs), **settings)


def program(model: nn.Module, *inputs: Any) -> Any:
    return torch_tensorrt.dynamo.trace(model.eval(), arg_inputs=list(inputs))


@pytest.mark.parametrize("in_place", [False, True])
def test_one_engine(in_place: bool) -> None:
    before, after = Mlp().eval(), Mlp().eval()
    x = torch.randn(4, 16)
    module = compiled(before, x)
    result = refit_module_weights(module, program(after, x), [x], verify_output=True, in_place=in_place)
    assert (result is module) is in_place
    assert isinstance(result._run_on_acc_0, EngineModule)
    assert_same(result(x), after(x))
    assert_same(module(x), (after if in_place else before)(x))
    assert_same(copy.deepcopy(result)(x), after(x))


@pytest.mark.parametrize("in_place", [False, True])
def test_weights_of_pytorch_blocks(in_place: bool) -> None:
    before, after = Mlp().eval(), Mlp().eval()
    x = torch.randn(4, 16)
    module = compiled(before, x, torch_executed_ops={"aten.layer_norm", "aten.native_layer_norm"})
    assert isinstance(module._run_on_gpu_0, TorchBlock)
    with torch.no_grad():
        after.norm.weight.mul_(3).add_(1)
        after.norm.bias.add_(2)
    result = refit_module_weights(module, program(after, x), [x], verify_output=True, in_place=in_place)
    assert [name for name, _ in result.named_children()] == ["_run_on_acc_0", "_run_on_gpu_0", "_run_on_acc_1"]
    assert_same(result(x), after(x))
    assert_same(module(x), (after if in_place else before)(x))


def test_dynamic_shapes_keep_their_ranges() -> None:
    before, after = Split().eval(), Split().eval()
    module = compiled(before, BATCH)
    batch = torch.export.Dim("rows", min=1, max=8)
    exported = torch.export.export(after, (torch.randn(3, 12),), dynamic_shapes=({0: batch},))
    result = refit_module_weights(module, exported)
    for rows in (1, 3, 8):
        x = torch.randn(rows, 12)
        assert_same(result(x), after(x))
        assert_same(module(x), before(x))
    with pytest.raises((RuntimeError, ValueError)):
        result(torch.randn(9, 12))
    assert list(result.meta["torch_tensorrt"]["ranges"].values()) == [(1, 4, 8)]


def test_optimization_profiles_stay() -> None:
    rows = torch_tensorrt.Input(
        profiles=[
            {"min_shape": (1, 16), "opt_shape": (1, 16), "max_shape": (2, 16)},
            {"min_shape": (4, 16), "opt_shape": (8, 16), "max_shape": (16, 16)},
        ]
    )
    after = Mlp().eval()
    module = compiled(Mlp(), rows)
    result = refit_module_weights(module, program(after, rows))
    kept = result.meta["torch_tensorrt"]["structure"].profiles
    assert [list(profile.values()) for profile in kept] == [[(1, 1, 2)], [(4, 8, 16)]]
    for count in (1, 16):
        assert_same(result(x := torch.randn(count, 16)), after(x))


def test_other_ranges_are_refused() -> None:
    module = compiled(Mlp(), torch_tensorrt.Input(min_shape=(1, 16), opt_shape=(4, 16), max_shape=(8, 16)))
    batch = torch.export.Dim("rows", min=1, max=6)
    exported = torch.export.export(Mlp().eval(), (torch.randn(3, 16),), dynamic_shapes=({0: batch},))
    with pytest.raises(ValueError, match=r"sizes \d to 6 of s\d+, but the compiled module takes 1 to 8"):
        refit_module_weights(module, exported)


class Normalized(nn.Module):
    """Batch normalization: its statistics are buffers that the program reads."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 5, 3)
        self.norm = nn.BatchNorm2d(5)
        self.register_buffer("offset", torch.arange(5.0).view(5, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.norm(self.conv(x))) + self.offset


def test_buffers() -> None:
    before, after = Normalized().eval(), Normalized().eval()
    with torch.no_grad():
        after.norm.running_mean.add_(0.5)
        after.norm.running_var.mul_(4)
        after.offset.neg_()
    x = torch.randn(2, 3, 8, 8)
    module = compiled(before, x)
    assert_same(refit_module_weights(module, program(after, x))(x), after(x))
    assert_same(module(x), before(x))


@pytest.mark.parametrize("in_place", [False, True])
def test_buffers_that_are_written(in_place: bool) -> None:
    before, after = Counter().eval(), Counter().eval()
    with torch.no_grad():
        after.calls.fill_(10)
    x = torch.randn(2, 8)
    module = compiled(before, x)
    module(x)
    exported = program(copy.deepcopy(after), x)
    result = refit_module_weights(module, exported, [x], verify_output=True, in_place=in_place)
    for _ in range(2):  # the verification counted in a copy
        assert_same(result(x), after(x))


def test_nested_keyword_inputs() -> None:
    class Scaled(Keywords):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.randn(3))

        def forward(self, pair: Any, *, mask: torch.Tensor, scale: float = 2.0) -> dict[str, object]:
            return super().forward((pair[0] * self.weight, pair[1]), mask=mask, scale=scale)

    args, kwargs = [(torch.randn(2, 3), torch.randn(2, 3))], {"mask": torch.rand(2, 3)}
    module = torch_tensorrt.compile(
        Scaled().eval(), arg_inputs=args, kwarg_inputs=kwargs, min_block_size=1, immutable_weights=False
    )
    after = Scaled().eval()
    exported = torch_tensorrt.dynamo.trace(after, arg_inputs=args, kwarg_inputs=kwargs)
    result = refit_module_weights(module, exported, args, kwargs, verify_output=True)
    assert_same(result(*args, **kwargs), after(*args, **kwargs))
    other = torch.export.export(after, (), {"pair": args[0], **kwargs})
    with pytest.raises(ValueError, match="other structures"):
        refit_module_weights(module, other)


class Operators(nn.Module):
    """A linear layer of any width, an operator on its result and a number."""

    def __init__(self, width: int, operator: Any, number: float = 2.0) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, width), nn.Linear(width, 4)
        self.operator, self.number = operator, number

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.operator(self.second(self.first(x)) * self.number)
        return result


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize(
    ("other", "shape", "message"),
    [
        (Operators(8, torch.relu), (3, 4), r"input 'x' is torch.float32\[2, 4\].*torch.float32\[3, 4\]"),
        (Operators(9, torch.relu), (2, 4), r"is a constant torch.float32\[8, 4\].*torch.float32\[9, 4\]"),
        (
            Operators(8, torch.tanh),
            (2, 4),
            r"'relu' is call_function aten.relu.*'tanh' is call_function aten.tanh",
        ),
        (Operators(8, torch.relu, 3.0), (2, 4), r"node 'mul' is .*2\.0.*3\.0"),
        (Operators(8, lambda x: torch.relu(x).neg()), (2, 4), r"node 'output' is .*'neg' is"),
        (Operators(8, torch.relu).double(), (2, 4), r"input 'x' is torch.float32.*torch.float64"),
    ],
)
def test_other_programs_are_refused(other: nn.Module, shape: tuple[int, ...], message: str, in_place: bool) -> None:
    model = Operators(8, torch.relu).eval()
    x = torch.randn(2, 4)
    module = compiled(model, x)
    dtype = next(other.parameters()).dtype
    with pytest.raises(ValueError, match=message):
        refit_module_weights(module, program(other, torch.randn(shape, dtype=dtype)), in_place=in_place)
    assert_same(module(x), model(x))


def test_results_that_differ_replace_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    before, after = Mlp().eval(), Mlp().eval()
    x = torch.randn(4, 16)
    module = compiled(before, x)
    exported, wrong = program(after, x), program(Mlp(), x)
    lower = _lowering.lower_in_ranges
    monkeypatch.setattr(_lowering, "lower_in_ranges", lambda _, *rest: lower(wrong, *rest))
    with pytest.raises(RuntimeError, match="output 0 differs"):
        refit_module_weights(module, exported, [x], verify_output=True, in_place=True)
    assert_same(module(x), before(x))


def test_what_cannot_be_refitted() -> None:
    x = torch.randn(4, 16)
    exported = program(Mlp(), x)
    with pytest.raises(ValueError, match="compile it with immutable_weights=False"):
        refit_module_weights(compiled(Mlp(), x, immutable_weights=True), exported)
    with pytest.raises(TypeError, match="ExportedProgram"):
        refit_module_weights(compiled(Mlp(), x), Mlp())  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="module of engines"):
        refit_module_weights(exported, exported)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="arg_inputs"):
        refit_module_weights(compiled(Mlp(), x), exported, verify_output=True)


@pytest.mark.parametrize("in_place", [False, True])
def test_torchscript_and_pickle_of_a_refitted_module(tmp_path: Path, in_place: bool) -> None:
    after = Split().eval()
    module = compiled(Split(), BATCH)
    result = refit_module_weights(module, program(after, BATCH), in_place=in_place)
    torch_tensorrt.save(result, tmp_path / "model.ts", output_format="torchscript")
    script = torch_tensorrt.load(tmp_path / "model.ts")
    again = refit_module_weights(pickle.loads(pickle.dumps(result)), program(after, BATCH))
    for rows in (1, 5):
        x = torch.randn(rows, 12)
        assert_same(script(x), after(x))
        assert_same(again(x), after(x))


@pytest.mark.skipif(not torch_tensorrt.ENABLED_FEATURES.tensorrt_rtx, reason="the TensorRT-RTX backend is not built")
def test_every_target_gets_the_new_weights() -> None:
    model = Mlp().eval()
    x = torch.randn(4, 16)
    module = compiled(Mlp(), x, targets=["openvino", "tensorrt_rtx"], device="cpu")
    result = refit_module_weights(module, program(model, x), [x], verify_output=True)
    builds = [parse_metadata(built._run_on_acc_0.engine.metadata())["targets"] for built in (module, result)]
    for targets in builds:
        assert [target["backend"] for target in targets] == ["openvino", "tensorrt_rtx", "aten"]
    before, after = ([section["crc32c"] for section in targets[1]["sections"]] for targets in builds)
    assert len(before) == len(after) == 1
    assert before != after


def test_engines_of_openvino_keep_their_weights() -> None:
    """Scripts that strip engines run on a CPU too."""
    before, after = Mlp().eval(), Mlp().eval()
    x = torch.randn(4, 16)
    module = compiled(before, x, strip_engine_weights=True, immutable_weights=True)
    assert_same(module(x), before(x))
    assert_same(refit_module_weights(module, program(before, x), [x], verify_output=True)(x), before(x))
    assert_same(refit_module_weights(module, program(after, x), [x], verify_output=True)(x), after(x))


@pytest.mark.skipif(not torch_tensorrt.ENABLED_FEATURES.tensorrt_rtx, reason="the TensorRT-RTX backend is not built")
@pytest.mark.skipif(torch.cuda.is_available(), reason="with a GPU they can be built")
def test_stripped_engines_of_tensorrt_rtx_need_a_gpu() -> None:
    settings: dict[str, Any] = {"targets": ["tensorrt_rtx"], "device": "cpu", "pass_through_build_failures": True}
    with pytest.raises(RuntimeError, match="without its weights, for which it needs a GPU: "):
        compiled(Mlp(), torch.randn(4, 16), strip_engine_weights=True, **settings)


def test_how_engines_are_built_for_it() -> None:
    def kind(**settings: Any) -> str:
        return make_settings(settings).refit

    assert kind() == "none"
    assert kind(immutable_weights=False) == "any"
    assert kind(immutable_weights=False, refit_identical_engine_weights=True) == "identical"
    assert kind(strip_engine_weights=True) == "identical"
    assert kind(strip_engine_weights=True, immutable_weights=False) == "any"
    with pytest.raises(TypeError, match="strip_engine_weights must be True or False"):
        make_settings({"strip_engine_weights": 1})


def test_keywords_of_older_scripts() -> None:
    with pytest.warns(DeprecationWarning, match="make_refittable"):
        settings = make_settings({"make_refittable": True})
    assert not settings.immutable_weights
    x, after = torch.randn(4, 16), Mlp().eval()
    with pytest.warns(DeprecationWarning, match="refit"):
        module = torch_tensorrt.compile(Mlp().eval(), arg_inputs=[x], min_block_size=1, refit=True)
    assert_same(refit_module_weights(module, program(after, x))(x), after(x))


def test_symbols_stand_for_one_name_each() -> None:
    symbols = refit_code._Symbols()
    assert symbols.same("float[s0, s1]", "float[s77, s5]")
    assert symbols.same("float[2*s0]", "float[2*s77]")
    assert not symbols.same("float[s0]", "float[s5]")
    assert not symbols.same("float[s3]", "float[s77]")
