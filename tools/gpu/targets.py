# SPDX-License-Identifier: Apache-2.0
"""Which of TensorRT's targets fit this machine: engines of the target build here, run here and answer right.

    python tools/gpu/targets.py          the names of those that fit, one a line; what was found, and why not, on stderr
    python tools/gpu/targets.py --try tensorrt     builds and runs one engine; exit status 1 if that fails

A trial has a process of its own: a library that crashes is a target that does not fit.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

TARGETS = ("tensorrt", "tensorrt_rtx")
Capability = tuple[int, int]
Trial = Callable[[str], str | None]
"""Builds and runs an engine of a target; what went wrong, or None."""

_RTX_BELOW_12: tuple[Capability, ...] = ((8, 0), (8, 6), (8, 9))


def rtx_takes(capability: Capability) -> bool:
    """Whether TensorRT-RTX 1.7 runs engines on a GPU of this compute capability: 8.0 8.6 8.9 12.0 12.1 and newer, as
    the library says when it refuses one."""
    return capability in _RTX_BELOW_12 or capability >= (12, 0)


@dataclass(frozen=True)
class Fit:
    target: str
    reason: str | None
    """Why it does not fit; None: it does."""


def fit(target: str, built: bool, capability: Capability | None, trial: Trial) -> Fit:
    """`built`: this build has the target's modules. `capability`: of the first GPU; None: there is no GPU."""
    if capability is None:
        return Fit(target, "no GPU that this PyTorch can use")
    if not built:
        return Fit(target, "this build has no modules for it (its headers were not found when it was configured)")
    if target == "tensorrt_rtx" and not rtx_takes(capability):
        major, minor = capability
        return Fit(target, f"TensorRT-RTX takes compute capability 8.0 8.6 8.9 12.0 and newer, this is {major}.{minor}")
    return Fit(target, trial(target))


def try_in_process(target: str) -> str | None:
    """Compiles a small model for the target, and holds its answers to eager PyTorch's."""
    import torch

    import torch_tensorrt

    try:
        model = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.ReLU(), torch.nn.Linear(16, 4)).eval().cuda()
        x = torch.randn(3, 8, device="cuda")
        compiled = torch_tensorrt.compile(
            model, ir="dynamo", arg_inputs=[x], targets=[target], min_block_size=1, require_full_compilation=True
        )
        with torch.no_grad():
            torch.testing.assert_close(compiled(x), model(x), rtol=1e-3, atol=1e-4)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None


def try_in_child(target: str) -> str | None:
    paths = os.pathsep.join(filter(None, sys.path))  # what pytest's configuration added, too
    done = subprocess.run(
        [sys.executable, __file__, "--try", target],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == 0:
        return None
    said = done.stdout.strip() or done.stderr.strip()[-2000:]
    return f"the trial ended with exit status {done.returncode}: {said or 'it said nothing'}"


def fit_here(target: str) -> Fit:
    """The answer for this machine and this build."""
    import torch

    import torch_tensorrt

    capability = torch.cuda.get_device_capability(0) if torch.cuda.is_available() else None
    return fit(target, bool(getattr(torch_tensorrt.ENABLED_FEATURES, target)), capability, try_in_child)


def main(arguments: list[str]) -> int:
    if len(arguments) == 2 and arguments[0] == "--try" and arguments[1] in TARGETS:
        reason = try_in_process(arguments[1])
        print(reason or "")
        return 1 if reason else 0
    if arguments:
        print(f"usage: {Path(__file__).name} [--try {{{','.join(TARGETS)}}}]", file=sys.stderr)
        return 2
    for found in map(fit_here, TARGETS):
        print(f"gpu-test: target {found.target}: {found.reason or 'fits'}", file=sys.stderr)
        if found.reason is None:
            print(found.target)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
