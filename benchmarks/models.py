# SPDX-License-Identifier: Apache-2.0
"""The models that the benchmark measures, with inputs for one batch size.

Weights are random: the time of an inference does not depend on them. Sequence models take int64 ids and an int64
attention mask without padding, as a tokenizer gives them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

SEQUENCE = 128
Inputs = tuple[torch.Tensor, ...]


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
    """A model of transformers as tensors in, one tensor out: what every peer can take."""

    def __init__(self, model: torch.nn.Module, *names: str) -> None:
        super().__init__()
        self.model, self.names = model, names

    def forward(self, *tensors: torch.Tensor) -> torch.Tensor:
        return self.model(**dict(zip(self.names, tensors, strict=True)))[0]  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Recipe:
    """How a model and its inputs are made."""

    model: Callable[[], torch.nn.Module]
    inputs: Callable[[int, torch.dtype], Inputs]
    """(batch, dtype) -> inputs"""


def _numbers(*shape: int) -> Callable[[int, torch.dtype], Inputs]:
    return lambda batch, dtype: (torch.randn(batch, *shape, dtype=dtype),)


def _ids(batch: int, dtype: torch.dtype) -> Inputs:
    return (torch.randint(1000, 20000, (batch, SEQUENCE)),)


def _ids_and_mask(batch: int, dtype: torch.dtype) -> Inputs:
    (ids,) = _ids(batch, dtype)
    return ids, torch.ones_like(ids)


def _ids_and_images(batch: int, dtype: torch.dtype) -> Inputs:
    return torch.randint(1000, 20000, (batch, 77)), torch.randn(batch, 3, 224, 224, dtype=dtype)


def _transformer(name: str, *inputs: str, **config: Any) -> Callable[[], torch.nn.Module]:
    """`name`: of a class in transformers, whose config class is its `config_class`."""

    def build() -> torch.nn.Module:
        import transformers

        model = getattr(transformers, name)
        return FirstOutput(model(model.config_class(**config)), *inputs)

    return build


def _vision(name: str, **arguments: Any) -> Callable[[], torch.nn.Module]:
    def build() -> torch.nn.Module:
        import torchvision

        model: torch.nn.Module = torchvision.models.get_model(name, weights=None, **arguments)
        if name == "vit_b_16":  # its head starts as zeros, and zeros would compare equal to anything
            torch.nn.init.normal_(model.heads.head.weight, std=0.02)
        return _settled(model)

    return build


def _settled(model: torch.nn.Module) -> torch.nn.Module:
    """Takes the statistics of batch norms from one batch: with those of a new model, numbers vanish in half precision,
    and an answer of zeros would compare equal to anything."""
    norms = [module for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
    if norms:
        with torch.no_grad():
            model.train()(torch.randn(2, 3, 224, 224))
    return model


def _bert(**config: int) -> Callable[[], torch.nn.Module]:
    def build() -> torch.nn.Module:
        from transformers import BertConfig, BertModel

        return FirstOutput(BertModel(BertConfig(**config), add_pooling_layer=False), *_TEXT)

    return build


class FirstOfDict(torch.nn.Module):
    """torchvision's segmentation models return a dict."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return next(iter(self.model(x).values()))  # type: ignore[no-any-return]


def _deeplab() -> torch.nn.Module:
    return FirstOfDict(_vision("deeplabv3_mobilenet_v3_large", weights_backbone=None)())


class Embeddings(torch.nn.Module):
    """CLIP's, of texts and images. The one number that it makes of them is what is left of two products of 512 terms
    each, in half precision mostly roundings."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
        made = self.model(input_ids=ids, pixel_values=images)
        return torch.cat((made.text_embeds, made.image_embeds))


def _clip() -> torch.nn.Module:
    import transformers

    return Embeddings(transformers.CLIPModel(transformers.CLIPConfig()))


def _whisper_encoder() -> torch.nn.Module:
    import transformers

    heads = {"encoder_attention_heads": 8, "decoder_attention_heads": 8}
    whole = transformers.WhisperModel(transformers.WhisperConfig(d_model=512, encoder_layers=6, **heads))
    return FirstOutput(whole.encoder, "input_features")


_IMAGES = _numbers(3, 224, 224)
_TEXT = ("input_ids", "attention_mask")
_DECODER = {"hidden_size": 512, "num_hidden_layers": 6, "num_attention_heads": 8, "intermediate_size": 1376}
_DECODER |= {"use_cache": False, "vocab_size": 32000}

_RECIPES = {
    "toy": Recipe(Toy, _numbers(10)),
    "minilm": Recipe(
        _bert(hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536), _ids_and_mask
    ),
    "mobilenet_v3": Recipe(_vision("mobilenet_v3_large"), _IMAGES),
    "resnet50": Recipe(_vision("resnet50"), _IMAGES),
    "vit_b_16": Recipe(_vision("vit_b_16"), _IMAGES),
    "bert_base": Recipe(_bert(), _ids_and_mask),
}
NAMES = tuple(_RECIPES)
# Of benchmarks/gpu.py, and those among them that it measures unless told otherwise.
_RECIPES |= {
    "mlp": Recipe(Mlp, _numbers(512)),
    "encoder": Recipe(Encoder, _ids_and_mask),
    "small_encoder": Recipe(lambda: Encoder(layers=1, width=32, heads=4), _ids_and_mask),
    **{
        name: Recipe(_vision(name), _IMAGES)
        for name in (
            "efficientnet_b0",
            "regnet_y_400mf",
            "shufflenet_v2_x1_0",
            "convnext_tiny",
            "densenet121",
            "swin_t",
        )
    },
    "deeplabv3_mobilenet_v3": Recipe(_deeplab, _numbers(3, 520, 520)),
    "distilbert": Recipe(_transformer("DistilBertModel", *_TEXT), _ids_and_mask),
    "deberta_v2": Recipe(
        _transformer(
            "DebertaV2Model",
            *_TEXT,
            hidden_size=512,
            num_hidden_layers=6,
            num_attention_heads=8,
            intermediate_size=2048,
            relative_attention=True,
            pos_att_type=["p2c", "c2p"],
        ),
        _ids_and_mask,
    ),
    "t5_encoder": Recipe(_transformer("T5EncoderModel", *_TEXT), _ids_and_mask),
    "gpt2": Recipe(_transformer("GPT2LMHeadModel", "input_ids", use_cache=False), _ids),
    "llama": Recipe(_transformer("LlamaForCausalLM", "input_ids", **_DECODER), _ids),
    "qwen2": Recipe(_transformer("Qwen2ForCausalLM", "input_ids", **_DECODER, num_key_value_heads=4), _ids),
    "mistral": Recipe(_transformer("MistralForCausalLM", "input_ids", **_DECODER, num_key_value_heads=4), _ids),
    "clip": Recipe(_clip, _ids_and_images),
    "whisper_encoder": Recipe(_whisper_encoder, _numbers(80, 3000)),
    "mamba": Recipe(
        _transformer("MambaForCausalLM", "input_ids", hidden_size=256, num_hidden_layers=2, use_cache=False),
        lambda batch, dtype: (_ids(batch, dtype)[0][:, :16],),
    ),
}
GPU_NAMES = ("mlp", "resnet50", "mobilenet_v3", "encoder")


def build(name: str, dtype: torch.dtype, batch: int) -> tuple[torch.nn.Module, Inputs]:
    """The model in eval mode and one set of inputs; the same weights and inputs at every call."""
    torch.manual_seed(0)
    recipe = _RECIPES[name]
    return recipe.model().eval().to(dtype), recipe.inputs(batch, dtype)
