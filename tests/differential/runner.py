# SPDX-License-Identifier: Apache-2.0
"""Runs programs in a worker process: a crash or a hang is a find, and the run goes on."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from . import limits, oracle, sources
from .program import Program, merge, script
from .shrink import shrink, signature
from .ways import keep_operator_lists

BATCH = 300
"""Programs of one worker: what a process keeps of each (compiled code, symbolic shapes) goes away with it."""
SECONDS = {"module": 150.0, "aot_inductor": 300.0}
SHRINK_SECONDS = 60.0


@dataclasses.dataclass
class Options:
    source: str = "draw"
    seed: int = 0
    aoti_every: int = 0
    """Every so many programs one is saved as AOTInductor too; 0: none."""
    gradients_every: int = 20
    together: int = 6
    """So many programs share a module."""

    def other_ways(self, index: int) -> list[str]:
        """Each program runs as a module and in one other form."""
        if self.aoti_every and index % self.aoti_every == self.aoti_every - 1:
            return ["aot_inductor"]
        return ["exported_program"] if index % 2 else ["torchscript"]

    def gradients(self, index: int) -> bool:
        return bool(self.gradients_every) and index % self.gradients_every == 0


# --- the worker -------------------------------------------------------------------------------------------------------


def worker(options: Options) -> None:
    """Reads indices from stdin, writes a line of JSON for each to what stdout was; everything else prints nowhere."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    torch.set_num_threads(1)
    keep_operator_lists()
    for line in sys.stdin:
        for index, program, verdict in several(options, json.loads(line)):
            answer = {
                "index": index,
                "program": program.to_json() if program is not None and verdict.finds else None,
                "verdict": dataclasses.asdict(verdict),
            }
            answers.write(json.dumps(answer) + "\n")


def several(options: Options, indices: list[int]) -> Iterator[tuple[int, Program | None, oracle.Verdict]]:
    """Checks programs side by side in one module, and one by one where that shows anything but full agreement."""
    programs = [(index, sources.program(options.source, options.seed, index)) for index in indices]
    plain = [(index, program) for index, program in programs if program is not None and -1 not in program.calls]
    alike = [(index, program) for index, program in plain if program.calls == plain[0][1].calls]
    if len(alike) > 1:
        verdict = oracle.check(merge([program for _, program in alike]), options.other_ways(alike[0][0]))
        if not verdict.finds and not verdict.notes:
            for place, (index, program) in enumerate(alike):
                yield index, program, verdict if place == 0 else oracle.Verdict(ways=verdict.ways)
            programs = [item for item in programs if item not in alike]
    for index, program in programs:
        if program is None:
            yield index, None, oracle.Verdict(notes=["the source has no program here"])
        else:
            yield index, program, oracle.check(program, options.other_ways(index), options.gradients(index))


class Worker:
    """A worker process. `ask` gives its answer, or None where it died or was too slow (`ended` says how)."""

    def __init__(self, options: Options) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "differential", "--worker", json.dumps(dataclasses.asdict(options))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            cwd=Path(__file__).resolve().parent.parent,
        )
        self.asked = 0
        self.ended = ""
        self._warm = False
        self._rest = b""

    def ask(self, indices: list[int]) -> None:
        """Gives it programs to check side by side; `answer` then gives a verdict for each."""
        assert self._process.stdin is not None
        self.asked += len(indices)
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write((json.dumps(indices) + "\n").encode())
            self._process.stdin.flush()

    def answer(self, seconds: float) -> dict[str, Any] | None:
        assert self._process.stdout is not None
        if not self._warm:
            seconds += 120.0  # it imports torch first
            self._warm = True
        deadline = time.monotonic() + seconds
        ready, ended = True, False
        while b"\n" not in self._rest and ready and not ended:
            ready = bool(select.select([self._process.stdout], [], [], max(0.0, deadline - time.monotonic()))[0])
            part = os.read(self._process.stdout.fileno(), 1 << 20) if ready else b""
            ended = ready and not part
            self._rest += part
        line, newline, rest = self._rest.partition(b"\n")
        if newline:
            self._rest = rest
            answer = json.loads(line)
            assert isinstance(answer, dict)
            return answer
        self.ended = f"no answer in {seconds:.0f} s" if not ready else ""
        self.close()
        if not self.ended:
            code = self._process.returncode
            self.ended = (
                f"the process ended by {signal.Signals(-code).name}" if code < 0 else f"the process ended with {code}"
            )
        return None

    def close(self) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


