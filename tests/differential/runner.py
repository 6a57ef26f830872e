# SPDX-License-Identifier: Apache-2.0
"""Runs programs in worker processes: a crash or a hang is a find, and the run goes on.

A run has lanes, each a thread with two processes: one checks programs, the other shrinks what is found (it forks for
each candidate, so it must never run an engine itself). Nothing that goes wrong in them ends the run: the process of the
run itself draws no program and runs none, since eager PyTorch can end a process too (the least integer divided by -1).
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import os
import re
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from . import limits, oracle, sources
from .journal import Journal, Options
from .program import Program, clean, script
from .shrink import shrink, signature
from .ways import keep_operator_lists, warm_up

BATCH = 300
"""Programs of one worker: what a process keeps of each (compiled code, symbolic shapes) goes away with it."""
SECONDS = {"module": 60.0, "aot_inductor": 300.0}
"""What a program may take of the processor, and ten times that by the clock: a busy machine hangs nothing."""
SHRINK_SECONDS = 60.0
SHRUNK = 2
"""So many finds of one kind at one operator (or with one message) are shrunk; those after them are counted."""


# --- the worker -------------------------------------------------------------------------------------------------------


def worker(options: Options) -> None:
    """Reads requests from stdin, a line of JSON each, and answers in a line to what stdout was; everything else prints
    nowhere. A request is an index to check, an index whose check ended the process, or a program with a find of it, to
    be shrunk."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    torch.set_num_threads(1)
    keep_operator_lists()
    warm_up(options.target)
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if "find" in request:
                answer = _shrunk(request, options)
            elif "ended" in request:
                answer = _ended(request["ended"], options)
            else:
                answer = _checked(request["index"], options)
        except Exception:
            answer = {"failure": traceback.format_exc()}
        answer["last"] = options.device == "cuda" and "index" in request and _gpu_is_broken()
        answers.write(json.dumps(answer) + "\n")
        if answer["last"]:
            os._exit(0)


def _checked(index: int, options: Options) -> dict[str, Any]:
    program = sources.program(options, index)
    if program is None:
        return {
            "program": None,
            "verdict": dataclasses.asdict(oracle.Verdict(notes=["the source has no program here"])),
        }
    verdict = oracle.check(program, options.other_ways(index), options.gradients(index), options.target)
    found = _found(program, verdict.finds[0], options) if verdict.finds else {"program": None}
    return {**found, "verdict": dataclasses.asdict(verdict)}


def _found(program: Program, find: oracle.Find, options: Options) -> dict[str, Any]:
    """A find, and the limit that covers it. Said here because a limit may have to run the program."""
    limit = limits.covering(program, find, options.target)
    return {"program": program.to_json(), "find": dataclasses.asdict(find), "limit": limit.name if limit else ""}


def _ended(index: int, options: Options) -> dict[str, Any]:
    """The program whose check ended the process; none where PyTorch alone ends it too, which is no find."""
    told, ended = forked(lambda tell: _run_eagerly(index, options, tell), 5 * SECONDS["module"])
    if not told or _is_crash(ended) or _is_hang(ended):
        return {"program": None, "note": f"PyTorch itself ends the process: {ended}"}
    return {"program": told[0]}


def _run_eagerly(index: int, options: Options, tell: Callable[[Any], None]) -> None:
    program = sources.program(options, index)
    if program is not None:
        tell(program.to_json())
        oracle.run_without_us(program)


def _shrunk(request: dict[str, Any], options: Options) -> dict[str, Any]:
    program, find = Program.from_json(request["program"]), oracle.Find(**request["find"])
    small, found = shrink_find(program, find, request["seconds"], options.target)
    return _found(small, found, options)


def _gpu_is_broken() -> bool:
    """Whether an error of the GPU spoils every later call of this process."""
    try:
        torch.cuda.synchronize()
    except RuntimeError:
        return True
    return False


