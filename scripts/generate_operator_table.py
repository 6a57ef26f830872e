# SPDX-License-Identifier: Apache-2.0
"""Writes docs/operators.md, the list of ATen operators that have a converter, from the tables in src/converters.

    python scripts/generate_operator_table.py [--check]

--check: writes nothing; exit status 1 if the file is not what would be written.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OUTPUT = ROOT / "docs" / "operators.md"
# A row of a family's table: {"aten.add.Tensor", convert_add},
ROW = re.compile(r'\{"((?:aten|torchvision|prims|_operator)\.[\w.]+)",\s*&?\w')

HEAD = """# Operators with a converter

Generated from the tables in `src/converters` by `scripts/generate_operator_table.py`.

An operator in this list can become part of an engine. Whether a given call does is asked of its converter and of the
backend, with its dtypes, attributes and shapes: `torch_tensorrt.compile(..., dryrun=True)` prints a reason for every
call that stays in PyTorch. Operators that `run_decompositions` takes apart before (most of PyTorch's composites) need
no converter of their own.

| family | operators |
| --- | --- |
"""


def table(folder: Path) -> str:
    lines, total = [], 0
    for source in sorted(folder.glob("convert_*.cpp")):
        found = sorted(set(ROW.findall(source.read_text())))
        total += len(found)
        if found:
            family = source.stem.removeprefix("convert_")
            lines.append(f"| {family} | {', '.join(f'`{name}`' for name in found)} |")
    return HEAD + "\n".join(lines) + f"\n\n{total} operators.\n"


def main() -> int:
    text = table(ROOT / "src" / "converters")
    if sys.argv[1:] == ["--check"]:
        if not OUTPUT.is_file() or OUTPUT.read_text() != text:
            print("docs/operators.md is out of date: run python scripts/generate_operator_table.py")
            return 1
        return 0
    OUTPUT.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
