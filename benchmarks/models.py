# SPDX-License-Identifier: Apache-2.0
"""The models that the benchmark measures, with inputs for one batch size.

Weights are random: the time of an inference does not depend on them. Sequence models take int64 ids and an int64
attention mask without padding, as a tokenizer gives them.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

SEQUENCE = 128


class Toy(torch.nn.Module):
    """One layer: what is measured is the cost of a call."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = torch.nn.Linear(10, 16)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.fc(x))


class Mlp(torch.nn.Module):
    """Three layers of 512: little work for a GPU, so that the host shows."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.Linear(512, 512),
            torch.nn.ReLU(),
            torch.nn.Linear(512, 512),
            torch.nn.ReLU(),
            torch.nn.Linear(512, 512),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)  # type: ignore[no-any-return]


class EncoderLayer(torch.nn.Module):
    """Attention and two linear layers, normalized after each, as BERT has them."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv, self.out = torch.nn.Linear(width, 3 * width), torch.nn.Linear(width, width)
        self.up, self.down = torch.nn.Linear(width, 4 * width), torch.nn.Linear(4 * width, width)
        self.norm1, self.norm2 = torch.nn.LayerNorm(width), torch.nn.LayerNorm(width)

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        batch, tokens, width = x.shape
        q, k, v = self.qkv(x).view(batch, tokens, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4).unbind(0)
        attended = torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        x = self.norm1(x + self.out(attended.transpose(1, 2).reshape(batch, tokens, width)))
        return self.norm2(x + self.down(torch.nn.functional.gelu(self.up(x))))  # type: ignore[no-any-return]


class Encoder(torch.nn.Module):
    """BERT-base's shape in plain PyTorch: machines with a GPU often have no transformers."""

    def __init__(self, layers: int = 12, width: int = 768, heads: int = 12) -> None:
        super().__init__()
        self.tokens, self.positions = torch.nn.Embedding(30522, width), torch.nn.Embedding(512, width)
        self.norm = torch.nn.LayerNorm(width)
        self.layers = torch.nn.ModuleList(EncoderLayer(width, heads) for _ in range(layers))

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        x = self.norm(self.tokens(ids) + self.positions.weight[: ids.shape[1]])
        visible = mask[:, None, None, :].bool()
        for layer in self.layers:
            x = layer(x, visible)
        return x


class FirstOutput(torch.nn.Module):
    """A transformers encoder as tensors in, one tensor out: what every peer can take."""

    def __init__(self, encoder: torch.nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        return self.encoder(input_ids=input_ids, attention_mask=attention_mask)[0]


def _bert(**overrides: int) -> torch.nn.Module:
    from transformers import BertConfig, BertModel

    return FirstOutput(BertModel(BertConfig(**overrides), add_pooling_layer=False))


def _minilm() -> torch.nn.Module:
    return _bert(hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536)


def _vision(name: str) -> Callable[[], torch.nn.Module]:
    def build() -> torch.nn.Module:
        import torchvision

        model = getattr(torchvision.models, name)(weights=None)
        if name == "vit_b_16":  # its head starts as zeros, and zeros would compare equal to anything
            torch.nn.init.normal_(model.heads.head.weight, std=0.02)
        return model

    return build


_BUILDERS: dict[str, Callable[[], torch.nn.Module]] = {
    "toy": Toy,
    "minilm": _minilm,
    "mobilenet_v3": _vision("mobilenet_v3_large"),
    "resnet50": _vision("resnet50"),
    "vit_b_16": _vision("vit_b_16"),
    "bert_base": _bert,
}
NAMES = tuple(_BUILDERS)
# Of benchmarks/gpu.py.
GPU_NAMES = ("mlp", "resnet50", "encoder")
_BUILDERS |= {"mlp": Mlp, "encoder": Encoder, "small_encoder": lambda: Encoder(layers=1, width=32, heads=4)}


def build(name: str, dtype: torch.dtype, batch: int) -> tuple[torch.nn.Module, tuple[torch.Tensor, ...]]:
    """The model in eval mode and one set of inputs; the same weights and inputs at every call."""
    torch.manual_seed(0)
    model = _BUILDERS[name]().eval().to(dtype)
    if name == "toy":
        return model, (torch.randn(batch, 10, dtype=dtype),)
    if name == "mlp":
        return model, (torch.randn(batch, 512, dtype=dtype),)
    if name in ("minilm", "bert_base", "encoder", "small_encoder"):
        ids = torch.randint(1000, 20000, (batch, SEQUENCE))
        return model, (ids, torch.ones_like(ids))
    return model, (torch.randn(batch, 3, 224, 224, dtype=dtype),)
