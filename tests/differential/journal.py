# SPDX-License-Identifier: Apache-2.0
"""What a run is asked, and the file that keeps count of runs."""

from __future__ import annotations

import dataclasses
import json
import platform
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch


@dataclasses.dataclass(frozen=True)
class Options:
    source: str = "draw"
    seed: int = 0
    target: str = ""
    """What is compiled for; "": the default of the device. tensorrt runs on a GPU, beside eager there; programs for
    tensorrt_rtx are built and not run."""
    only: str = ""
    """A pattern that one of the program's steps matches."""
    aoti_every: int = 0
    """Every so many programs one is saved as AOTInductor too; 0: none."""
    gradients_every: int = 20

    @property
    def device(self) -> str:
        return "cuda" if self.target == "tensorrt" else "cpu"

    def other_ways(self, index: int) -> list[str]:
        """Each program runs as a module and in one other form."""
        if self.aoti_every and index % self.aoti_every == self.aoti_every - 1:
            return ["aot_inductor"]
        return ["exported_program"] if index % 2 else ["torchscript"]

    def gradients(self, index: int) -> bool:
        return bool(self.gradients_every) and index % self.gradients_every == 0


_SERIES = ("source", "seed", "target", "only")


class Journal:
    """A file of lines of JSON, one for each run: how many programs, how long, what was found. Grows, never shrinks.
    Files of several machines are one when their lines are put together (`merge`)."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.entries = _read(path)

    @staticmethod
    def new_entry(options: Options) -> dict[str, Any]:
        entry: dict[str, Any] = {name: getattr(options, name) for name in _SERIES}
        entry |= {"started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "commit": _commit()}
        entry |= {"torch": torch.__version__, "processor": _processor()}
        entry |= {"first": 0, "count": 0, "seconds": 0.0, "engines": 0, "engine_calls": 0, "exact_calls": 0}
        return entry | {"ways": {}, "notes": {}, "parts": {}, "limits": {}, "repeated": {}, "finds": []}

    def program(self, index: int) -> str | None:
        """The program of the last find at the index, as JSON: as it was on the machine that found it."""
        for entry in reversed(self.entries):
            repeated = [find for finds in entry["repeated"].values() for find in finds]
            for find in (*entry["finds"], *repeated):
                if find["index"] == index and "program" in find:
                    return str(find["program"])
        return None

    def next_index(self, options: Options) -> int:
        mine = tuple(getattr(options, name) for name in _SERIES)
        return max((entry["first"] + entry["count"] for entry in self.entries if _series(entry) == mine), default=0)

    def signatures(self) -> set[str]:
        return {find["signature"] for entry in self.entries for find in entry["finds"]}

    def add(self, *entries: dict[str, Any]) -> None:
        self.entries += entries
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a") as file:
            file.writelines(json.dumps(entry) + "\n" for entry in entries)

    def merge(self, paths: Iterable[Path]) -> None:
        """Adds what other journals have and this one has not."""
        here = {json.dumps(entry) for entry in self.entries}
        for path in paths:
            self.add(*[entry for entry in _read(path) if json.dumps(entry) not in here])

    def summary(self) -> str:
        ways: dict[str, int] = {}
        for entry in self.entries:
            for way, number in entry["ways"].items():
                ways[way] = ways.get(way, 0) + number
        by_way = ", ".join(f"{number} as {way}" for way, number in sorted(ways.items()))
        seen, last, longest = self._without_news()
        count = sum(entry["count"] for entry in self.entries)
        hours = sum(entry["seconds"] for entry in self.entries) / 3600
        return (
            f"journal: {count} programs, {self._different()} of them different, "
            f"in {hours:.2f} hours ({by_way}), {seen} different finds, "
            f"nothing new in the last {last} programs (longest run: {longest})"
        )

    def _different(self) -> int:
        """Programs without those that were run again."""
        series: dict[tuple[Any, ...], set[int]] = {}
        for entry in self.entries:
            series.setdefault(_series(entry), set()).update(range(entry["first"], entry["first"] + entry["count"]))
        return sum(len(indices) for indices in series.values())

    def _without_news(self) -> tuple[int, int, int]:
        """Different finds; programs since the last new one; most programs between two new ones. Runs count in the order
        in which they began, those beside each other one after the other."""
        seen: set[str] = set()
        row = longest = 0
        for entry in sorted(self.entries, key=lambda entry: str(entry.get("started", ""))):
            at = entry["first"]
            for find in sorted(entry["finds"], key=lambda find: int(find["index"])):
                if find["signature"] not in seen:
                    seen.add(find["signature"])
                    longest = max(longest, row + find["index"] - at)
                    row, at = 0, find["index"] + 1
            row += max(entry["first"] + entry["count"] - at, 0)
        return len(seen), row, max(longest, row)


def _read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def _series(entry: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(entry.get(name, "") for name in _SERIES)


def _processor() -> str:
    """Its name: what a vendor's library computes depends on it."""
    info = Path("/proc/cpuinfo")
    names = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _commit() -> str:
    """The commit under test, "+" where files differ from it; "" outside of a checkout."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty=+", "--exclude=*"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip()
