# SPDX-License-Identifier: Apache-2.0
"""``python -m torch_tensorrt rebuild in.ts out.ts [--targets openvino,tensorrt_rtx] [--force]``, and
``python -m torch_tensorrt --cmake-prefix-path``."""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Sequence

from ._library import library_directory
from ._rebuild import rebuild
from ._settings import TARGETS


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m torch_tensorrt", description="Tools for compiled programs.")
    parser.add_argument(
        "--cmake-prefix-path",
        action="store_true",
        help="print the folder for CMake's -Dtorchtrt_ROOT, where find_package(torchtrt) finds this package",
    )
    commands = parser.add_subparsers(dest="command")
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


def _print_cmake_prefix() -> int:
    prefix = library_directory().parent
    if not (prefix / "lib" / "cmake" / "torchtrt" / "torchtrtConfig.cmake").is_file():
        print(
            f"torch_tensorrt: {prefix} has no CMake package: it is a build folder; `make install` makes the tree that "
            "has one, in install/",
            file=sys.stderr,
        )
        return 1
    print(prefix)
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; 0 for success, 1 with one message for an error (2 for a command line that is none)."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.cmake_prefix_path:
        return _print_cmake_prefix()
    if options.command is None:
        parser.error("a command, or --cmake-prefix-path, is required")
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
