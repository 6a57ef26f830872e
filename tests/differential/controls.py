# SPDX-License-Identifier: Apache-2.0
"""Negative controls: faults that were fixed, put back one by one, and a program with which the machine finds each.

    python -m differential.controls [NAME...]             # in tests/: the faults are found, and only with them
    python -m differential.controls NAME --search 200     # which of the first 200 programs finds it

The fault goes into a copy of the committed tree in build/differential/control, where the libraries that it concerns are
built; the other libraries are those of build/lib.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
TREE = CHECKOUT / "build" / "differential" / "control"
LIBRARIES = {
    "src/backends/openvino/builder/": "torchtrt_openvino_builder",
    "src/backends/openvino/executor/": "torchtrt_openvino_executor",
    "src/converters/": "torchtrt",
    "src/torch/": "torchtrt_runtime",
    "src/runtime/": "torchtrt_runtime",
}
CHUNK = 20
"""So many programs at a time, in a search for the first that finds the fault."""


@dataclass(frozen=True)
class Control:
    name: str
    about: str
    file: str
    fixed: str
    """Text of the file, once in it."""
    faulty: str
    """What stands there with the fault."""
    only: str
    """What programs must hold to meet it."""
    seed: int
    index: int
    """The first program that finds it."""
    ways: str = ""
    """The way in which it is found, where that is not the index's own."""


