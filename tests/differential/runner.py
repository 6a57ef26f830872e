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
SECONDS = {"module": 60.0, "aot_inductor": 300.0}
"""What a program may take of the processor, and ten times that by the clock: a busy machine hangs nothing."""
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
            seconds += 60.0  # it imports torch first
            self._warm = True
        processor, deadline = self._processor_seconds() + seconds, time.monotonic() + 10 * seconds
        slow, ended = False, False
        while b"\n" not in self._rest and not slow and not ended:
            ready = select.select([self._process.stdout], [], [], 1.0)[0]
            part = os.read(self._process.stdout.fileno(), 1 << 20) if ready else b""
            ended = bool(ready) and not part
            self._rest += part
            slow = not ready and (time.monotonic() > deadline or self._processor_seconds() > processor)
        line, newline, rest = self._rest.partition(b"\n")
        if newline:
            self._rest = rest
            answer = json.loads(line)
            assert isinstance(answer, dict)
            return answer
        self.ended = f"no answer in {seconds:.0f} s" if slow else ""
        self.close()
        if not self.ended:
            code = self._process.returncode
            self.ended = (
                f"the process ended by {signal.Signals(-code).name}" if code < 0 else f"the process ended with {code}"
            )
        return None

    def _processor_seconds(self) -> float:
        """What the process has used so far; 0 once it has ended."""
        try:
            fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return 0.0
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

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


class Run:
    """Checks programs and makes the journal's entry. `known`: signatures of finds that were seen before."""

    def __init__(
        self, options: Options, report: Callable[[str], None], known: set[str], shrink_seconds: float = SHRINK_SECONDS
    ) -> None:
        self.options = options
        self.report = report
        self.known = known
        self.shrink_seconds = shrink_seconds
        self.entry: dict[str, Any] = {"source": options.source, "seed": options.seed, "first": None, "count": 0}
        self.entry |= {"engines": 0, "repeated": 0, "ways": {}, "notes": {}, "parts": {}, "limits": {}, "finds": []}
        self._worker: Worker | None = None
        self._messages: dict[str, int] = {}

    def until(self, deadline: float, indices: Iterator[int]) -> dict[str, Any]:
        """The entry, when the indices or the time end; a run that is broken off counts for what it did."""
        started = time.monotonic()
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        with contextlib.suppress(KeyboardInterrupt):
            while time.monotonic() < deadline and (group := list(itertools.islice(indices, self.options.together))):
                if self.entry["first"] is None:
                    self.entry["first"] = group[0]
                rest = self._check(group)
                for index in rest:  # one of them ends the process: one by one
                    if self._check([index]):
                        self._ended(index)
        if self._worker is not None:
            self._worker.close()
        self.entry["first"] = self.entry["first"] or 0
        self.entry["seconds"] = time.monotonic() - started
        self.entry["date"] = time.strftime("%Y-%m-%d")
        return self.entry

    def _check(self, group: list[int]) -> list[int]:
        """Has the worker check the programs; those without an answer, because it ended."""
        if self._worker is not None and (self._worker.ended or self._worker.asked >= BATCH):
            self._worker.close()
            self._worker = None
        self._worker = self._worker or Worker(self.options)
        slow = any("aot_inductor" in self.options.other_ways(index) for index in group)
        rest = list(group)
        self._worker.ask(group)
        while rest:
            answer = self._worker.answer(SECONDS["aot_inductor" if slow else "module"] * len(group))
            if answer is None:
                break
            rest.remove(answer["index"])
            self._count(answer)
        return rest

    def _ended(self, index: int) -> None:
        """The worker ended with this program, alone."""
        assert self._worker is not None
        self.entry["count"] += 1
        program = sources.program(self.options.source, self.options.seed, index)
        if program is not None:
            kind = "hang" if self._worker.ended.startswith("no answer") else "crash"
            self._found(index, program, oracle.Find(kind, "module", self._worker.ended))

    def _count(self, answer: dict[str, Any]) -> None:
        verdict = answer["verdict"]
        self.entry["count"] += 1
        self.entry["engines"] += verdict["engines"]
        for way in verdict["ways"]:
            _add(self.entry["ways"], way, 1)
        for part, seconds in verdict["seconds"].items():
            _add(self.entry["parts"], part, seconds)
        for note in verdict["notes"]:
            _add(self.entry["notes"], note.partition(":")[0], 1)
        for find in verdict["finds"][:1]:
            self._found(answer["index"], Program.from_json(answer["program"]), oracle.Find(**find))

    def _found(self, index: int, program: Program, find: oracle.Find) -> None:
        if find.kind in ("error", "compile", "save", "load", "gradient"):
            message = find.kind + _error_of(find)
            _add(self._messages, message, 1)
            if self._messages[message] > 2:  # one message is shrunk twice, then counted
                self.entry["repeated"] += 1
                return
        small, found = shrink_find(program, find, self.shrink_seconds) if self.shrink_seconds else (program, find)
        limit = limits.covering(small, found.kind, found.message)
        if limit is not None:
            _add(self.entry["limits"], limit.name, 1)
            return
        name = signature(small, found.kind)
        self.entry["finds"].append(
            {"index": index, **dataclasses.asdict(found), "signature": name, "program": small.to_json()}
        )
        if name in self.known:
            self.report(f"again ({program.origin}): {name}")
            return
        self.known.add(name)
        self.report(f"\n=== {found.text()}\n{script(small, found.way)}\n")


def _add(counts: dict[str, Any], name: str, amount: float) -> None:
    counts[name] = counts.get(name, 0) + amount
