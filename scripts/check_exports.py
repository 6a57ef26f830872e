# SPDX-License-Identifier: Apache-2.0
"""Checks what the libraries export and need.

    python scripts/check_exports.py <folder with libtorchtrt_runtime.so ...>

A library exports only symbols of ours (torchtrt::*, torchtrt_*), so that it can live beside any other in one process,
and the runtime needs neither Python nor a compiler nor a vendor's library. A backend's module has no symbol that the
loader makes one for the whole process. Exit status 1 and one line per finding.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

OURS = re.compile(
    r"^(typeinfo (name )?for |(construction )?vtable for |VTT for |guard variable for |(non-)?virtual thunk to )?"
    r"(torchtrt::|torchtrt_\w+$)"
)
BINDING = re.compile(r"^PyInit_\w+$")

# What each library may need besides the C and C++ runtime; anything else is a finding.
SYSTEM = r"lib(c|m|dl|rt|pthread|gcc_s|stdc\+\+|gomp)\.so\.\d+|ld-linux-.*"
TORCH = r"libtorch(_cpu)?\.so|libc10\.so"
NEEDS = {
    "libtorchtrt_runtime.so": TORCH,
    "libtorchtrt.so": rf"{TORCH}|libtorchtrt_runtime\.so",
    "libtorchtrt_plugins.so": rf"{TORCH}|libtorchtrt_runtime\.so",
    "libtorchtrt_openvino_builder.so": rf"{TORCH}|libtorchtrt(_runtime)?\.so|libopenvino\.so\.\d+",
    "libtorchtrt_openvino_executor.so": rf"{TORCH}|libtorchtrt_runtime\.so|libopenvino\.so\.\d+",
}
for library in ("tensorrt_rtx", "tensorrt11", "tensorrt10"):
    NEEDS[f"libtorchtrt_{library}_builder.so"] = rf"{TORCH}|libtorchtrt(_runtime)?\.so"
    NEEDS[f"libtorchtrt_{library}_executor.so"] = rf"{TORCH}|libtorchtrt_runtime\.so"


def exported(library: Path) -> list[tuple[str, str]]:
    """The symbols that a library defines for others: names, demangled, and nm's letter for their kind."""
    output = subprocess.run(
        ["nm", "--dynamic", "--defined-only", "--demangle", "--format=posix", str(library)],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    # "<name> <type> <value> <size>"; the name may have blanks.
    return [(fields[0], fields[1]) for line in output.splitlines() if (fields := line.rsplit(maxsplit=3))]


def needed(library: Path) -> list[str]:
    """The libraries that a library names as needed."""
    output = subprocess.run(["readelf", "-d", str(library)], check=True, capture_output=True, text=True).stdout
    return re.findall(r"\(NEEDED\).*\[(.+)\]", output)


def check_library(library: Path) -> list[str]:
    own = BINDING if library.name.startswith("_C") else OURS
    symbols = exported(library)
    errors = [f"{library.name} exports {name}" for name, _ in symbols if not own.match(name)]
    if library.stem.endswith(("_builder", "_executor")):
        unique = [name for name, kind in symbols if kind == "u"]
        errors += [
            f"{library.name} shares {name} with other modules (compile it with -fno-gnu-unique)" for name in unique
        ]
    if library.name in NEEDS:
        allowed = re.compile(rf"^({SYSTEM}|{NEEDS[library.name]})$")
        errors += [f"{library.name} needs {name}" for name in needed(library) if not allowed.match(name)]
    return errors


def main() -> int:
    if len(sys.argv) != 2:
        print(__doc__)
        return 2
    libraries = sorted(path for path in Path(sys.argv[1]).glob("*.so*") if path.is_file())
    if not any(path.name == "libtorchtrt_runtime.so" for path in libraries):
        print(f"no libtorchtrt_runtime.so in {sys.argv[1]}")
        return 2
    errors = [error for library in libraries for error in check_library(library)]
    print("\n".join(errors) or f"exports: {len(libraries)} libraries export and need only what they may")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
