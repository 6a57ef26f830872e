# SPDX-License-Identifier: Apache-2.0
"""The command: see ``python -m differential --help``, and docs/testing.md."""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import time
from pathlib import Path

from . import limits, oracle, runner, sources
from .journal import Journal, Options
from .program import Program, script

JOURNAL = Path(__file__).resolve().parents[2] / "build" / "differential" / "journal.jsonl"


def main() -> int:
    given = _parser().parse_args()
    if given.worker:
        runner.worker(Options(**json.loads(given.worker)))
        return 0
    journal = Journal(given.journal)
    if given.merge:
        journal.merge(given.merge)
        print(journal.summary())
        return 0
    options = Options(given.source, given.seed, given.targets, given.only, given.aoti_every)
    if given.index is not None or given.replay:
        if given.replay:
            program: Program | None = _replayed(given.replay, given.index)
        else:
            program = sources.program(options, given.index)
        if program is None:
            print("the source has no program here")
            return 0
        ways = [way for way in given.ways.split(",") if way] or options.other_ways(given.index or 0)
        return show(program, ways, options.target, given.shrink, given.shrink_seconds)
    start = journal.next_index(options) if given.start is None else given.start
    indices = itertools.count(start) if given.count is None else iter(range(start, start + given.count))
    minutes = given.minutes if given.count is None else 60.0 * 24 * 365
    run = runner.Run(options, lambda text: print(text, flush=True), journal.signatures(), given.shrink_seconds)
    entry = run.until(time.monotonic() + 60 * minutes, indices, given.jobs)
    journal.add(entry)
    rate = 60 * entry["count"] / max(entry["seconds"], 1e-9)
    parts = ", ".join(
        f"{name} {seconds:.0f} s" for name, seconds in sorted(entry["parts"].items(), key=lambda item: -item[1])
    )
    print(
        f"{entry['count']} programs from {entry['first']} in {entry['seconds']:.0f} s ({rate:.0f} in a minute; {parts})"
    )
    print(f"{entry['engines']} engines; exact forms answered {entry['exact_calls']} of {entry['engine_calls']} calls")
    for about, found_at in entry["repeated"].items():
        print(f"again at {len(found_at)} more: {about}")
    print(f"finds: {len(entry['finds'])}, limits: {entry['limits']}, notes: {entry['notes']}")
    print(journal.summary())
    return 1 if entry["finds"] else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m differential", description=__doc__)
    parser.add_argument("--source", choices=sources.NAMES, default="draw")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--targets",
        default="",
        help="tensorrt: on a GPU, against eager on it; tensorrt_rtx: builds only, without a GPU",
    )
    parser.add_argument("--only", default="", help="programs with a step that this pattern matches")
    parser.add_argument("--jobs", type=int, default=1, help="so many programs at a time")
    parser.add_argument("--index", type=int, help="one program: print it as a script, check it in this process")
    parser.add_argument("--start", type=int, help="first index (default: behind the journal's last)")
    parser.add_argument("--count", type=int, help="that many programs")
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--aoti-every", type=int, default=0, help="one program in so many as AOTInductor too")
    parser.add_argument(
        "--shrink-seconds", type=float, default=runner.SHRINK_SECONDS, help="0: print finds as they are"
    )
    parser.add_argument("--journal", type=Path, default=JOURNAL)
    parser.add_argument("--merge", type=Path, nargs="+", help="add these journals to the journal, and run nothing")
    parser.add_argument(
        "--replay", type=Path, help="a file with a program as JSON; with --index: a journal with a find there"
    )
    parser.add_argument("--ways", default="", help="with --index or --replay: other ways, separated by commas")
    parser.add_argument("--shrink", action="store_true", help="with --index or --replay: shrink what it finds")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    return parser


def _replayed(path: Path, index: int | None) -> Program | None:
    """The program of a file: as a run prints it, or the journal's find at the index."""
    text = path.read_text() if index is None else Journal(path).program(index)
    return Program.from_json(text.removeprefix("# ")) if text is not None else None


def show(program: Program, ways: list[str], target: str, smaller: bool, seconds: float) -> int:
    if smaller:
        finds = runner.in_child(program, ways, 300.0, gradients=True, target=target)
    else:
        finds = oracle.check(program, ways, True, target).finds
    known = {limit.name for find in finds if (limit := limits.covering(program, find, target)) is not None}
    finds = [find for find in finds if limits.covering(program, find, target) is None]
    if not finds:
        print(script(program, target=target))
        print("".join(f"# a known limit: {name}\n" for name in sorted(known)) + "# nothing found")
    for find in finds[:1]:
        shown, found = runner.shrink_find(program, find, seconds, target) if smaller else (program, find)
        print(script(shown, found.way, target))
        print(f"# {found.text()}")
        if smaller:
            print(shown.to_json())
    return 1 if finds else 0


if __name__ == "__main__":
    sys.exit(main())
