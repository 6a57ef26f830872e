# SPDX-License-Identifier: Apache-2.0
"""What was compiled and what was not, for people (text) and for programs (JSON)."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from ._graph import Refusal


@dataclass
class BlockReport:
    """One child of the compiled module."""

    name: str
    engine: bool
    operators: list[str]
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    engine_bytes: int | None = None
    layers: int | None = None


@dataclass
class Report:
    """The partitioning of a program. Reasons are stable codes; see docs/architecture.md."""

    targets: tuple[str, ...]
    settings: dict[str, Any]
    blocks: list[BlockReport]
    refusals: list[Refusal]

    @property
    def supported(self) -> int:
        return sum(len(block.operators) for block in self.blocks if block.engine)

    @property
    def total(self) -> int:
        return sum(len(block.operators) for block in self.blocks)

    def to_json(self) -> str:
        """Keys: targets, settings, operators {total, in_engines}, blocks, refusals [{node, target, reason, ...}]."""
        document = {
            "targets": list(self.targets),
            "settings": self.settings,
            "operators": {"total": self.total, "in_engines": self.supported},
            "blocks": [dataclasses.asdict(block) for block in self.blocks],
            "refusals": [dataclasses.asdict(item) for item in self.refusals],
        }
        return json.dumps(document, indent=2, default=str)

    def to_text(self) -> str:
        engines = sum(block.engine for block in self.blocks)
        lines = [
            f"{self.supported} of {self.total} operators run in {engines} engine{'s' if engines != 1 else ''} "
            f"({', '.join(self.targets)})",
        ]
        for block in self.blocks:
            kinds = Counter(block.operators)
            listed = ", ".join(f"{name} x{count}" if count > 1 else name for name, count in kinds.most_common(8))
            more = f", and {len(kinds) - 8} more kinds" if len(kinds) > 8 else ""
            where = "engine " if block.engine else "PyTorch"
            lines.append(f"  {block.name}: {where} {len(block.operators):4d} operators: {listed}{more}")
        if self.refusals:
            lines.append("Operators that stay in PyTorch:")
            for item in self.refusals:
                at = f" at {item.source}" if item.source else ""
                lines.append(f"  {item.node} ({item.target}): {item.reason}: {item.message}{at}")
        return "\n".join(lines)
