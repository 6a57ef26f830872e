# SPDX-License-Identifier: Apache-2.0
"""Checks that includes follow the layers (docs/architecture.md) and that vendors' headers stay in their folders.

    python scripts/check_layering.py [root]

Exit status 1 and one line per offending include if there is one.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

# Folder -> folders it may include, besides itself. A folder of src/ and the folder of the same name in
# include/torchtrt/ are one layer. Compiler and runtime never include each other: they meet in the engine package.
LAYERS: dict[str, set[str]] = {
    "base": set(),
    "format": {"base"},
    "backend": {"base", "network"},
    "runtime": {"base", "format", "backend"},
    "torch": {"base", "format", "backend", "runtime"},
    "network": {"base"},
    "graph": {"base", "network"},  # a captured weight is a network::Weights: it shares the tensor's storage all the way
    "converters": {"base", "graph", "network", "backend"},
    "compiler": {"base", "graph", "network", "converters", "backend", "format"},
    "backends/openvino/builder": {"base", "network", "backend", "backends/openvino"},
    "backends/openvino/executor": {"base", "backend", "backends/openvino"},
    "backends/openvino/testing": {"base", "network", "backend", "backends/openvino"},
    "backends/tensorrt/builder": {"base", "network", "backend", "backends/tensorrt"},
    "backends/tensorrt/executor": {"base", "backend", "backends/tensorrt"},
    "backends/tensorrt/testing": {
        "base",
        "network",
        "backend",
        "backends/tensorrt",
        "backends/tensorrt/builder",
        "backends/tensorrt/executor",
    },
    "backends/openvino": {"base", "backend"},
    "backends/tensorrt": {"base", "backend"},
    "plugins": {"base", "backend", "torch"},
    "python": {"base", "format", "backend", "runtime", "torch", "graph", "network", "converters", "compiler"},
}

# An executor must not see the network, although builder.h and executor.h are one layer.
FORBIDDEN_HEADERS: dict[str, set[str]] = {
    "runtime": {"torchtrt/backend/builder.h"},
    "torch": {"torchtrt/backend/builder.h"},
    "backends/openvino/executor": {"torchtrt/backend/builder.h"},
    "backends/tensorrt/executor": {"torchtrt/backend/builder.h"},
}

# Header prefix -> the folders that may include it. DLPack's C header is the neutral tensor of executor.h.
OPENVINO = {f"backends/openvino{folder}" for folder in ("", "/builder", "/executor", "/testing")}
TENSORRT = {f"backends/tensorrt{folder}" for folder in ("", "/builder", "/executor", "/testing")}
VENDORS: list[tuple[re.Pattern[str], set[str]]] = [
    (re.compile(r"^ATen/dlpack\.h$"), {"backend", "runtime", "torch", "plugins", "python"}),
    (re.compile(r"^(torch|ATen|c10|caffe2)/"), {"torch", "plugins", "python"}),
    (re.compile(r"^(pybind11/|Python\.h$)"), {"python"}),
    (re.compile(r"^openvino/"), OPENVINO),
    (re.compile(r"^(NvInfer|NvOnnx|cuda_)"), TENSORRT),
    (re.compile(r"^cuda\.h$"), {"torch"}),
]

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.MULTILINE)


def layer_of(path: str) -> str | None:
    """The layer of a path below src/ or include/torchtrt/, or None if it is none of ours. runtime.h is runtime's."""
    if path.removesuffix(".h") in LAYERS:
        return path.removesuffix(".h")
    matches = [name for name in LAYERS if path.startswith(name + "/")]
    return max(matches, key=len) if matches else None


def check_include(layer: str, header: str, quoted: bool) -> str | None:
    """What is wrong with a file of `layer` including `header`; None if nothing is."""
    for pattern, allowed in VENDORS:
        if pattern.match(header):
            return None if layer in allowed else f"only {', '.join(sorted(allowed))} may include {header}"
    if header in FORBIDDEN_HEADERS.get(layer, set()):
        return f"{layer} must not see {header}"
    if header.startswith("torchtrt/"):
        target = layer_of(header.removeprefix("torchtrt/"))
    elif quoted:
        target = layer_of(header)
        if target is None:
            return "quoted includes are rooted at src/"
    else:
        return None
    if target is None:
        return f"{header} belongs to no layer"
    if target != layer and target not in LAYERS[layer]:
        return f"{layer} must not include {target}"
    return None


def check_tree(root: Path) -> list[str]:
    errors = []
    for base in (root / "src", root / "include" / "torchtrt"):
        for path in sorted([*base.rglob("*.h"), *base.rglob("*.cpp")]):
            layer = layer_of(path.relative_to(base).as_posix())
            shown = path.relative_to(root)
            if layer is None:
                errors.append(f"{shown}: the folder has no row in {Path(__file__).name}")
                continue
            for match in INCLUDE.finditer(path.read_text()):
                if error := check_include(layer, match.group(2), match.group(1) == '"'):
                    errors.append(f"{shown}: #include {match.group(2)}: {error}")
    return errors


def main() -> int:
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent.parent
    errors = check_tree(root)
    print("\n".join(errors) or "layering: includes follow the layers")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
