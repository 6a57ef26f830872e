# SPDX-License-Identifier: Apache-2.0
"""Packs for machines without a network: parts are small, and what comes out is what went in, or an error."""

from __future__ import annotations

import math
import os
import random
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

TOOLS = Path(__file__).resolve().parents[2] / "tools" / "gpu"
PART_BYTES, NAME = 100_000, "libvendor.so.1"

pytestmark = pytest.mark.skipif(shutil.which("xz") is None, reason="there is no xz")


def run(tool: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [str(TOOLS / tool), *arguments]
    return subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Bytes that do not compress, so that there are several parts."""
    path = tmp_path_factory.mktemp("library") / NAME
    path.write_bytes(random.Random(0).randbytes(350_000))
    return path


@pytest.fixture(scope="module")
def packed(library: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("packed")
    done = run("pack.sh", "library", str(library), str(folder), PART_BYTES=str(PART_BYTES))
    assert done.returncode == 0, done.stderr
    return folder


def parts(folder: Path) -> list[Path]:
    return sorted(folder.glob(f"{NAME}.xz.*"))


def test_parts_are_small(packed: Path) -> None:
    sizes = [part.stat().st_size for part in parts(packed)]
    assert len(sizes) == 4
    assert max(sizes) == PART_BYTES
    assert len((packed / f"{NAME}.parts.sha256").read_text().splitlines()) == len(sizes)


def test_the_default_is_64_mib() -> None:
    text = (TOOLS / "pack.sh").read_text()
    (factors,) = re.findall(r"PART_BYTES:-\$\(\(([0-9 *]+)\)\)", text)
    assert math.prod(int(factor) for factor in factors.split("*")) == 64 * 2**20


def test_round_trip(library: Path, packed: Path, tmp_path: Path) -> None:
    done = run("unpack.sh", str(packed), NAME, str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / NAME).read_bytes() == library.read_bytes()


def test_packing_again_leaves_no_old_parts(packed: Path, tmp_path: Path) -> None:
    folder = tmp_path / "again"
    shutil.copytree(packed, folder)
    small = tmp_path / NAME
    small.write_bytes(b"small")
    assert run("pack.sh", "library", str(small), str(folder), PART_BYTES=str(PART_BYTES)).returncode == 0
    assert len(parts(folder)) == 1
    assert run("unpack.sh", str(folder), NAME, str(tmp_path / "out")).returncode == 0
    assert (tmp_path / "out" / NAME).read_bytes() == b"small"


def test_parts_of_another_pack_are_not_joined(library: Path, packed: Path, tmp_path: Path) -> None:
    folder = tmp_path / "more"
    shutil.copytree(packed, folder)
    shutil.copy(parts(folder)[0], folder / f"{NAME}.xz.999")
    assert run("unpack.sh", str(folder), NAME, str(tmp_path / "out")).returncode == 0
    assert (tmp_path / "out" / NAME).read_bytes() == library.read_bytes()


def flip(part: Path) -> None:
    content = bytearray(part.read_bytes())
    content[len(content) // 2] ^= 4
    part.write_bytes(content)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "flipped": lambda folder: flip(parts(folder)[1]),
    "short": lambda folder: os.truncate(parts(folder)[-1], 10),
    "missing": lambda folder: parts(folder)[2].unlink(),
    "swapped": lambda folder: shutil.copy(parts(folder)[0], parts(folder)[1]),
    "no checksums": lambda folder: (folder / f"{NAME}.parts.sha256").unlink(),
    "other library": lambda folder: (folder / f"{NAME}.sha256").write_text(f"{'0' * 64}  {NAME}\n"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_an_error_and_leaves_no_library(packed: Path, tmp_path: Path, damage: str) -> None:
    folder = tmp_path / "damaged"
    shutil.copytree(packed, folder)
    DAMAGES[damage](folder)
    done = run("unpack.sh", str(folder), NAME, str(tmp_path / "out"))
    assert done.returncode != 0
    assert done.stderr
    assert not (tmp_path / "out" / NAME).exists()


def test_usage() -> None:
    for tool in ("pack.sh", "unpack.sh"):
        done = run(tool)
        assert done.returncode == 2
        assert f"tools/gpu/{tool} " in done.stdout
    done = run("pack.sh", "library", "/nonexistent/libvendor.so", "/tmp")
    assert done.returncode == 1
    assert "no such file: /nonexistent/libvendor.so" in done.stderr
