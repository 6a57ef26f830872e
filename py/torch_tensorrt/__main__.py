# SPDX-License-Identifier: Apache-2.0
"""``python -m torch_tensorrt rebuild in.ts out.ts [--targets openvino,tensorrt_rtx] [--force]``."""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Sequence

from ._rebuild import rebuild
from ._settings import TARGETS


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m torch_tensorrt", description="Tools for compiled programs.")
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser(
        "rebuild",
        help="build a program's engines again, for other targets or versions",
        description="Builds every engine of a program again from the network that it carries (compile with "
        "rebuildable=True) and saves the program to a new file. The model is not needed.",
    )
    command.add_argument("source", metavar="in", help="a TorchScript file or an exported program")
    command.add_argument("destination", metavar="out", help="the new file")
    command.add_argument(
        "--targets",
        default="",
        help=f"separated by commas, of {', '.join(TARGETS)}; default: what each engine is built for",
    )
    command.add_argument("--force", action="store_true", help="replace the new file if it exists")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; 0 for success, 1 with one message for an error (2 for a command line that is none)."""
    options = _parser().parse_args(arguments)
    targets = [target.strip() for target in options.targets.split(",") if target.strip()]
    warnings.simplefilter("ignore", FutureWarning)  # torch's, of the TorchScript functions
    try:
        if os.path.exists(options.destination) and not options.force:
            raise FileExistsError(f"{options.destination!r} exists; --force replaces it")
        count = rebuild(options.source, options.destination, targets)
    except (OSError, RuntimeError, ValueError) as error:
        print(f"torch_tensorrt rebuild: {error}", file=sys.stderr)
        return 1
    print(f"{options.destination}: {count} {'engine' if count == 1 else 'engines'} rebuilt")
    return 0


if __name__ == "__main__":
    sys.exit(main())