CONTROLS = (
    Control(
        "packed-weights",
        "line 1: one packed copy of a weight that products read in two layouts",
        "src/backends/openvino/executor/engine.cpp",
        "  separate_packed_weights(*model);\n",
        "",
        only=r"\{0\} @ \{1\}|linear|matmul",
        seed=0,
        index=5,
    ),
    Control(
        "integers-compared",
        "line 2: comparisons of int32, and what where and clamp choose by them, in float32",
        "src/backends/openvino/builder/lowering_math.cpp",
        "  const bool wide = a.get_element_type().is_integral_number() && a.get_element_type().size() >= 4;",
        "  const bool wide = false;",
        only=r"[<>=]=? \{|torch\.(eq|ne|lt|gt|le|ge)",
        seed=0,
        index=38,
    ),
    Control(
        "special-inputs",
        "lines 3 and 4: inputs that hold NaN or infinities, or are so large that something inside overflows",
        "src/backends/openvino/executor/context.cpp",
        "    if (std::isinf(limits[i])) continue;",
        "    if (limits[i] > 0) continue;",
        only=r"relu|softmax|clamp|max|gelu|pool",
        seed=0,
        index=7,
    ),
    Control(
        "ties",
        "line 4: indices of equal elements in the order of another algorithm",
        "src/backends/openvino/builder/lowering_math.cpp",
        "    const auto ties = static_cast<StableTopK::Ties>(topk.ties);",
        "    const auto ties = StableTopK::Ties::kLowerIndex;",
        only=r"topk|sort",
        seed=0,
        index=2,
    ),
    Control(
        "saving-runs-the-model",
        "line 5: saving as TorchScript runs the module",
        "py/torch_tensorrt/_save.py",
        "        if isinstance(module, CompiledModule):\n            return script_program(module)",
        "        if isinstance(module, CompiledModule):\n            module(*(_known_inputs(module) or [()])[0])\n"
        "            return script_program(module)",
        only=r"^\{0\}\.\w+_\(",
        seed=0,
        index=1,
        ways="torchscript",
    ),
    Control(
        "written-inputs",
        "line 6: inputs with strides, written by a package that takes them for contiguous",
        "py/torch_tensorrt/dynamo/_assemble.py",
        "item for node in self.program.module.graph.nodes if is_mutation(node) for item in node.all_input_nodes",
        "item for node in () for item in node.all_input_nodes",
        only=r"^\{0\}\.\w+_\(",
        seed=0,
        index=112,
        ways="aot_inductor",
    ),
    Control(
        "index-add",
        "line 7: index_add and index_copy taken apart, so that they take negative indices",
        "py/torch_tensorrt/dynamo/_decompositions.py",
        "    for whole in _WHOLE:",
        "    for whole in ():",
        only=r"index_add|index_copy",
        seed=0,
        index=41,
    ),
    Control(
        "indices",
        "line 7: computed indices without a guard",
        "src/converters/indices.cpp",
        "  guard_against(net, net.add_elementwise(",
        "  static_cast<void>(net.add_elementwise(",
        only=r"index_select|embedding|gather|scatter|\[\{1\}\]",
        seed=0,
        index=12,
    ),
    Control(
        "half-variances",
        "line 7a: variances of half precision around a mean that was rounded to it",
        "src/converters/convert_reduction.cpp",
        "  const ValueId mean = net.add_reduce(x, ReduceOperation::kAvg, axes, true);\n  const ValueId centered",
        "  const ValueId exact = net.add_reduce(x, ReduceOperation::kAvg, axes, true);\n"
        "  const ValueId mean = ctx.cast(ctx.cast(exact, given), dtype);\n"
        "  const ValueId centered",
        only=r"torch\.(var|std)",
        seed=0,
        index=82,
    ),
    Control(
        "views-beside-transposes",
        "line 7d: a result that is a view of what is also transposed into a convolution",
        "src/backends/openvino/builder/lowering.cpp",
        "      value = needs_copy(output.value) ? ov::Output<ov::Node>(copied(value)) : leaving_blocks(value);",
        "      value = leaving_blocks(value);",
        only=r"\{0\}\.flatten\(1, 2\)",
        seed=0,
        index=62,
    ),
    Control(
        "tokens-as-heads",
        "line 7d: attention with as many tokens as heads",
        "src/backends/openvino/builder/lowering_nn.cpp",
        "  return dims.size() == 4 && is_static(dims) && dims[1] == dims[2] && dims[1] != Expr(1);",
        "  return dims.empty();",
        only=r"unbind\(0\)|reshape\(2, \d, \d, \d\)",
        seed=0,
        index=6,
    ),
    Control(
        "residual-norms",
        "line 7d: the vendor's own group normalization, two of which with residual sums end the process",
        "src/backends/openvino/builder/lowering_nn.cpp",
        "    // Not the plugin's GroupNormalization: two of them with residual sums end the process",
        "    const Output channels = materialize(value_of(layer, 0).dims[1]);\n"
        "    const auto filled = [&](double value) -> Output {\n"
        "      return std::make_shared<op::Broadcast>(number(x, value), channels);\n"
        "    };\n"
        "    if (normalization.groups > 0) {\n"
        "      const Output scale = has_operand(layer, 1) ? operand(layer, 1) : filled(1);\n"
        "      const Output bias = has_operand(layer, 2) ? operand(layer, 2) : filled(0);\n"
        "      return {std::make_shared<op::GroupNormalization>(x, scale, bias, normalization.groups,\n"
        "                                                       normalization.epsilon)};\n"
        "    }\n"
        "    // Two of them with residual sums end the process",
        only=r"group_norm|instance_norm",
        seed=0,
        index=12,
    ),
    Control(
        "views-of-inputs",
        "line 7b: results that share memory in eager, from an engine",
        "py/torch_tensorrt/dynamo/_partition.py",
        "        if outside or sharing[base] > 1:",
        "        if False:",
        only=r"view|expand|\.t\(\)|transpose|reshape",
        seed=0,
        index=1,
    ),
    Control(
        "gradients",
        "line 7c: results without a gradient, in silence",
        "src/torch/registration.cpp",
        "  if (torch::autograd::compute_requires_grad(inputs)) {",
        "  if (false) {",
        only=r"relu|\{0\} @ \{1\}",
        seed=0,
        index=0,
    ),
    Control(
        "small-sizes",
        "squeeze of a dynamic dimension that is 1",
        "py/torch_tensorrt/dynamo/_small_sizes.py",
        "(case, None) for case in _cases(small)] if small else []",
        "(case, None) for case in _cases(small)] if False else []",
        only=r"(?<!un)squeeze\(",
        seed=0,
        index=79,
    ),
)


def libraries_built() -> Path:
    return Path(os.environ.get("TORCHTRT_LIBRARY_DIR", CHECKOUT / "build" / "lib"))


