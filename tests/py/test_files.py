# SPDX-License-Identifier: Apache-2.0
"""Where and how files are written: full disks, killed processes, links, places that take no file."""

from __future__ import annotations

import errno
import multiprocessing
import os
import resource
import signal
import stat
import tempfile
import time
import traceback
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from py_models import Mlp, assert_same

import torch_tensorrt

FORMATS = {"exported_program": "m.ep.pt2", "torchscript": "m.ts", "aot_inductor": "m.pt2"}
X = torch.rand(4, 16)


def written_package(program: Any, package_path: Any, inductor_configs: Any) -> None:
    """Writes as AOTInductor does, without the half minute of compiling before."""
    from torch.export.pt2_archive._package import PT2ArchiveWriter

    with PT2ArchiveWriter(package_path) as archive:
        for number in range(4):
            archive.write_bytes(f"part{number}", bytes(10000))


@pytest.fixture(autouse=True)
def _no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch._inductor.aoti_compile_and_package", written_package)


def in_a_child(work: Callable[[], None]) -> multiprocessing.process.BaseProcess:
    """A forked process that does it; its exit code is 0 if nothing was raised."""

    def run() -> None:
        try:
            work()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)

    child = multiprocessing.get_context("fork").Process(target=run)
    child.start()
    return child


