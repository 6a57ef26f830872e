# SPDX-License-Identifier: Apache-2.0
"""Small models of known architectures on TensorRT's engines, against eager PyTorch on the same GPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from torch_tensorrt import Input

from .compiled import Compiled, compile_for

transformers = pytest.importorskip("transformers")
torchvision = pytest.importorskip("torchvision")


class First(nn.Module):
    """The first result of a language model, without the dictionary around it."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return self.model(input_ids=ids, attention_mask=mask)[0]  # type: ignore[no-any-return]


def bert() -> nn.Module:
    config = transformers.BertConfig(
        num_hidden_layers=2, hidden_size=64, num_attention_heads=4, intermediate_size=128, vocab_size=100
    )
    return First(transformers.BertModel(config, add_pooling_layer=False))


def gpt2() -> nn.Module:
    config = transformers.GPT2Config(n_layer=2, n_embd=64, n_head=4, vocab_size=100, use_cache=False)
    return First(transformers.GPT2LMHeadModel(config))


def vit() -> nn.Module:
    model = torchvision.models.VisionTransformer(
        image_size=32, patch_size=8, num_layers=2, num_heads=4, hidden_dim=64, mlp_dim=128, num_classes=10
    )
    nn.init.normal_(model.heads.head.weight, std=0.02)  # it starts as zeros, which would be equal to anything
    return model  # type: ignore[no-any-return]


def resnet() -> nn.Module:
    """ResNet-50's blocks, one a stage."""
    return torchvision.models.ResNet(torchvision.models.resnet.Bottleneck, [1, 1, 1, 1])  # type: ignore[no-any-return]


def mobilenet() -> nn.Module:
    return torchvision.models.mobilenet_v3_small()  # type: ignore[no-any-return]


def check(compiled: Compiled, *inputs: torch.Tensor) -> None:
    """Within what a float of the result's kind loses over some tens of layers, measured at the largest value."""
    with torch.no_grad():
        actual, expected = compiled.module(*inputs), compiled.eager(*inputs)
    tolerance = {torch.float32: 1e-4, torch.float16: 2e-2}[expected.dtype]
    assert (actual.dtype, actual.shape) == (expected.dtype, expected.shape)
    difference = (actual.float() - expected.float()).abs().max().item()
    assert difference <= tolerance * expected.float().abs().max().item()


DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)


@DTYPES
@pytest.mark.parametrize("model", [bert, gpt2])
def test_language_models(target: str, model: Callable[[], nn.Module], dtype: torch.dtype) -> None:
    tokens = Input(min_shape=(1, 8), opt_shape=(4, 16), max_shape=(8, 32), dtype=torch.int64)
    compiled = compile_for(target, model().to(dtype), tokens, tokens)
    for batch, length in ((4, 16), (1, 8), (8, 32)):
        ids = torch.randint(0, 100, (batch, length), device="cuda")
        lengths = torch.randint(1, length + 1, (batch, 1), device="cuda")
        mask = (torch.arange(length, device="cuda") < lengths).long()
        check(compiled, ids, mask)


@DTYPES
@pytest.mark.parametrize(("model", "size"), [(vit, 32), (resnet, 64), (mobilenet, 64)])
def test_vision_models(target: str, model: Callable[[], nn.Module], size: int, dtype: torch.dtype) -> None:
    least, usual, most = ((batch, 3, size, size) for batch in (1, 2, 4))
    images: Any = Input(min_shape=least, opt_shape=usual, max_shape=most, dtype=dtype)
    compiled = compile_for(target, model().to(dtype), images)
    for batch in (2, 1, 4):
        check(compiled, torch.randn(batch, 3, size, size, device="cuda").to(dtype))
