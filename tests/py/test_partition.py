# SPDX-License-Identifier: Apache-2.0
"""What goes to engines and what stays in PyTorch."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from py_forms import in_form
from py_models import Counter, Keywords, Mlp, Split, Views, assert_same
from torch import nn
from torch.nn import functional as F

import torch_tensorrt
from torch_tensorrt._settings import make_settings
from torch_tensorrt.dynamo._compiler import program_device
from torch_tensorrt.dynamo._known import with_known_values
from torch_tensorrt.dynamo._lowering import lower
from torch_tensorrt.dynamo._partition import _elsewhere
from torch_tensorrt.runtime import EngineModule, TorchBlock

BATCH = torch_tensorrt.Input(min_shape=(1, 12), opt_shape=(4, 12), max_shape=(8, 12))


def compiled(model: nn.Module, *inputs: Any, **settings: Any) -> Any:
    return torch_tensorrt.compile(model.eval(), arg_inputs=list(inputs), **{"min_block_size": 1, **settings})


def kinds(module: nn.Module) -> list[str]:
    return [name.rpartition("_")[0] for name, _ in module.named_children()]


def test_whole_model_becomes_one_engine() -> None:
    model = Mlp().eval()
    module = compiled(model, torch.rand(4, 16))
    assert [name for name, _ in module.named_children()] == ["_run_on_acc_0"]
    assert isinstance(module._run_on_acc_0, EngineModule)
    x = torch.rand(4, 16)
    assert_same(module(x), model(x))


def test_an_unsupported_op_in_the_middle() -> None:
    model = Split().eval()
    module = compiled(model, BATCH)
    assert kinds(module) == ["_run_on_acc", "_run_on_gpu", "_run_on_acc"]
    assert isinstance(module._run_on_gpu_0, TorchBlock)
    for batch in (1, 4, 8):
        x = torch.rand(batch, 12)
        assert_same(module(x), model(x))
    report = module.meta["torch_tensorrt"]["report"]
    assert [(item.target, item.reason) for item in report.refusals] == [("aten.cummax.default", "NO_CONVERTER")]
    assert "py_models.py" in report.refusals[0].source


def test_executed_ops_stay_in_pytorch() -> None:
    model = Mlp().eval()
    module = compiled(model, torch.rand(4, 16), torch_executed_ops={"aten.gelu"})
    assert kinds(module) == ["_run_on_acc", "_run_on_gpu", "_run_on_acc"]
    reasons = {item.target: item.reason for item in module.meta["torch_tensorrt"]["report"].refusals}
    assert reasons == {"aten.gelu.default": "USER"}
    x = torch.rand(4, 16)
    assert_same(module(x), model(x))


def test_small_blocks_stay_in_pytorch() -> None:
    model = Split().eval()
    blocks = compiled(model, BATCH).meta["torch_tensorrt"]["report"].blocks
    first, last = (len(block.operators) for block in blocks if block.engine)
    assert first != last
    module = compiled(model, BATCH, min_block_size=max(first, last))
    report = module.meta["torch_tensorrt"]["report"]
    assert sum(block.engine for block in report.blocks) == 1
    assert "BLOCK_SIZE" in {item.reason for item in report.refusals}
    x = torch.rand(3, 12)
    assert_same(module(x), model(x))


def test_too_little_to_compile_returns_the_original_graph(caplog: pytest.LogCaptureFixture) -> None:
    model = nn.ReLU().eval()
    with caplog.at_level(logging.WARNING, logger="torch_tensorrt"):
        module = torch_tensorrt.compile(model, inputs=[torch.rand(3)])
    assert "min_block_size=5" in caplog.text
    assert not any(isinstance(child, EngineModule) for child in module.modules())
    x = torch.randn(3)
    assert_same(module(x), model(x))


def test_full_compilation_leaves_assertions_beside_the_engine() -> None:
    class Promises(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            torch._check(x.shape[0] % 3 == 0)
            return torch.relu(x * 2) + 1

    program = torch.export.export(
        Promises(),
        (torch.rand(9, 4),),
        dynamic_shapes=({0: torch.export.Dim("n", min=3, max=60)},),
        prefer_deferred_runtime_asserts_over_guards=True,
    )
    module = torch_tensorrt.dynamo.compile(program, require_full_compilation=True)
    assert len(torch_tensorrt.runtime.engine_modules(module)) == 1
    x = torch.rand(12, 4)
    assert_same(module(x), Promises()(x))
    with pytest.raises(RuntimeError, match="Runtime assertion failed"):
        module(x[:10])
    with pytest.raises(AssertionError, match="asserts something of its sizes"):
        torch_tensorrt.dynamo.convert_exported_program_to_serialized_trt_engine(program)


def test_require_full_compilation() -> None:
    with pytest.raises(AssertionError, match=r"cummax.*NO_CONVERTER"):
        compiled(Split(), BATCH, require_full_compilation=True)
    assert kinds(compiled(Mlp(), torch.rand(4, 16), require_full_compilation=True)) == ["_run_on_acc"]


def test_full_compilation_blames_no_assertion() -> None:
    def scaled(x: torch.Tensor, n: torch.Tensor) -> torch.Tensor:
        factor: Any = n.item()
        torch._check(factor < 5)
        return torch.cummax(x * factor, 0).values

    with pytest.raises(AssertionError, match="cummax") as error:
        compiled(Applied(scaled), torch.rand(3), torch.tensor(3), require_full_compilation=True)
    assert "_assert_scalar" not in str(error.value)


def test_dryrun(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "report.json"
    model = Split().eval()
    module = compiled(model, BATCH, dryrun=str(path))
    assert not any(isinstance(child, EngineModule) for child in module.modules())
    text = capsys.readouterr().out
    assert "NO_CONVERTER" in text
    assert "2 engines" in text
    report = json.loads(path.read_text())
    assert report["targets"] == ["openvino"]
    assert [item["reason"] for item in report["refusals"]] == ["NO_CONVERTER"]
    assert report["operators"]["total"] - report["operators"]["in_engines"] == 1
    assert [block["engine"] for block in report["blocks"]] == [True, False, True]
    x = torch.rand(2, 12)
    assert_same(module(x), model(x))


def test_a_buffer_that_the_model_writes() -> None:
    model, reference = Counter().eval(), Counter().eval()
    reference.load_state_dict(model.state_dict())
    module = compiled(model, torch.rand(2, 8))
    for _ in range(3):
        x = torch.rand(2, 8)
        assert_same(module(x), reference(x))
    assert model.calls.item() == reference.calls.item() == 3


def test_results_alias_as_in_eager() -> None:
    module = compiled(Views().eval(), torch.rand(3, 6))
    x = torch.rand(3, 6)
    same, flat, y, transposed = module(x)
    assert same is x
    assert flat.data_ptr() == x.data_ptr()
    assert transposed.data_ptr() == y.data_ptr()
    x[0, 0] = 5
    y[0, 1] = 7
    assert flat[0] == 5
    assert transposed[1, 0] == 7
    reasons = {item.reason for item in module.meta["torch_tensorrt"]["report"].refusals}
    assert reasons == {"ALIASING"}


def test_nested_inputs_keywords_and_results() -> None:
    model = Keywords().eval()
    pair = (torch.rand(4, 3), torch.rand(4, 3))
    module = torch_tensorrt.compile(model, arg_inputs=[pair], kwarg_inputs={"mask": torch.ones(3)}, min_block_size=1)
    pair = (torch.rand(4, 3), torch.rand(4, 3))
    mask = torch.rand(3)
    assert_same(module(pair, mask=mask), model(pair, mask=mask))


def test_a_constant_argument_is_checked() -> None:
    class Scaled(nn.Module):
        def forward(self, x: torch.Tensor, scale: float = 1.0) -> torch.Tensor:
            return torch.relu(x) * scale + 1

    module = torch_tensorrt.compile(Scaled().eval(), inputs=[torch.rand(3), 2.0], min_block_size=1)
    x = torch.rand(3)
    assert_same(module(x), torch.relu(x) * 2 + 1)
    assert_same(module(x, 2.0), torch.relu(x) * 2 + 1)
    with pytest.raises(ValueError, match=r"compiled for the value 2\.0, got 3\.0"):
        module(x, 3.0)


class KeywordFlag(nn.Module):
    def forward(self, x: torch.Tensor, *, y: torch.Tensor, flag: bool = True, z: torch.Tensor) -> torch.Tensor:
        return torch.relu(x) + (y if flag else -y) + z


@pytest.mark.parametrize("order", ["flag y z", "y flag z", "z y flag"])
def test_constants_among_keyword_tensors(order: str, tmp_path: Path) -> None:
    x, tensors = torch.rand(3), {"y": torch.rand(3), "z": torch.rand(3)}
    given: dict[str, Any] = {**tensors, "flag": False}
    program = torch.export.export(KeywordFlag(), (x,), {name: given[name] for name in order.split()})
    module = torch_tensorrt.dynamo.compile(program, min_block_size=1)
    expected = KeywordFlag()(x, **given)
    assert_same(module(x, **given), expected)
    torch_tensorrt.save(module, tmp_path / "model.pt2")
    assert_same(
        torch_tensorrt.load(tmp_path / "model.pt2").module()(x, **{n: given[n] for n in order.split()}), expected
    )
    torch_tensorrt.save(module, tmp_path / "model.ts", output_format="torchscript")
    assert_same(torch_tensorrt.load(tmp_path / "model.ts")(x=x, **tensors), expected)
    with pytest.raises(ValueError, match="compiled for the value False, got True"):
        module(x, **{**given, "flag": True})
    with pytest.raises(TypeError, match="missing 1 required"):
        module(x, y=tensors["y"], flag=False)


def _split_by_item(x: torch.Tensor, counts: torch.Tensor) -> Any:
    first = counts.sum().item()
    torch._check(first <= 8)
    p, q = torch.split(x * 2, [first, 8 - first])
    return p.sum(0), q * 3


def _split_by_list(x: torch.Tensor, counts: torch.Tensor) -> Any:
    first, second = (counts * 1)[:2].tolist()
    torch._check(first >= 0)
    torch._check(second >= 0)
    torch._check(first + second == 8)
    p, q = torch.split(x * 2, [first, second])
    return p.sum(0) + 1, q * 3


def _narrow(x: torch.Tensor, counts: torch.Tensor) -> Any:
    first = counts[0].item()
    torch._check(first >= 0)
    torch._check(first <= 8)
    return torch.narrow(x * 2, 0, 0, first) + 1, torch.full((first,), 2.0)


@pytest.mark.parametrize("falls_back", [False, True])
@pytest.mark.parametrize("function", [_split_by_item, _split_by_list, _narrow])
def test_sizes_from_data_are_known_where_they_are_used(function: Any, falls_back: bool) -> None:
    class Model(nn.Module):
        def forward(self, x: torch.Tensor, counts: torch.Tensor) -> Any:
            return function(x, counts)

    x, model = torch.randn(8, 3), Model()
    program = torch.export.export(model, (x, torch.tensor([3, 5])))
    module = torch_tensorrt.dynamo.compile(program, min_block_size=1, fallback_data_dependent_ops=falls_back)
    for counts in ([3, 5], [0, 8], [1, 7], [8, 0]):
        expected = model(x, torch.tensor(counts))
        assert_same(module(x, torch.tensor(counts)), expected)


class Parts(nn.Module):
    """A block of PyTorch's that makes parts (of cumulative maxima) between those that it takes from an engine: fx calls
    all of them `getitem`."""

    def __init__(self, parts: int) -> None:
        super().__init__()
        self.parts = parts
        self.linear = nn.Linear(6, 6 * parts)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y, *others = self.linear(x).reshape(x.shape[0], self.parts, 6).unbind(1)
        for part in others:
            y = torch.cummax(y, 0).values - torch.cummin(part, 1).values
        return y


FORMS = {"exported_program": "m.pt2", "torchscript": "m.ts"}


def forms_of(module: Any, folder: Path) -> list[Any]:
    for output_format, name in FORMS.items():
        torch_tensorrt.save(module, folder / name, output_format=output_format)
    return [module, torch_tensorrt.load(folder / "m.pt2").module(), torch_tensorrt.load(folder / "m.ts")]


@pytest.mark.parametrize("parts", [2, 3, 4])
def test_parts_of_blocks_that_have_parts(parts: int, tmp_path: Path) -> None:
    model, x = Parts(parts).eval(), torch.randn(5, 6)
    module = compiled(model, x, torch_executed_ops={"torch.ops.aten.sub.Tensor"})
    assert kinds(module) == ["_run_on_acc", "_run_on_gpu"]
    with torch.no_grad():
        for form in forms_of(module, tmp_path):
            assert_same(form(x), model(x))


NAMES = [("input", "input_1"), ("sum", "sum_1"), ("sum_1", "sum"), ("len", "len_2"), ("x_1", "x"), ("getitem", "relu")]


@pytest.mark.parametrize("compiled", [True, False], ids=["engines", "uncompiled"])
@pytest.mark.parametrize("keywords", [False, True])
@pytest.mark.parametrize("names", NAMES, ids=" ".join)
def test_names_of_inputs(names: tuple[str, str], keywords: bool, compiled: bool, tmp_path: Path) -> None:
    """fx renames inputs that are called like a builtin function, at times to the name of another."""
    source = """def forward(self, {0}, {1}):
        return torch.relu({0}) * 2 - {1}, torch.cummax({1}, 0).values + {0}"""
    scope: dict[str, Any] = {"torch": torch}
    exec(source.format(*names), scope)
    model = type("Named", (nn.Module,), {"forward": scope["forward"]})().eval()
    x, y = torch.randn(4, 3), torch.randn(4, 3)
    args, kwargs = ((), dict(zip(names, (x, y), strict=True))) if keywords else ((x, y), {})
    program = torch.export.export(model, args, kwargs)
    module = torch_tensorrt.dynamo.compile(program, min_block_size=1 if compiled else 100)
    for form in forms_of(module, tmp_path):
        assert_same(form(*args, **kwargs), model(x, y))


class Layer(nn.Module):
    """Its weights go to a block of PyTorch's."""

    def __init__(self, **weights: int) -> None:
        super().__init__()
        for name, value in weights.items():
            self.register_parameter(name, nn.Parameter(torch.full((4,), float(value))))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for weight in self.parameters():
            x = torch.cummax(x, 0).values + torch.cummin(weight, 0).values
        return x