class Worker:
    """A worker process. `answer` gives its answer, or None where it died or was too slow (`ended` says how)."""

    def __init__(self, options: Options) -> None:
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 (closed with the process)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "differential", "--worker", json.dumps(dataclasses.asdict(options))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            bufsize=0,
            cwd=Path(__file__).resolve().parent.parent,
        )
        self.asked = 0
        self.ended = ""
        self._warm = False
        self._rest = b""

    def ask(self, request: dict[str, Any], seconds: float) -> dict[str, Any] | None:
        assert self._process.stdin is not None
        self.asked += 1
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write((json.dumps(request) + "\n").encode())
            self._process.stdin.flush()
        return self._answer(seconds)

    def _answer(self, seconds: float) -> dict[str, Any] | None:
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
            if answer.pop("last"):
                self.ended = "after its answer"
            return answer
        if slow:
            self._process.kill()
        self.close()
        self.ended = f"no answer in {seconds:.0f} s" if slow else _ending(self._process.returncode)
        if last := self._last_words():
            self.ended += f"; it said: {last}"
        self._said.close()
        return None

    def _last_words(self) -> str:
        self._said.seek(max(self._said.seek(0, os.SEEK_END) - 400, 0))
        return self._said.read().decode(errors="replace").strip()

    def _processor_seconds(self) -> float:
        """What the process has used so far; 0 once it has ended."""
        try:
            fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return 0.0
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def kill(self) -> None:
        self._process.kill()


# --- shrinking --------------------------------------------------------------------------------------------------------


def forked(work: Callable[[Callable[[Any], None]], None], seconds: float) -> tuple[list[Any], str]:
    """What `work` tells in a forked process (values of JSON), and how that ended ("": well). This process must not have
    run an engine: the vendor's threads do not survive a fork."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(read)
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, 1)
            os.dup2(nowhere, 2)
            torch.set_num_threads(1)
            with os.fdopen(write, "w", buffering=1) as file:
                work(lambda value: print(json.dumps(value), file=file))
            os._exit(0)
        except BaseException:
            os._exit(77)
    os.close(write)
    text, deadline = b"", time.monotonic() + seconds
    while select.select([read], [], [], max(deadline - time.monotonic(), 0.0))[0]:
        part = os.read(read, 1 << 16)
        if not part:
            break
        text += part
    else:
        os.kill(child, signal.SIGKILL)
    os.close(read)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    ended = f"no answer in {seconds:.0f} s" if code == -signal.SIGKILL else _ending(code) if code else ""
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith(b"\n")], ended


def _ending(code: int) -> str:
    return f"the process ended by {signal.Signals(-code).name}" if code < 0 else f"the process ended with {code}"


def _is_crash(ending: str) -> bool:
    return ending.startswith("the process ended by")


def _is_hang(ending: str) -> bool:
    return ending.startswith("no answer")


def in_child(
    program: Program, ways: list[str], seconds: float, gradients: bool = False, target: str = ""
) -> list[oracle.Find]:
    """The program's finds, from a forked process, so that a crash is a find too."""

    def check(tell: Callable[[Any], None]) -> None:
        for find in oracle.check(program, ways, gradients, target).finds[:8]:
            tell(dataclasses.asdict(find))

    told, ended = forked(check, seconds)
    if _is_crash(ended) or _is_hang(ended):
        return [oracle.Find("hang" if _is_hang(ended) else "crash", "module", ended)]
    return [oracle.Find(**item) for item in told]


def alike(one: oracle.Find, other: oracle.Find) -> bool:
    """Whether two finds are of one kind: for errors, by the error's class too."""
    if one.kind != other.kind or (one.way != other.way and one.kind not in ("crash", "hang")):
        return False
    if one.kind in oracle.ERRORS:
        return _error_of(one) == _error_of(other)
    return True


def _error_of(find: oracle.Find) -> str:
    text = find.message.split("): ", 1)[-1]
    return "".join(letter for letter in text[:60] if not letter.isdigit())


def shrink_find(
    program: Program, find: oracle.Find, seconds: float = SHRINK_SECONDS, target: str = ""
) -> tuple[Program, oracle.Find]:
    """The smallest program that shows the find, and what it shows. In this process, which must not have run an engine.
    A fault of the shrinker's own costs nothing but smallness."""
    ways = [] if find.way == "module" else [find.way]
    limit = 20.0 if find.way != "aot_inductor" else 300.0
    best = [(program, find)]

    def fails(candidate: Program) -> bool:
        for found in in_child(candidate, ways, limit, find.kind == "gradient", target):
            if alike(found, find):
                best[0] = (candidate, found)
                return True
        return False

    try:
        if len(outputs := _outputs_of(program, find)) == 1:
            fails(clean(dataclasses.replace(program.copy(), outputs=outputs)))
        shrink(best[0][0], fails, seconds)
    except Exception:
        traceback.print_exc()
    return best[0]