def put_in(control: Control) -> None:
    """The committed tree with the fault."""
    if not TREE.exists():
        subprocess.run(["git", "worktree", "add", "--detach", str(TREE), "HEAD"], cwd=CHECKOUT, check=True)
        (TREE / ".venv").symlink_to(CHECKOUT / ".venv")
    subprocess.run(["git", "checkout", "--quiet", "--detach", "--force", _head()], cwd=TREE, check=True)
    file = TREE / control.file
    text = file.read_text()
    if text.count(control.fixed) != 1:
        raise SystemExit(f"{control.name}: {control.file} has not this text once:\n{control.fixed}")
    file.write_text(text.replace(control.fixed, control.faulty))


def build(control: Control) -> Path:
    """The folder of libraries, with the fault if it is in one of them."""
    folder = TREE / "lib"
    folder.mkdir(exist_ok=True)
    built = libraries_built()
    libraries = {path.name: path for path in (*built.glob("*.so"), built / "openvino")}
    for start, library in LIBRARIES.items():
        if control.file.startswith(start):
            if not (TREE / "build" / "build.ninja").exists():
                subprocess.run(["cmake", "--preset", "release"], cwd=TREE, check=True, stdout=subprocess.DEVNULL)
            subprocess.run(["cmake", "--build", "build", "--target", library], cwd=TREE, check=True)
            libraries[f"lib{library}.so"] = TREE / "build" / "lib" / f"lib{library}.so"
    for name, path in libraries.items():  # copies: libraries look for one another beside their real place
        if path.is_dir():
            shutil.copytree(path, folder / name, dirs_exist_ok=True)
        elif not (folder / name).exists() or path.stat().st_mtime != (folder / name).stat().st_mtime:
            (folder / name).unlink(missing_ok=True)
            shutil.copy2(path, folder / name)
    return folder


def machine(control: Control, tree: Path, libraries: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "differential", "--only", control.only, "--seed", str(control.seed), *arguments]
    environment = {**os.environ, "PYTHONPATH": str(tree / "py"), "TORCHTRT_LIBRARY_DIR": str(libraries)}
    # The machine itself is this one, whatever is committed.
    return subprocess.run(command, cwd=CHECKOUT / "tests", env=environment, capture_output=True, text=True, check=False)


def finds(control: Control, tree: Path, libraries: Path, index: int) -> str:
    """What the program shows; empty where it agrees with eager."""
    arguments = ["--index", str(index), *(["--ways", control.ways] if control.ways else [])]
    done = machine(control, tree, libraries, *arguments)
    last = (done.stdout.strip() or done.stderr.strip() or f"# the process ended with {done.returncode}").splitlines()[
        -1
    ]
    return "" if done.returncode == 0 and last == "# nothing found" else last


def search(control: Control, libraries: Path, count: int) -> str:
    """The first program that shows the fault, and nothing without it."""
    journal = TREE / f"{control.name}.jsonl"
    for start in range(0, count, CHUNK):
        journal.unlink(missing_ok=True)
        arguments = ["--start", str(start), "--count", str(CHUNK), "--shrink-seconds", "0", "--journal", str(journal)]
        machine(control, TREE, libraries, *arguments)
        entry = json.loads(journal.read_text())
        again = [find for finds in entry["repeated"].values() for find in finds]
        for index in sorted(find["index"] for find in (*entry["finds"], *again)):
            if finds(control, TREE, libraries, index) and not finds(control, CHECKOUT, libraries_built(), index):
                return f"found at {index}"
    return f"not found by the first {count}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--search", type=int, default=0, metavar="N", help="look through the first N programs")
    given = parser.parse_args()
    chosen = [control for control in CONTROLS if not given.names or control.name in given.names]
    failed = 0
    for control in chosen:
        put_in(control)
        libraries = build(control)
        if given.search:
            print(f"{control.name}: {search(control, libraries, given.search)}", flush=True)
            continue
        with_fault = finds(control, TREE, libraries, control.index)
        without = finds(control, CHECKOUT, libraries_built(), control.index)
        failed += not with_fault or bool(without)
        print(
            f"{control.name} (--seed {control.seed} --index {control.index}): {with_fault or 'NOT FOUND'}", flush=True
        )
        if without:
            print(f"  and without the fault: {without}")
    return 1 if failed else 0


def _head() -> str:
    done = subprocess.run(["git", "rev-parse", "HEAD"], cwd=CHECKOUT, check=True, capture_output=True, text=True)
    return done.stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
