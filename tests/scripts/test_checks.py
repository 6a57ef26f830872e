# SPDX-License-Identifier: Apache-2.0
"""The repository's own checks find what they look for."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


layering, conventions, exports = load("check_layering"), load("check_conventions"), load("check_exports")


@pytest.mark.parametrize(
    ("layer", "header", "quoted", "allowed"),
    [
        ("runtime", "format/package.h", True, True),
        ("runtime", "network/network.h", True, False),
        ("runtime", "torchtrt/backend/builder.h", False, False),
        ("runtime", "torch/torch.h", False, False),
        ("torch", "torch/library.h", False, True),
        ("converters", "torchtrt/network/network.h", False, True),
        ("compiler", "runtime/engine.h", True, False),
        ("network", "graph/graph.h", True, False),
        ("backends/openvino/builder", "openvino/openvino.hpp", False, True),
        ("backends/openvino/executor", "torchtrt/network/network.h", False, False),
        ("compiler", "openvino/openvino.hpp", False, False),
        ("runtime", "ATen/dlpack.h", False, True),
        ("base", "vector", False, True),
        ("base", "expr.h", True, False),
    ],
)
def test_include_directions(layer: str, header: str, quoted: bool, allowed: bool) -> None:
    assert (layering.check_include(layer, header, quoted) is None) == allowed


def test_layers_have_no_cycle() -> None:
    done: set[str] = set()
    while len(done) < len(layering.LAYERS):
        ready = {name for name, needs in layering.LAYERS.items() if name not in done and needs <= done}
        assert ready, f"a cycle among {set(layering.LAYERS) - done}"
        done |= ready


def test_conventions() -> None:
    assert conventions.check_file("a.h", "// SPDX-License-Identifier: Apache-2.0\n#pragma once\n") == []
    assert len(conventions.check_file("a.h", "int x;\n")) == 2
    assert len(conventions.check_file("a.md", "see /" + "home/somebody/x\n")) == 1


@pytest.mark.parametrize(
    ("symbol", "ours"),
    [
        ("torchtrt::network::print(torchtrt::network::Network const&)", True),
        ("vtable for torchtrt::Error", True),
        ("torchtrt_executor", True),
        ("PyInit__C", False),
        ("std::vector<torchtrt::Expr>::~vector()", False),
        ("nlohmann::json_abi_v3_11_2::detail::exception::~exception()", False),
        ("std::vector<int>::push_back(int const&)", False),
    ],
)
def test_exported_symbols(symbol: str, ours: bool) -> None:
    assert bool(exports.OURS.match(symbol)) == ours


def test_the_table_of_operators_is_up_to_date() -> None:
    """docs/operators.md has the rows of the converters' tables: python scripts/generate_operator_table.py."""
    operators = load("generate_operator_table")
    assert operators.OUTPUT.read_text() == operators.table(ROOT / "src" / "converters")