# --- the run ----------------------------------------------------------------------------------------------------------


class Run:
    """Checks programs and makes the journal's entry. `known`: signatures of finds that were seen before."""

    def __init__(
        self, options: Options, report: Callable[[str], None], known: set[str], shrink_seconds: float = SHRINK_SECONDS
    ) -> None:
        self.options = options
        self.report = report
        self.known = known
        self.shrink_seconds = shrink_seconds
        self.entry = Journal.new_entry(options)
        self._lock = threading.Lock()
        """Guards everything below, the entry, and `known`; not held while a program runs."""
        self._done: set[int] = set()
        self._stopped = False
        self._lanes: list[_Lane] = []
        self._repeats: dict[str, int] = {}

    def until(self, deadline: float, indices: Iterator[int], jobs: int = 1) -> dict[str, Any]:
        """The entry, when the indices or the time end; a run that is broken off counts for what it did."""
        started = time.monotonic()
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        self._indices = indices
        self._deadline = deadline
        self._lanes = [_Lane(self.options) for _ in range(jobs)]
        threads = [threading.Thread(target=self._work, args=(lane,)) for lane in self._lanes]
        for thread in threads:
            thread.start()
        try:
            for thread in threads:
                thread.join()
        except KeyboardInterrupt:
            self._stopped = True
            for lane in self._lanes:
                lane.kill()
            for thread in threads:
                thread.join()
        # Without a hole: those behind an index that was broken off are checked again by the next run.
        first = min(self._done, default=0)
        self.entry["first"] = first
        self.entry["count"] = next(count for count in itertools.count() if first + count not in self._done)
        self.entry["seconds"] = round(time.monotonic() - started, 1)
        return self.entry

    def _work(self, lane: _Lane) -> None:
        while True:
            with self._lock:
                index = next(self._indices, None) if time.monotonic() < self._deadline and not self._stopped else None
            if index is None:
                break
            try:
                self._check(lane, index)
            except Exception:
                self._failed(index, traceback.format_exc())
        lane.close()

    def _check(self, lane: _Lane, index: int) -> None:
        slow = "aot_inductor" in self.options.other_ways(index)
        checker = lane.checker()
        answer = checker.ask({"index": index}, SECONDS["aot_inductor" if slow else "module"])
        if self._stopped:
            return
        if answer is None:
            answer = self._ended(lane, index, checker.ended)
        if "failure" in answer:
            self._failed(index, answer["failure"])
        else:
            with self._lock:
                self._count(answer["verdict"])
            if answer["program"] is not None:
                self._found(lane, index, answer)
        with self._lock:
            self._done.add(index)

    def _ended(self, lane: _Lane, index: int, how: str) -> dict[str, Any]:
        """The answer in place of a process that ended while it checked the index."""
        kind = "hang" if _is_hang(how) else "crash"
        drawn = lane.ended(index)
        if drawn is None or "failure" in drawn:
            return {"failure": f"{kind}: {how}; and the program cannot be drawn again"}
        notes = [drawn["note"]] if "note" in drawn else []
        found = {"find": dataclasses.asdict(oracle.Find(kind, "module", how)), "limit": ""}
        return {**found, "program": drawn["program"], "verdict": dataclasses.asdict(oracle.Verdict(notes=notes))}

    def _failed(self, index: int, text: str) -> None:
        """The machine's own fault: counted as a find, so that nobody takes the run for a clean one."""
        with self._lock:
            self._done.add(index)
            self.entry["finds"].append({"index": index, "kind": "machine", "signature": "machine", "message": text})
            self.report(f"\n=== the machine failed at index {index}\n{text}")

    def _count(self, verdict: dict[str, Any]) -> None:
        for name in ("engines", "exact_calls", "engine_calls"):
            self.entry[name] += verdict[name]
        for way in verdict["ways"]:
            _add(self.entry["ways"], way, 1)
        for part, seconds in verdict["seconds"].items():
            _add(self.entry["parts"], part, round(seconds, 3))
        for note in verdict["notes"]:
            _add(self.entry["notes"], note.partition(":")[0], 1)

    def _found(self, lane: _Lane, index: int, answer: dict[str, Any]) -> None:
        program, find = Program.from_json(answer["program"]), oracle.Find(**answer["find"])
        with self._lock:
            # Errors have messages to know them by; other finds are shrunk first, so that a limit covers nothing that
            # merely happens beside it.
            if find.kind in oracle.ERRORS and self._is_limit(answer):
                return
            about = f"{find.kind}: {_about(program, find)}"
            _add(self._repeats, about, 1)
            if self._repeats[about] > SHRUNK:
                # As it is, a limit covers it: those before it, of the same operator, are being shrunk or were finds.
                if self._is_limit(answer):
                    return
                again = {"index": index, "message": find.message, "program": answer["program"]}
                self.entry["repeated"].setdefault(about, []).append(again)
                return
        if self.shrink_seconds:
            answer = lane.shrunk(answer, self.shrink_seconds)
        small, found = Program.from_json(answer["program"]), oracle.Find(**answer["find"])
        with self._lock:
            if self._is_limit(answer):
                self._repeats[about] -= 1
                return
            name = signature(small, found.kind)
            self.entry["finds"].append(
                {"index": index, **dataclasses.asdict(found), "signature": name, "program": answer["program"]}
            )
            if name in self.known:
                self.report(f"again ({program.origin}): {name}")
                return
            self.known.add(name)
            text = script(small, found.way, self.options.target)
            self.report(f"\n=== {found.text()}\n{text}\n# {answer['program']}\n")

    def _is_limit(self, answer: dict[str, Any]) -> bool:
        if answer["limit"]:
            _add(self.entry["limits"], answer["limit"], 1)
        return bool(answer["limit"])