# --- shrinking --------------------------------------------------------------------------------------------------------


def in_child(program: Program, ways: list[str], seconds: float, gradients: bool = False) -> list[oracle.Find]:
    """The program's finds, from a forked process, so that a crash is a find too. This process must not have run an
    engine: the vendor's threads do not survive a fork."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(read)
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, 1)
            os.dup2(nowhere, 2)
            torch.set_num_threads(1)
            finds = oracle.check(program, ways, gradients).finds
            os.write(write, json.dumps([dataclasses.asdict(find) for find in finds]).encode()[:60_000])
            os._exit(0)
        except BaseException:
            os._exit(77)
    os.close(write)
    ready, _, _ = select.select([read], [], [], seconds)
    text = os.read(read, 65_536) if ready else b""
    os.close(read)
    if not ready:
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if not ready:
        return [oracle.Find("hang", "module", f"no answer in {seconds:.0f} s")]
    if os.WIFSIGNALED(status):
        return [oracle.Find("crash", "module", f"the process ended by {signal.Signals(os.WTERMSIG(status)).name}")]
    return [oracle.Find(**item) for item in json.loads(text)] if text else []


def alike(one: oracle.Find, other: oracle.Find) -> bool:
    """Whether two finds are of one kind: for errors, by the error's class too."""
    if one.kind != other.kind or (one.way != other.way and one.kind not in ("crash", "hang")):
        return False
    if one.kind in ("error", "compile", "save", "load"):
        return _error_of(one) == _error_of(other)
    return True


def _error_of(find: oracle.Find) -> str:
    text = find.message.split("): ", 1)[-1]
    return "".join(letter for letter in text[:60] if not letter.isdigit())


def shrink_find(program: Program, find: oracle.Find, seconds: float = SHRINK_SECONDS) -> tuple[Program, oracle.Find]:
    """In this process, which must not have run an engine."""
    ways = [] if find.way == "module" else [find.way]
    limit = 20.0 if find.way != "aot_inductor" else 300.0
    last = [find]

    def fails(candidate: Program) -> bool:
        for found in in_child(candidate, ways, limit, find.kind == "gradient"):
            if alike(found, find):
                last[0] = found
                return True
        return False

    return shrink(program, fails, seconds), last[0]


# --- the run ----------------------------------------------------------------------------------------------------------


