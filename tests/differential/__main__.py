# SPDX-License-Identifier: Apache-2.0
"""The command: see ``python -m differential --help``, and docs/testing.md."""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import time
from pathlib import Path

from . import oracle, runner, sources
from .program import Program, script

JOURNAL = Path(__file__).resolve().parents[2] / "build" / "differential" / "journal.jsonl"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m differential", description=__doc__)
    parser.add_argument("--source", choices=sources.NAMES, default="draw")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--index", type=int, help="one program: print it as a script, check it in this process")
    parser.add_argument("--start", type=int, help="first index (default: behind the journal's last)")
    parser.add_argument("--count", type=int, help="that many programs")
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--aoti-every", type=int, default=0, help="one program in so many as AOTInductor too")
    parser.add_argument(
        "--shrink-seconds", type=float, default=runner.SHRINK_SECONDS, help="0: print finds as they are"
    )
    parser.add_argument("--journal", type=Path, default=JOURNAL)
    parser.add_argument("--replay", type=Path, help="a program as JSON, instead of an index")
    parser.add_argument("--ways", default="", help="with --index or --replay: other ways, separated by commas")
    parser.add_argument("--shrink", action="store_true", help="with --index or --replay: shrink what it finds")
    parser.add_argument("--together", type=int, default=6, help="so many programs share a module")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        runner.worker(runner.Options(**json.loads(given.worker)))
        return 0
    options = runner.Options(given.source, given.seed, given.aoti_every, together=given.together)
    if given.index is not None or given.replay:
        if given.replay:
            program: Program | None = Program.from_json(given.replay.read_text())
        else:
            program = sources.program(given.source, given.seed, given.index)
        if program is None:
            print("the source has no program here")
            return 0
        ways = [way for way in given.ways.split(",") if way] or options.other_ways(given.index or 0)
        return show(program, ways, given.shrink, given.shrink_seconds)
    journal = runner.Journal(given.journal)
    start = journal.next_index(options) if given.start is None else given.start
    indices = itertools.count(start) if given.count is None else iter(range(start, start + given.count))
    minutes = given.minutes if given.count is None else 60.0 * 24 * 365
    deadline = time.monotonic() + 60 * minutes
    run = runner.Run(options, lambda text: print(text, flush=True), journal.signatures(), given.shrink_seconds)
    entry = run.until(deadline, indices)
    journal.add(entry)
    rate = 3600 * entry["count"] / max(entry["seconds"], 1e-9)
    parts = ", ".join(
        f"{name} {seconds:.0f} s" for name, seconds in sorted(entry["parts"].items(), key=lambda item: -item[1])
    )
    print(
        f"{entry['count']} programs from {entry['first']} in {entry['seconds']:.0f} s ({rate:.0f} in an hour; {parts})"
    )
    print(f"{entry['engines']} engines, finds: {len(entry['finds'])}")
    print(f"notes: {entry['notes']}, limits: {entry['limits']}")
    print(journal.summary())
    return 1 if entry["finds"] else 0


def show(program: Program, ways: list[str], smaller: bool, seconds: float) -> int:
    finds = (
        runner.in_child(program, ways, 300.0, gradients=True) if smaller else oracle.check(program, ways, True).finds
    )
    if not finds:
        print(script(program))
        print("# nothing found")
    for find in finds[:1]:
        shown, found = runner.shrink_find(program, find, seconds) if smaller else (program, find)
        print(script(shown, found.way if found.way != "module" else "module"))
        print(f"# {found.text()}")
        if smaller:
            print(shown.to_json())
    return 1 if finds else 0


if __name__ == "__main__":
    sys.exit(main())
