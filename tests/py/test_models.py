# SPDX-License-Identifier: Apache-2.0
"""Architectures as their libraries write them, small and with random weights."""

from __future__ import annotations

import copy
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from py_models import Split, assert_same
from torch import nn

import torch_tensorrt
from torch_tensorrt import Input

transformers = pytest.importorskip("transformers")
torchvision = pytest.importorskip("torchvision")


def bert() -> nn.Module:
    config = transformers.BertConfig(
        num_hidden_layers=2, hidden_size=32, num_attention_heads=4, intermediate_size=64, vocab_size=100
    )
    return transformers.BertModel(config).eval()  # type: ignore[no-any-return]


def gpt2() -> nn.Module:
    config = transformers.GPT2Config(
        n_layer=2, n_embd=32, n_head=4, vocab_size=100, use_cache=False, bos_token_id=0, eos_token_id=0
    )
    return transformers.GPT2LMHeadModel(config).eval()  # type: ignore[no-any-return]


def tokens(count: int) -> list[Input]:
    return [Input(min_shape=(1, 8), opt_shape=(4, 16), max_shape=(8, 32), dtype=torch.int64) for _ in range(count)]


def sentences(batch: int, length: int) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randint(0, 100, (batch, length)), (torch.rand(batch, length) > 0.2).long()


