# SPDX-License-Identifier: Apache-2.0
"""What a run of `make gpu-test` found, from the files that its parts left: one JSON file, and tables for docs/gpu.md.

    python tools/gpu/report.py FOLDER --json FILE

FOLDER holds GoogleTest's JSON (`part.json`, of several processes `part.0.json`, ...), pytest's JUnit XML (`part.xml`),
`about.json` (what ran where, any pairs), and `latency.json` of benchmarks/gpu.py; any of them may be missing. Exit
status 1: something failed, or nothing ran.
"""

from __future__ import annotations

import argparse
import json
import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

NOT_PARTS = ("about", "latency")


@dataclass
class Part:
    """One program, or one run of pytest, in all its processes."""

    name: str
    passed: int = 0
    skipped: int = 0
    seconds: float = 0.0
    """Of the slowest process."""
    failures: list[str] = field(default_factory=list)
    """The tests that failed, by the names that select them."""


def add_googletest(part: Part, text: str) -> None:
    """`text`: what `--gtest_output=json:` writes. ValueError, KeyError, TypeError: it is something else, or cut off."""
    run = json.loads(text)
    part.seconds = max(part.seconds, float(run["time"].removesuffix("s")))
    for suite in run["testsuites"]:
        for test in suite["testsuite"]:
            if test.get("failures"):
                part.failures.append(f"{suite['name']}.{test['name']}")
            elif test.get("result") == "SKIPPED":
                part.skipped += 1
            elif test.get("result") == "COMPLETED":
                part.passed += 1


def add_pytest(part: Part, text: str) -> None:
    """`text`: what `--junitxml` writes. ElementTree.ParseError: it is something else, or cut off."""
    for suite in ElementTree.fromstring(text).iter("testsuite"):
        part.seconds = max(part.seconds, float(suite.get("time", 0)))
        for test in suite.iter("testcase"):
            if test.find("failure") is not None or test.find("error") is not None:
                part.failures.append(f"{test.get('classname', '').replace('.', '/')}.py::{test.get('name')}")
            elif test.find("skipped") is not None:
                part.skipped += 1
            else:
                part.passed += 1


def parts_in(folder: Path) -> list[Part]:
    """A file that cannot be read is a failure of its part: the program ended before it had written it."""
    parts: dict[str, Part] = {}
    for path in sorted([*folder.glob("*.json"), *folder.glob("*.xml")]):
        name = path.name.partition(".")[0]
        if name in NOT_PARTS:
            continue
        part = parts.setdefault(name, Part(name))
        try:
            (add_googletest if path.suffix == ".json" else add_pytest)(part, path.read_text())
        except (ValueError, KeyError, TypeError, ElementTree.ParseError) as error:
            part.failures.append(f"{path.name} cannot be read: {error}")
    return list(parts.values())


def _loaded(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return None


def markdown(about: dict[str, Any] | None, parts: list[Part], latency: dict[str, Any] | None) -> str:
    lines = [", ".join(f"{name} {value}" for name, value in about.items()), ""] if about else []
    lines += ["| part | passed | failed | skipped | seconds |", "| --- | --- | --- | --- | --- |"]
    lines += [
        f"| `{part.name}` | {part.passed} | {len(part.failures)} | {part.skipped} | {part.seconds:.0f} |"
        for part in parts
    ]
    lines += ["", *(f"* failed: `{test}`" for part in parts for test in part.failures)]
    if latency and latency.get("cases"):
        lines += ["", "| model, dtype, batch | contender | ms: minimum, median |", "| --- | --- | --- |"]
        lines += [
            f"| {case['model']} {case['dtype']} {case['batch']} | {name} "
            f"| {times['min_us'] / 1e3:.3f}, {times['median_us'] / 1e3:.3f} |"
            for case in latency["cases"]
            for name, times in case["results"].items()
        ]
    return "\n".join(lines).rstrip() + "\n"


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--json", type=Path, help="write all of it here")
    given = parser.parse_args(arguments)
    about, latency = _loaded(given.folder / "about.json"), _loaded(given.folder / "latency.json")
    parts = parts_in(given.folder)
    if given.json:
        run = {"about": about, "parts": [asdict(part) for part in parts], "latency": latency}
        given.json.write_text(json.dumps(run, indent=1) + "\n")
    print(markdown(about, parts, latency), end="")
    return 1 if not parts or any(part.failures for part in parts) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
