# SPDX-License-Identifier: Apache-2.0
"""Programs cut from models: some operators in a row of an exported model, with the values that they met there.

Random weights: what matters is how operators follow each other, which no table knows.
"""

from __future__ import annotations

import functools
import random
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import fx, nn

from .program import Fill, Input, Program, Step

MOST_ELEMENTS = 400_000


def _text_models() -> dict[str, Callable[[], tuple[nn.Module, tuple[Any, ...]]]]:
    import transformers

    small: dict[str, Any] = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 32}
    tokens = torch.arange(12).reshape(2, 6) % 32

    def of(kind: str, model: str, **more: Any) -> Callable[[], tuple[nn.Module, tuple[Any, ...]]]:
        def make() -> tuple[nn.Module, tuple[Any, ...]]:
            config = getattr(transformers, kind)(**{**small, **more}, use_cache=False, return_dict=False)
            return getattr(transformers, model)(config), (tokens,)

        return make

    return {
        "bert": of("BertConfig", "BertModel", intermediate_size=32),
        "llama": of("LlamaConfig", "LlamaModel", intermediate_size=32, num_key_value_heads=2),
        "gpt2": of("GPT2Config", "GPT2Model", n_embd=16, n_layer=2, n_head=4),
        "roberta": of("RobertaConfig", "RobertaModel", intermediate_size=32),
        "qwen2": of("Qwen2Config", "Qwen2Model", intermediate_size=32, num_key_value_heads=2),
    }


def _image_models() -> dict[str, Callable[[], tuple[nn.Module, tuple[Any, ...]]]]:
    import torchvision

    def of(name: str, size: int = 32) -> Callable[[], tuple[nn.Module, tuple[Any, ...]]]:
        return lambda: (torchvision.models.get_model(name, weights=None), (torch.randn(1, 3, size, size),))

    names = (
        "resnet18",
        "mobilenet_v3_small",
        "efficientnet_b0",
        "convnext_tiny",
        "shufflenet_v2_x0_5",
        "squeezenet1_1",
    )
    return {name: of(name, 64 if name == "squeezenet1_1" else 32) for name in names}


@functools.cache
def _makers() -> dict[str, Callable[[], tuple[nn.Module, tuple[Any, ...]]]]:
    found: dict[str, Callable[[], tuple[nn.Module, tuple[Any, ...]]]] = {}
    for group in (_text_models, _image_models):
        try:
            found.update(group())
        except ImportError:
            continue
    return found


@functools.lru_cache(maxsize=2)
def _run(name: str) -> tuple[list[fx.Node], dict[fx.Node, Any]]:
    """The exported model's operators in order, and every value of one run."""
    torch.manual_seed(0)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        module, inputs = _makers()[name]()
        graph_module = torch.export.export(module.eval(), inputs, strict=False).module(check_guards=False)
        assert isinstance(graph_module, fx.GraphModule)
        values: dict[fx.Node, Any] = {}

        class Recorder(fx.Interpreter):
            def run_node(self, n: fx.Node) -> Any:
                values[n] = super().run_node(n)
                return values[n]

        Recorder(graph_module).run(*inputs)
    nodes = [node for node in graph_module.graph.nodes if node.op == "call_function"]
    return nodes, values


def program(seed: int, index: int) -> Program | None:
    """Piece number `index`; None where the piece is too large, or no model's library is here."""
    names = list(_makers())
    if not names:
        return None
    rng = random.Random(f"{seed}/{index}")
    nodes, values = _run(names[index // 40 % len(names)])  # forty pieces of one model in a row: it is made once
    start = rng.randrange(len(nodes))
    return _cut(nodes[start : start + rng.randint(2, 14)], values)


def _cut(nodes: list[fx.Node], values: dict[fx.Node, Any]) -> Program | None:
    program = Program([], [], [], [], calls=[0, 0])
    names: dict[fx.Node, str] = {}

    def text(item: Any, args: list[str]) -> str:
        if isinstance(item, fx.Node):
            value = values[item]
            if not isinstance(value, torch.Tensor) and item not in names:
                return text(value, args)
            if item not in names:
                names[item] = _leaf(program, value)
            if names[item] not in args:
                args.append(names[item])
            return f"{{{args.index(names[item])}}}"
        if isinstance(item, (list, tuple)):
            return f"[{', '.join(text(part, args) for part in item)}]"
        if isinstance(item, float) and item - item != 0:
            return f"float('{item}')"
        if item is None or isinstance(item, (bool, int, float, str, torch.dtype, torch.device, torch.memory_format)):
            return f"torch.device('{item}')" if isinstance(item, torch.device) else repr(item)
        raise ValueError(f"an argument of type {type(item).__name__}")

    try:
        for node in nodes:
            args: list[str] = []
            given = [text(item, args) for item in node.args]
            given += [f"{key}={text(value, args)}" for key, value in node.kwargs.items()]
            if isinstance(node.target, torch._ops.OpOverload):
                name = _functional(node.target)
                if name is None:
                    return None
                code = f"torch.ops.aten.{name}({', '.join(given)})"
            elif getattr(node.target, "__name__", "") == "getitem":
                code = f"{given[0]}[{given[1]}]"
            else:
                return None
            names[node] = f"v{len(program.steps)}"
            value = values[node]
            noise = 8.0 if isinstance(value, torch.Tensor) and value.is_floating_point() else 0.0
            program.steps.append(Step([names[node]], code, args, noise=noise))
    except ValueError:
        return None
    inside = set(nodes)
    for node in nodes:
        if isinstance(values[node], torch.Tensor) and any(user not in inside for user in node.users):
            program.outputs.append(names[node])
    return program if program.inputs and program.outputs else None


def _functional(target: torch._ops.OpOverload) -> str | None:
    """The operator's name, without the underscore of one that writes its operand; None where there is none."""
    name, _, overload = str(target).removeprefix("aten.").partition(".")
    if target.namespace != "aten" or (target._schema.is_mutable and not name.endswith("_")):
        return None
    packet = getattr(torch.ops.aten, name.rstrip("_") if target._schema.is_mutable else name, None)
    found = getattr(packet, overload, None)
    return None if found is None else str(found).removeprefix("aten.")


def _leaf(program: Program, value: torch.Tensor) -> str:
    if value.numel() > (MOST_ELEMENTS if value.is_floating_point() else 4096):
        raise ValueError("too large")
    dtype = str(value.dtype).removeprefix("torch.")
    fill = Fill("values", values=value.detach().flatten().tolist() or [0])
    if value.is_floating_point() and value.numel() > 64:
        fill = Fill("normal", seed=len(program.inputs))
    item = Input(f"x{len(program.inputs)}", dtype, list(value.shape), fill=fill)
    program.inputs.append(item)
    return item.name