def close(actual: Any, expected: Any) -> None:
    """The result type, and float32 within what sums of this length may differ."""
    assert type(actual) is type(expected)
    for ours, theirs in zip(actual.values(), expected.values(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_bert_is_one_engine_and_returns_its_own_output_class() -> None:
    model = bert()
    module = torch_tensorrt.compile(model, arg_inputs=tokens(2))
    assert [name for name, _ in module.named_children()] == ["_run_on_acc_0"]
    with torch.no_grad():
        for batch, length in ((1, 8), (3, 20), (8, 32)):
            inputs = sentences(batch, length)
            close(module(*inputs), model(*inputs))


def test_bert_by_keywords() -> None:
    model = bert()
    ids, mask = tokens(2)
    module = torch_tensorrt.compile(model, kwarg_inputs={"input_ids": ids, "attention_mask": mask})
    ids, mask = sentences(5, 9)
    with torch.no_grad():
        close(module(input_ids=ids, attention_mask=mask), model(input_ids=ids, attention_mask=mask))


def test_one_batch_size_for_all_inputs() -> None:
    module = torch_tensorrt.compile(bert(), arg_inputs=tokens(2))
    assert len(module.meta["torch_tensorrt"]["ranges"]) == 2
    ids, _ = sentences(2, 8)
    _, mask = sentences(3, 8)
    with pytest.raises(ValueError, match="attention_mask"):
        module(ids, mask)


def test_independent_first_dimensions_are_named_apart() -> None:
    class Outer(nn.Module):
        def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            return torch.relu(x) @ torch.relu(y).t() + 1

    def described(name: str) -> Input:
        return Input(min_shape=(1, 6), opt_shape=(2, 6), max_shape=(4, 6), shared_dims={0: name})

    model = Outer().eval()
    module = torch_tensorrt.compile(model, arg_inputs=[described("rows"), described("columns")], min_block_size=1)
    x, y = torch.rand(1, 6), torch.rand(4, 6)
    assert_same(module(x, y), model(x, y))


def test_gpt2_is_one_engine() -> None:
    model = gpt2()
    module = torch_tensorrt.compile(model, arg_inputs=tokens(1))
    assert [name for name, _ in module.named_children()] == ["_run_on_acc_0"]
    with torch.no_grad():
        for batch, length in ((1, 8), (3, 20)):
            ids, _ = sentences(batch, length)
            close(module(ids), model(ids))


class Step(nn.Module):
    """One step of a Llama with a static cache, whose tensors are buffers here and the cache's own, too."""

    def __init__(self) -> None:
        super().__init__()
        from transformers.integrations.executorch import TorchExportableModuleWithStaticCache

        config = transformers.LlamaConfig(
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            vocab_size=50,
            max_position_embeddings=16,
        )
        model = transformers.LlamaForCausalLM(config).eval()
        cache = {"batch_size": 1, "max_cache_len": 8, "device": "cpu"}
        model.generation_config = transformers.GenerationConfig(
            use_cache=True, cache_implementation="static", max_length=8, cache_config=cache
        )
        self.step = TorchExportableModuleWithStaticCache(model, 1, 8, torch.device("cpu"))

    def forward(self, ids: torch.Tensor, position: torch.Tensor) -> Any:
        return self.step(input_ids=ids, cache_position=position)


def test_a_step_with_a_static_cache(tmp_path: Path) -> None:
    model = Step().eval()
    reference = copy.deepcopy(model)
    module = torch_tensorrt.compile(model, arg_inputs=[torch.tensor([[5]]), torch.tensor([0])])
    torch_tensorrt.save(module, tmp_path / "model.ts", output_format="torchscript")
    torch_tensorrt.save(module, tmp_path / "model.pt2")
    forms = [module, torch_tensorrt.load(tmp_path / "model.ts"), torch_tensorrt.load(tmp_path / "model.pt2").module()]
    with torch.no_grad():
        for position, token in enumerate((5, 9, 3, 3)):
            ids, at = torch.tensor([[token]]), torch.tensor([position])
            expected = reference(ids, at)
            for form in forms:
                torch.testing.assert_close(form(ids, at), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["mobilenet_v3_small", "resnet18"])
def test_image_classifiers_are_one_engine(name: str) -> None:
    model = getattr(torchvision.models, name)().eval()
    image = Input(min_shape=(1, 3, 64, 64), opt_shape=(2, 3, 64, 64), max_shape=(4, 3, 64, 64))
    module = torch_tensorrt.compile(model, arg_inputs=[image])
    assert [name for name, _ in module.named_children()] == ["_run_on_acc_0"]
    with torch.no_grad():
        for batch in (1, 3):
            x = torch.rand(batch, 3, 64, 64)
            torch.testing.assert_close(module(x), model(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_any_partition_gives_the_same_answer(seed: int, tmp_path: Path) -> None:
    """Random sets of operators stay in PyTorch; the result, its TorchScript and its exported form agree with eager."""
    model = bert()
    inputs = tokens(2)
    program = torch_tensorrt.dynamo.trace(model, arg_inputs=inputs)
    report = torch_tensorrt.dynamo.compile(program, min_block_size=1).meta["torch_tensorrt"]["report"]
    operators = sorted({name for block in report.blocks for name in block.operators})
    choice = random.Random(seed)
    executed = set(choice.sample(operators, choice.randint(1, len(operators) // 2)))
    module = torch_tensorrt.dynamo.compile(
        program, arg_inputs=inputs, min_block_size=choice.choice([1, 2, 5]), torch_executed_ops=executed
    )
    torch_tensorrt.save(module, tmp_path / "model.ts", output_format="torchscript")
    torch_tensorrt.save(module, tmp_path / "model.pt2")
    scripted, exported = (torch_tensorrt.load(tmp_path / name) for name in ("model.ts", "model.pt2"))
    with torch.no_grad():
        for batch, length in ((1, 8), (5, 30)):
            ids, mask = sentences(batch, length)
            expected = model(ids, mask)
            close(module(ids, mask), expected)
            close(exported.module()(ids, mask), expected)
            for ours, theirs in zip(scripted(ids, mask).values(), expected.values(), strict=True):
                torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.skipif(not torch_tensorrt.ENABLED_FEATURES.tensorrt_rtx, reason="the TensorRT-RTX backend is not built")
def test_one_artifact_for_two_targets() -> None:
    model = Split().eval()
    batch = Input(min_shape=(1, 12), opt_shape=(4, 12), max_shape=(8, 12))
    module = torch_tensorrt.compile(
        model,
        arg_inputs=[batch],
        targets=["openvino", "tensorrt_rtx"],
        min_block_size=1,
        pass_through_build_failures=True,
    )
    x = torch.rand(3, 12)
    assert_same(module(x), model(x))
    assert "targets: openvino, tensorrt_rtx" in repr(module._run_on_acc_0.engine)


class Logits(nn.Module):
    """A transformers model as tensors in, one tensor out."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        return self.model(*inputs)[0]  # type: ignore[no-any-return]


def vision(name: str, size: int, **options: Any) -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    model = getattr(torchvision.models, name)(**options).eval()
    for layer in model.modules():
        if isinstance(layer, torchvision.models.resnet.Bottleneck):  # or activations double from block to block
            layer.bn3.weight.data.fill_(0.2)
        elif isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.running_var, 0.3, 1)
            nn.init.normal_(layer.running_mean, std=0.1)
        elif isinstance(layer, nn.Linear):  # heads that start as zeros would agree with anything
            nn.init.normal_(layer.weight, std=0.05)
    return model, (torch.rand(1, 3, size, size),)


FULL_SIZE = {
    "bert": lambda: (Logits(bert()), sentences(2, 16)),
    "gpt2": lambda: (Logits(gpt2()), sentences(2, 16)[:1]),
    "resnet50": lambda: vision("resnet50", 96),
    "mobilenet_v3_large": lambda: vision("mobilenet_v3_large", 96),
    "vit_b_16": lambda: vision("vit_b_16", 64, image_size=64),
}


def batches(inputs: tuple[torch.Tensor, ...]) -> tuple[list[Input], list[tuple[torch.Tensor, ...]]]:
    """Dynamic descriptions of the model's inputs, and inputs of two sizes."""
    if not inputs[0].is_floating_point():
        count = len(inputs)
        return tokens(count), [sentences(batch, length)[:count] for batch, length in ((1, 8), (3, 20))]
    shape, dtype = inputs[0].shape[1:], inputs[0].dtype
    image = Input(min_shape=(1, *shape), opt_shape=(2, *shape), max_shape=(4, *shape), dtype=dtype)
    return [image], [(torch.rand(batch, *shape).to(dtype),) for batch in (1, 3)]


@pytest.mark.parametrize("shapes", ["static", "dynamic"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("name", FULL_SIZE)
def test_one_engine_in_every_precision(name: str, dtype: torch.dtype, shapes: str) -> None:
    """Nothing is left to PyTorch; as close to the same network in float64 as eager is, or closer."""
    torch.manual_seed(0)
    model, inputs = FULL_SIZE[name]()
    model = model.to(dtype).eval()
    inputs = tuple(x.to(dtype) if x.is_floating_point() else x for x in inputs)
    described, examples = batches(inputs) if shapes == "dynamic" else (list(inputs), [inputs])
    module = torch_tensorrt.compile(model, arg_inputs=described, min_block_size=1)
    report = module.meta["torch_tensorrt"]["report"]
    assert not report.refusals
    assert [block.engine for block in report.blocks] == [True]
    with torch.no_grad():
        results = [(module(*example), model(*example)) for example in examples]
        model.double()
        for example, (ours, eager) in zip(examples, results, strict=True):
            exact = model(*(x.double() if x.is_floating_point() else x for x in example))
            assert (ours.dtype, ours.shape) == (eager.dtype, eager.shape)
            size = exact.abs().max().item()
            error, eager_error = ((y.double() - exact).abs().max().item() / size for y in (ours, eager))
            assert size > 0
            assert error <= 2 * eager_error + 4 * torch.finfo(dtype).eps, (error, eager_error)
