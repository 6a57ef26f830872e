# SPDX-License-Identifier: Apache-2.0
"""Threads that call engines while others fail calls on purpose, toggle modes, load programs and drop them.

    python tests/chaos/chaos.py [--seconds 120] [--seed 0] [--threads 6]

Every call that eager PyTorch answers within the compiled ranges must give eager's answer, at once and also right after
any failure; every call that is wrong must be an exception or eager's answer. A crash or a hang ends the program, too.
The dice of each thread follow from the seed; what threads do at the same time does not.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import faulthandler
import os
import random
import resource
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

import torch_tensorrt
from torch_tensorrt import runtime

# Address space beyond what the process has when all is compiled. Good calls need some megabytes.
HEADROOM = 3 << 30

Inputs = tuple[torch.Tensor, ...]
Dice = random.Random


class Scores(nn.Module):
    """Linear layers and normalizations over rows, and one number of all of them."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm, self.second = nn.Linear(16, 32), nn.LayerNorm(32), nn.Linear(32, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.softmax(self.second(self.norm(torch.relu(self.first(x)))), dim=-1) + x.mean()


class Tail(nn.Module):
    """Reads the last rows: of fewer rows than that, a vendor's kernel fails."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x[-2:].flatten() * 2).relu() + x.sum()


class Scatter(nn.Module):
    """Through a plugin, PyTorch's own operator fails inside of the engine where an index is outside."""

    def forward(self, x: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
        return torch.scatter_add(x * 2, 0, index, x + 1).relu() + 1


class Outer(nn.Module):
    """Takes memory that grows with the square of its input."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        table = (x.unsqueeze(1) * x.unsqueeze(0)).relu()
        return torch.softmax(table, dim=-1).sum(dim=0) + x


class Pool(nn.Module):
    """No window fits an empty batch."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.max_pool2d(torch.relu(x), 2) - 1


class Lookup(nn.Module):
    """Rows of a table."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(50, 8)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return torch.tanh(self.table(ids)) * 2


class Positive(nn.Module):
    """The shape of the result depends on the data."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.tanh(x * 2) + 0.25
        return x[x > 0.5] * 3


@dataclass
class Program:
    """A model, how it is compiled, and inputs that it answers or not."""

    model: nn.Module
    dynamic: tuple[dict[int, Any], ...]
    good: Callable[[Dice], Inputs]
    bad: Callable[[Dice], Inputs]
    settings: dict[str, Any]
    module: Any = None
    path: str = ""


def rows(dice: Dice, least: int, most: int, width: int) -> Inputs:
    return (torch.randn(dice.randint(least, most), width),)


def indexed(dice: Dice, bad: bool) -> Inputs:
    count = dice.randint(2, 12)
    index = torch.randint(0, count, (count, 4))
    if bad:
        index[dice.randrange(count), dice.randrange(4)] = dice.choice((-1000, count, 10_000_000))
    return torch.randn(count, 4), index


def programs() -> dict[str, Program]:
    n = torch.export.Dim("n", min=1, max=16)
    few = torch.export.Dim("few", min=1, max=8)
    many = torch.export.Dim("many", min=1, max=100_000)
    batch = torch.export.Dim("batch", min=0, max=8)
    return {
        "scores": Program(
            Scores(), ({0: n},), lambda d: rows(d, 1, 16, 16), lambda d: rows(d, 17, 40, d.choice((15, 16))), {}
        ),
        "tail": Program(Tail(), ({0: few},), lambda d: rows(d, 2, 8, 4), lambda d: rows(d, 0, 1, 4), {}),
        "scatter": Program(
            Scatter(),
            ({0: n}, {0: n}),
            lambda d: indexed(d, False),
            lambda d: indexed(d, True),
            {"use_plugins": True},
        ),
        "outer": Program(
            Outer(),
            ({0: many},),
            lambda d: (torch.randn(d.randint(2, 40)),),
            lambda d: (torch.randn(d.randint(40_000, 60_000)),),
            {},
        ),
        "pool": Program(
            Pool(),
            ({0: batch},),
            lambda d: (torch.randn(d.randint(1, 8), 3, 8, 8),),
            lambda d: (torch.randn(0, 3, 8, d.choice((8, 7))),),
            {},
        ),
        "lookup": Program(
            Lookup(),
            ({0: n},),
            lambda d: (torch.randint(0, 50, (d.randint(1, 16),)),),
            lambda d: (torch.tensor([d.randrange(50), d.choice((50, -51, 1 << 40))]),),
            {},
        ),
        "positive": Program(Positive(), ({0: n},), lambda d: rows(d, 1, 16, 5), lambda d: rows(d, 17, 20, 5), {}),
    }


def compile_program(name: str, program: Program, folder: str, dice: Dice) -> None:
    example = program.good(dice)
    exported = torch.export.export(program.model.eval(), example, dynamic_shapes=program.dynamic)
    program.module = torch_tensorrt.dynamo.compile(exported, inputs=example, min_block_size=1, **program.settings)
    program.path = os.path.join(folder, name + ".ep")
    torch_tensorrt.save(program.module, program.path, inputs=example)


class Chaos:
    """What the threads share: the programs, what was counted, and the first failure."""

    def __init__(self, table: dict[str, Program]) -> None:
        self.programs = table
        self.counts: collections.Counter[str] = collections.Counter()
        self.failure = ""
        self.lock = threading.Lock()
        self.loading = threading.Lock()  # torch.export.load keeps its state in a global variable

    def count(self, what: str) -> None:
        with self.lock:
            self.counts[what] += 1

    def fail(self, what: str) -> None:
        with self.lock:
            self.failure = self.failure or what

    def call_well(self, name: str, program: Program, module: Any, dice: Dice) -> None:
        inputs = program.good(dice)
        expected = program.model(*inputs)
        try:
            result = module(*inputs)
        except Exception:
            self.fail(f"{name}: a good call of {[tuple(x.shape) for x in inputs]} failed:\n{traceback.format_exc()}")
            return
        try:
            torch.testing.assert_close(result, expected, rtol=1e-4, atol=1e-5)
        except AssertionError as error:
            self.fail(f"{name}: a good call of {[tuple(x.shape) for x in inputs]} gave a wrong answer: {error}")
        self.count("good calls")

    def call_badly(self, name: str, program: Program, module: Any, dice: Dice) -> None:
        inputs = program.bad(dice)
        try:
            result = module(*inputs)
        except Exception:
            self.count(f"refused calls of {name}")
            return
        if name == "outer":  # eager may have no memory either
            self.count("large calls that found memory")
            return
        try:
            expected = program.model(*inputs)
        except Exception as error:
            self.fail(f"{name}: a bad call was answered, where eager raises {error!r}")
            return
        try:
            torch.testing.assert_close(result, expected, rtol=1e-4, atol=1e-5)
        except AssertionError as error:
            self.fail(f"{name}: a call outside of the compiled ranges gave a wrong answer: {error}")
        self.count("answers outside of the ranges")

    def reload(self, name: str, program: Program, dice: Dice) -> None:
        """Another copy of the program, for this thread or from now on for all, while the old one is still called."""
        with self.loading:
            module = torch_tensorrt.load(program.path).module()
        self.call_well(name, program, module, dice)
        if dice.random() < 0.5:
            program.module = module
        self.count("loaded programs")

    def act(self, dice: Dice) -> None:
        name = dice.choice(list(self.programs))
        program = self.programs[name]
        module = program.module
        modes: list[Callable[[], contextlib.AbstractContextManager[Any]]] = [
            contextlib.nullcontext,
            torch.inference_mode,
            lambda: runtime.enable_pre_allocated_outputs(module),
            lambda: runtime.enable_output_allocator(module),
        ]
        what = dice.random()
        if what < 0.02:
            self.reload(name, program, dice)
        elif what < 0.3:
            self.call_badly(name, program, module, dice)
            self.call_well(name, program, module, dice)
        else:
            with dice.choice(modes)():
                self.call_well(name, program, module, dice)

    def run(self, seed: int, end: float) -> None:
        torch.manual_seed(seed)
        dice = random.Random(seed)
        with torch.no_grad():
            while time.monotonic() < end and not self.failure:
                try:
                    self.act(dice)
                except Exception:
                    self.fail(traceback.format_exc())


def limit_memory() -> None:
    with Path("/proc/self/statm").open() as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + HEADROOM, resource.RLIM_INFINITY))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=6)
    parser.add_argument("--programs", default="", help="only these, with commas between")
    options = parser.parse_args()
    faulthandler.enable()
    faulthandler.dump_traceback_later(options.seconds + 600, exit=True)  # a hang
    torch.manual_seed(options.seed)
    torch_tensorrt.logging.set_level("error")
    table = {name: p for name, p in programs().items() if not options.programs or name in options.programs.split(",")}
    with tempfile.TemporaryDirectory() as folder:
        for name, program in table.items():
            compile_program(name, program, folder, random.Random(options.seed))
        chaos = Chaos(table)
        limit_memory()
        end = time.monotonic() + options.seconds
        threads = [
            threading.Thread(target=chaos.run, args=(options.seed * 1000 + i, end)) for i in range(options.threads)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    if not chaos.failure and not (chaos.counts["good calls"] and any("refused" in what for what in chaos.counts)):
        chaos.fail("nothing was called, or nothing refused: there was too little time")
    for what, count in sorted(chaos.counts.items()):
        print(f"{count:8} {what}")
    if chaos.failure:
        print(f"chaos: seed {options.seed}: {chaos.failure}", file=sys.stderr)
        return 1
    print(f"chaos: seed {options.seed}: every good call was right")
    return 0


if __name__ == "__main__":
    sys.exit(main())