class _Lane:
    """A process that checks and one that shrinks, made when needed."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._checker: Worker | None = None
        self._shrinker: Worker | None = None

    def checker(self) -> Worker:
        if self._checker is not None and (self._checker.ended or self._checker.asked >= BATCH):
            self._checker.close()
            self._checker = None
        self._checker = self._checker or Worker(self._options)
        return self._checker

    def ended(self, index: int) -> dict[str, Any] | None:
        """What is left of a program whose check ended the process (`_ended`); None where that cannot be said."""
        return self._ask_shrinker({"ended": index}, 10 * SECONDS["module"])

    def shrunk(self, found: dict[str, Any], seconds: float) -> dict[str, Any]:
        """What was found, smaller; as it is, where the shrinker fails."""
        request = {"program": found["program"], "find": found["find"], "seconds": seconds}
        answer = self._ask_shrinker(request, seconds + 60.0)
        return found if answer is None or "failure" in answer else answer

    def _ask_shrinker(self, request: dict[str, Any], seconds: float) -> dict[str, Any] | None:
        if self._shrinker is None or self._shrinker.ended:
            self._shrinker = Worker(self._options)
        return self._shrinker.ask(request, seconds)

    def kill(self) -> None:
        for process in (self._checker, self._shrinker):
            if process is not None:
                process.kill()

    def close(self) -> None:
        for process in (self._checker, self._shrinker):
            if process is not None:
                process.close()


def _about(program: Program, find: oracle.Find) -> str:
    """What a find is about before it is shrunk: the error's beginning, or the operator that made the wrong result."""
    if find.kind in oracle.ERRORS:
        return _error_of(find)
    names = _outputs_of(program, find)
    codes = [step.code for step in program.steps if set(step.out) & set(names)]
    return "; ".join(sorted(set(codes)))


def _outputs_of(program: Program, find: oracle.Find) -> list[str]:
    """The results that the find names, or all."""
    at = re.search(r"result (\d+)", find.message)
    return program.outputs[int(at[1]) : int(at[1]) + 1] if at else program.outputs


def _add(counts: dict[str, Any], name: str, amount: float) -> None:
    counts[name] = counts.get(name, 0) + amount