class Journal:
    """A file of lines of JSON, one for each run: how many programs, how long, what was found. Grows, never shrinks."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.entries = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def next_index(self, options: Options) -> int:
        return max(
            (entry["first"] + entry["count"] for entry in self.entries if _same_series(entry, options)), default=0
        )

    def signatures(self) -> set[str]:
        return {find["signature"] for entry in self.entries for find in entry["finds"]}

    def add(self, entry: dict[str, Any]) -> None:
        self.entries.append(entry)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a") as file:
            file.write(json.dumps(entry) + "\n")

    def summary(self) -> str:
        count = sum(entry["count"] for entry in self.entries)
        hours = sum(entry["seconds"] for entry in self.entries) / 3600
        ways: dict[str, int] = {}
        for entry in self.entries:
            for way, number in entry["ways"].items():
                ways[way] = ways.get(way, 0) + number
        in_a_row = 0
        seen: set[str] = set()
        for entry in self.entries:
            fresh = [find for find in entry["finds"] if find["signature"] not in seen]
            seen |= {find["signature"] for find in entry["finds"]}
            last = max((find["index"] for find in fresh), default=None)
            in_a_row = in_a_row + entry["count"] if last is None else entry["first"] + entry["count"] - 1 - last
        by_way = ", ".join(f"{number} as {way}" for way, number in sorted(ways.items()))
        return (
            f"journal: {count} programs in {hours:.2f} hours ({by_way}), {len(seen)} different finds, "
            f"nothing new in the last {in_a_row} programs"
        )


def _same_series(entry: dict[str, Any], options: Options) -> bool:
    return bool(entry["source"] == options.source and entry["seed"] == options.seed)


def run(
    options: Options,
    indices: Iterator[int],
    deadline: float,
    report: Callable[[str], None],
    known: set[str],
    shrink_seconds: float = SHRINK_SECONDS,
) -> dict[str, Any]:
    """Checks programs until the indices or the time end; the journal's entry. `known`: signatures seen before."""
    started = time.monotonic()
    entry: dict[str, Any] = {"source": options.source, "seed": options.seed, "first": None, "count": 0, "engines": 0}
    entry |= {"ways": {}, "notes": {}, "parts": {}, "finds": [], "date": time.strftime("%Y-%m-%d")}
    active: Worker | None = None
    pending: list[tuple[int, Program, oracle.Find]] = []
    errors: dict[str, int] = {}
    while chunk := list(itertools.islice(indices, options.together)):
        if time.monotonic() > deadline:
            break
        if entry["first"] is None:
            entry["first"] = chunk[0]
        groups = [chunk]
        while groups:
            group = groups.pop()
            if active is None or active.asked >= BATCH:
                if active is not None:
                    active.close()
                active = Worker(options)
            rest = _ask(active, options, group, entry, pending)
            if rest:
                ended, active = active.ended, None
                if len(group) > 1:
                    groups += [[index] for index in reversed(rest)]  # one of them ends the process: one by one
                    continue
                entry["count"] += 1
                program = sources.program(options.source, options.seed, group[0])
                if program is not None:
                    kind = "hang" if ended.startswith("no answer") else "crash"
                    pending.append((group[0], program, oracle.Find(kind, "module", ended)))
        while pending:
            number, program, find = pending.pop()
            if find.kind in (
                "error",
                "compile",
                "save",
                "load",
                "gradient",
            ):  # one message is shrunk twice, then counted
                text = find.kind + _error_of(find)
                errors[text] = errors.get(text, 0) + 1
                if errors[text] > 2:
                    entry["repeated"] = entry.get("repeated", 0) + 1
                    continue
            _record(number, program, find, entry, known, report, shrink_seconds)
    if active is not None:
        active.close()
    entry["first"] = entry["first"] or 0
    entry["seconds"] = time.monotonic() - started
    return entry


def _ask(
    worker: Worker,
    options: Options,
    group: list[int],
    entry: dict[str, Any],
    pending: list[tuple[int, Program, oracle.Find]],
) -> list[int]:
    """Has the programs checked; those that the worker gave no answer for, because it ended."""
    slow = any("aot_inductor" in options.other_ways(index) for index in group)
    rest = list(group)
    worker.ask(group)
    while rest:
        answer = worker.answer(SECONDS["aot_inductor" if slow else "module"] * len(group))
        if answer is None:
            break
        rest.remove(answer["index"])
        _count(answer, entry, pending)
    return rest


def _count(answer: dict[str, Any], entry: dict[str, Any], pending: list[tuple[int, Program, oracle.Find]]) -> None:
    verdict = answer["verdict"]
    entry["count"] += 1
    entry["engines"] += verdict["engines"]
    for way in verdict["ways"]:
        entry["ways"][way] = entry["ways"].get(way, 0) + 1
    for part, seconds in verdict["seconds"].items():
        entry["parts"][part] = entry["parts"].get(part, 0.0) + seconds
    for note in verdict["notes"]:
        name = note.partition(":")[0]
        entry["notes"][name] = entry["notes"].get(name, 0) + 1
    if verdict["finds"]:
        pending.append((answer["index"], Program.from_json(answer["program"]), oracle.Find(**verdict["finds"][0])))


def _record(
    index: int,
    program: Program,
    find: oracle.Find,
    entry: dict[str, Any],
    known: set[str],
    report: Callable[[str], None],
    shrink_seconds: float,
) -> None:
    small, found = shrink_find(program, find, shrink_seconds) if shrink_seconds else (program, find)
    limit = limits.covering(small, found.kind, found.message)
    name = signature(small, found.kind)
    if limit is not None:
        entry["limits"] = {**entry.get("limits", {}), limit.name: entry.get("limits", {}).get(limit.name, 0) + 1}
        return
    entry["finds"].append(
        {
            "index": index,
            "kind": found.kind,
            "way": found.way,
            "message": found.message,
            "signature": name,
            "program": small.to_json(),
        }
    )
    if name in known:
        report(f"again ({program.origin}): {name}")
        return
    known.add(name)
    report(f"\n=== {found.text()}\n{script(small, found.way)}\n")