class Nested(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.a_b = Layer(b_c=1, c_=3), Layer(c=2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.a_b(self.a(torch.relu(x) * 2))) + 1


@pytest.mark.parametrize("compiled_in_part", [True, False], ids=["engines", "uncompiled"])
@pytest.mark.parametrize("model", [Nested(), nn.Sequential(nn.ReLU(), Layer(w=1), nn.ReLU(), Layer(w=5))], ids=str)
def test_names_of_weights(model: nn.Module, compiled_in_part: bool, tmp_path: Path) -> None:
    """One that differs from another in a dot only, and one that begins with a digit."""
    x = torch.randn(3, 4)
    module = compiled(model, x, min_block_size=1 if compiled_in_part else 100)
    with torch.no_grad():
        for form in forms_of(module, tmp_path):
            assert_same(form(x), model(x))


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_long_recurrent_layers_stay_whole(kind: Any, tmp_path: Path) -> None:
    """Taken apart, they would take minutes to compile; short ones are in engines."""
    for steps, whole in ((4, False), (200, True)):
        model = nn.Sequential(nn.Linear(6, 6), kind(6, 5, batch_first=True, bidirectional=True)).eval()
        x = torch.randn(3, steps, 6)
        module = compiled(model, x)
        assert ("_run_on_gpu" in kinds(module)) == whole
        with torch.no_grad():
            for form in forms_of(module, tmp_path):
                assert_same(form(x), model(x))


class Applied(nn.Module):
    def __init__(self, function: Any) -> None:
        super().__init__()
        self.function = function

    def forward(self, *inputs: torch.Tensor) -> Any:
        return self.function(*inputs)


class _UNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.down, self.up = nn.Conv2d(3, 4, 3, padding=1), nn.ConvTranspose2d(4, 4, 2, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.relu(self.down(x))
        return torch.cat([y, self.up(F.max_pool2d(y, 2))], 1) * 2


MULTIPLES: dict[str, tuple[nn.Module, Any, Any]] = {
    "u-net": (_UNet(), lambda n: (torch.rand(1, 3, n, n + 4),), lambda h, w: ({2: 2 * h, 3: 2 * w},)),
    "reshape": (
        Applied(lambda x: x.reshape(-1, 2, 3).sum(1) * 2),
        lambda n: (torch.rand(n, 3),),
        lambda h, w: (({0: 2 * h},),),
    ),
    "elementwise": (Applied(lambda x: x * 2), lambda n: (torch.rand(n, 3),), lambda h, w: (({0: 4 * h},),)),
    "halves": (
        Applied(lambda x: (x[::2] * 2 + x[1::2]).relu() + x.sum(0)),
        lambda n: (torch.rand(n, 3),),
        lambda h, w: (({0: 2 * h},),),
    ),
    "one more": (
        Applied(lambda x, y: (x * 2)[1:] + y),
        lambda n: (torch.rand(n + 1, 3), torch.rand(n, 3)),
        lambda h, w: (({0: h + 1}, {0: h}),),
    ),
}


@pytest.mark.parametrize("low", [0, 2])
@pytest.mark.parametrize("name", MULTIPLES)
def test_sizes_that_are_multiples(name: str, low: int) -> None:
    """No dimension of the inputs is the symbol itself, which engines want to be given."""
    model, make, dims = MULTIPLES[name]
    shapes = dims(*(torch.export.Dim(dim, min=low, max=64) for dim in "hw"))
    program = torch.export.export(model, make(12), dynamic_shapes=shapes)
    module = torch_tensorrt.dynamo.compile(program, min_block_size=1)
    for size in (8, 12, 20):
        inputs = make(size)
        with torch.no_grad():
            assert_same(module(*inputs), model(*inputs))


def test_exporting_for_another_rank_names_the_input() -> None:
    module = compiled(Mlp(), torch.rand(4, 16))
    with pytest.raises(Exception, match="has 2 dimensions, got 3"):
        torch.export.export(module, (torch.rand(2, 4, 16),))


def test_sizes_as_results_and_as_values() -> None:
    class Sizes(nn.Module):
        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, int]:
            steps = torch.arange(x.shape[0], dtype=torch.float32)
            return torch.relu(x) + steps.unsqueeze(1) / x.shape[0], x.shape[0] * 2

    model = Sizes().eval()
    module = compiled(model, BATCH)
    for batch in (1, 5, 8):
        x = torch.rand(batch, 12)
        assert_same(module(x), model(x))


def test_inputs_are_required_once() -> None:
    with pytest.raises(AssertionError, match="should not be used at the same time"):
        torch_tensorrt.compile(nn.ReLU(), inputs=[torch.rand(2)], arg_inputs=[torch.rand(2)])
    with pytest.raises(AssertionError, match="should not both be None"):
        torch_tensorrt.compile(nn.ReLU())


@pytest.mark.parametrize("ir", ["ts", "torchscript", "fx"])
def test_frontends_of_the_past(ir: str) -> None:
    with pytest.raises(ValueError, match="is not available"):
        torch_tensorrt.compile(nn.ReLU(), ir=ir, inputs=[torch.rand(2)])


def test_unknown_ir() -> None:
    with pytest.raises(ValueError, match="Unknown ir was requested"):
        torch_tensorrt.compile(nn.ReLU(), ir="onnx", inputs=[torch.rand(2)])


class WithNumber(nn.Module):
    """A number that is written in the model as a tensor, which is on the CPU whatever the inputs' device."""

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.relu(x) * 2, torch.tensor(2.5) + x


def test_programs_run_where_their_inputs_are() -> None:
    program = torch.export.export(WithNumber(), (torch.empty(3, 4, device="meta"),), strict=False)
    assert program_device(program) == torch.device("meta")
    program = torch.export.export(Mlp().to("meta"), (torch.empty(4, 16, device="meta"),), strict=False)
    assert program_device(program) == torch.device("meta")


class WithNumbers(nn.Module):
    """What becomes of such numbers before a tensor meets them, as DeBERTa's scales do."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("scale", torch.tensor(3.0))
        self.register_buffer("calls", torch.tensor(1.0))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        root = torch.sqrt(torch.tensor(64.0) * 3).to(x.dtype)
        self.calls.add_(1.0)
        chance = torch.rand(())
        wide = torch.tensor([1.0, 2.0]).sum()
        return x / root, x * (self.scale + 1), x + self.calls, x - chance, x - wide, root, root.expand(2)


def lowered_elsewhere(model: nn.Module, x: torch.Tensor) -> Any:
    """The device "meta" stands for a GPU."""
    exported = torch.export.export(model, (x,), strict=False)
    settings = make_settings({"min_block_size": 1, "device": torch_tensorrt.Device("cpu")})
    device = torch.device("meta")
    program, _ = lower(exported, settings, None)
    with_known_values(program, device)
    return program, _elsewhere(program, device)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32], ids=str)
def test_numbers_elsewhere_are_constants(dtype: torch.dtype) -> None:
    program, refusals = lowered_elsewhere(WithNumbers(), torch.empty(3, 4, device="meta", dtype=dtype))
    root, scale, calls, chance, wide, returned, expanded = next(
        node.args[0] for node in program.module.graph.nodes if node.op == "output"
    )[:7]
    known = {root: torch.sqrt(torch.tensor(64.0) * 3).to(dtype), scale: torch.tensor(4.0), wide: torch.tensor(3.0)}
    for node, expected in known.items():
        assert program.is_constant(node.args[1])
        assert torch.equal(program.constant(node.args[1]), expected)
        assert node.name not in refusals
    # Written or drawn: in PyTorch. What is returned is computed anew in every call.
    for node in (calls, chance):
        assert node.name in refusals
    for node in (returned, expanded):
        assert node.op == "call_function"
        assert node.name in refusals


def test_tensors_elsewhere_stay_in_pytorch() -> None:
    program, refusals = lowered_elsewhere(WithNumbers(), torch.empty(3, 4, device="meta"))
    assert all("a tensor on cpu" in item.message for item in refusals.values())
    targets = {node.name: str(node.target) for node in program.compute_nodes()}
    stays = {targets[name].removeprefix("aten.").partition(".")[0] for name in refusals}
    assert "rand" in stays
    assert "div" not in stays


class RelativePositions(nn.Module):
    """T5's: the rows of a table by the logarithm of distances, of which no range is known."""

    def __init__(self, rows: int = 8) -> None:
        super().__init__()
        self.table = nn.Embedding(rows, 3)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        positions = torch.arange(x.shape[1])
        distances = (positions[None] - positions[:, None]).abs()
        large = 4 + (torch.log(distances.float() / 4) / 0.7).to(torch.long)
        rows = torch.where(distances < 4, distances, torch.min(large, torch.full_like(large, 7)))
        return self.table(rows) + x[:, None, :, None], self.table.weight[rows[0]], x[:, rows[0, :5]], rows


@pytest.mark.parametrize("form", ["module", "exported_program", "torchscript", "aot_inductor"])
def test_indices_that_are_known(form: str, tmp_path: Path) -> None:
    model = RelativePositions().eval()
    x = torch.randn(2, 20)
    module = compiled(model, x)
    refused = {item.target for item in module.meta["torch_tensorrt"]["report"].refusals}
    assert not refused & {"aten.embedding.default", "aten.index.Tensor"}, refused
    run = in_form(module, form, tmp_path)
    for _ in range(2):
        x = torch.randn(2, 20)
        results = run(x)
        assert_same(results, model(x))
        results[-1].fill_(100)  # the caller's own
    with torch.no_grad():
        program, _ = lower(torch.export.export(model, (x,)), make_settings({"min_block_size": 1}), None)
    computed = {node.target: node for node in program.compute_nodes()}
    assert program.is_constant(computed[torch.ops.aten.index.Tensor].args[1][1])
    assert torch.ops.aten.embedding.default not in computed  # the rows themselves


def test_known_indices_that_are_out_of_range() -> None:
    model = RelativePositions(6).eval()
    module = compiled(model, torch.randn(2, 5))
    with pytest.raises(IndexError):
        compiled(model, torch.randn(2, 20))(torch.randn(2, 20))
    x = torch.randn(2, 5)
    assert_same(module(x), model(x))