@pytest.mark.parametrize("room", [0, 300, 4000])
@pytest.mark.parametrize("output_format", FORMATS)
def test_a_full_disk_is_an_error(module: Any, output_format: str, room: int, tmp_path: Path) -> None:
    path = tmp_path / FORMATS[output_format]
    path.write_bytes(b"old")

    def save() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
        with pytest.raises(OSError, match=r"cannot write '.*'.*File too large.*as it was before") as raised:
            torch_tensorrt.save(module, path, output_format=output_format)
        assert raised.value.errno == errno.EFBIG

    child = in_a_child(save)
    child.join(120)
    assert child.exitcode == 0
    assert path.read_bytes() == b"old"
    assert [item.name for item in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("output_format", FORMATS)
def test_what_killed_processes_left_is_removed(
    module: Any, output_format: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, writer = os.pipe()

    def stop(file: int) -> None:
        os.write(writer, b"x")
        signal.pause()

    def save() -> None:
        monkeypatch.setattr(os, "fsync", stop)
        torch_tensorrt.save(module, tmp_path / FORMATS[output_format], output_format=output_format)

    child = in_a_child(save)
    assert os.read(reader, 1) == b"x"
    (left,) = tmp_path.iterdir()
    torch_tensorrt.save(module, tmp_path / "while it lives.ts", output_format="torchscript")
    assert left.exists()
    os.kill(child.pid or 0, signal.SIGKILL)
    child.join(60)
    torch_tensorrt.save(module, tmp_path / "afterwards.ts", output_format="torchscript")
    assert sorted(item.name for item in tmp_path.iterdir()) == ["afterwards.ts", "while it lives.ts"]


@pytest.mark.parametrize("exists", [True, False], ids=["link", "dangling link"])
def test_a_symbolic_link_is_followed(module: Any, model: Mlp, exists: bool, tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    target, link = tmp_path / "models" / "v2.ts", tmp_path / "current.ts"
    link.symlink_to(target)
    if exists:
        target.write_bytes(b"old")
    torch_tensorrt.save(module, link, output_format="torchscript")
    assert link.is_symlink()
    assert [item.name for item in target.parent.iterdir()] == [target.name]
    with torch.no_grad():
        assert_same(torch_tensorrt.load(target)(X), model(X))


def test_new_files_have_the_usual_mode(module: Any, tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        torch_tensorrt.save(module, tmp_path / "m.ts", output_format="torchscript")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "m.ts").stat().st_mode) == 0o640


def test_devices_and_pipes_are_no_files(module: Any, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in ("/dev/null", tmp_path / "pipe"):
        with pytest.raises(OSError, match="is a device, a pipe or a socket"):
            torch_tensorrt.save(module, path, output_format="torchscript")


@pytest.mark.parametrize("output_format", FORMATS)
def test_an_interrupt_at_any_moment_ends_the_save_alone(module: Any, output_format: str, tmp_path: Path) -> None:
    """PyTorch's writers end the process for an error inside a write, and an interrupt is one wherever Python runs."""
    made = tmp_path / f"made {FORMATS[output_format]}"
    torch_tensorrt.save(
        module, made, output_format="torchscript" if output_format == "torchscript" else "exported_program"
    )
    program, path = torch_tensorrt.load(made), tmp_path / FORMATS[output_format]

    fired: list[int] = []

    def interrupt(*_: Any) -> None:
        fired.append(1)
        raise KeyboardInterrupt

    def save() -> None:
        signal.signal(signal.SIGALRM, interrupt)
        interrupted, seconds = 0, 60.0
        for number in range(200):
            fired.clear()
            started = time.monotonic()
            try:
                signal.setitimer(signal.ITIMER_REAL, seconds * (number % 40 + 1) / 40 if number else 0)  # 0: never
                torch_tensorrt.save(program, path, output_format=output_format)
                signal.setitimer(signal.ITIMER_REAL, 0)
            except BaseException:
                signal.setitimer(signal.ITIMER_REAL, 0)
                if not fired:  # not always a KeyboardInterrupt: PyTorch cleans up what was not set up yet
                    raise
                interrupted += 1
            else:
                seconds = min(seconds, time.monotonic() - started)
        assert interrupted > 20
        torch_tensorrt.save(program, path, output_format=output_format)
        assert {item.name for item in tmp_path.iterdir()} == {made.name, path.name}
        if output_format != "aot_inductor":
            torch_tensorrt.load(path)

    child = in_a_child(save)
    child.join(300)
    assert child.exitcode == 0


class Branch(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cond(x.sum() > 0, torch.sin, torch.cos, (x,)) * 2


def test_an_interrupt_while_pytorch_writes_is_raised_after_it(
    module: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PyTorch's pickler ends the process for an exception while it converts an engine."""
    path, write = tmp_path / "m.ep.pt2", torch.export.save
    path.write_bytes(b"old")
    handler = signal.default_int_handler
    before = signal.signal(signal.SIGINT, handler)  # processes of pytest-xdist ignore it

    def interrupted(*args: Any, **kwargs: Any) -> None:
        signal.raise_signal(signal.SIGINT)
        write(*args, **kwargs)
        written.append(1)

    written: list[int] = []
    monkeypatch.setattr(torch.export, "save", interrupted)
    try:
        with pytest.raises(KeyboardInterrupt):
            torch_tensorrt.save(module, path)
    finally:
        after = signal.signal(signal.SIGINT, before)
    assert written == [1]
    assert after is handler
    assert path.read_bytes() == b"old"
    assert [item.name for item in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("output_format", ["exported_program", "aot_inductor"])
def test_saving_changes_no_node(output_format: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """fx takes a node out of its graph's table to set an attribute, also to print it: after an interrupt there the
    caller's program could never be saved again."""
    x = torch.rand(3)
    program = torch.export.export(torch_tensorrt.compile(Branch().eval(), arg_inputs=[x], min_block_size=1), (x,))
    graphs = [module.graph for module in program.graph_module.modules() if isinstance(module, torch.fx.GraphModule)]
    changed: list[str] = []

    def set_attribute(node: torch.fx.Node, name: str, value: Any) -> None:
        if getattr(node, "graph", None) in graphs:
            changed.append(name)
        before(node, name, value)

    before = torch.fx.Node.__setattr__
    monkeypatch.setattr(torch.fx.Node, "__setattr__", set_attribute)
    torch_tensorrt.save(program, tmp_path / FORMATS[output_format], output_format=output_format)
    assert len(graphs) == 3
    assert not changed


def test_no_place_for_temporary_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """AOTInductor's loader unpacks the package: that it cannot is no damage."""
    path = tmp_path / "m.pt2"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data/aotinductor/model/x.so", b"")
    monkeypatch.setenv("TMPDIR", str(tmp_path / "nowhere"))
    monkeypatch.setattr(tempfile, "tempdir", None)
    with pytest.raises(OSError, match=r"there is no place.*set TMPDIR"):
        torch_tensorrt.load(path)
