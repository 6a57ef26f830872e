# SPDX-License-Identifier: Apache-2.0
"""Saving and loading in all formats: ranges, errors, no partial files."""

from __future__ import annotations

import contextlib
import copy
import os
import pickle
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from py_forms import SUFFIX, callable_of
from py_models import Counter, Function, Mlp, Split, assert_same
from torch import nn
from torch.export.pt2_archive import PT2ArchiveWriter

import torch_tensorrt


def compiled(model: nn.Module, width: int = 12) -> Any:
    batch = torch_tensorrt.Input(min_shape=(1, width), opt_shape=(4, width), max_shape=(8, width))
    return torch_tensorrt.compile(model.eval(), arg_inputs=[batch], min_block_size=1)


@pytest.mark.parametrize("output_format", list(SUFFIX))
@pytest.mark.parametrize("kind", ["whole", "split"])
def test_round_trip_keeps_the_range(output_format: str, kind: str, tmp_path: Path) -> None:
    model, width = (Mlp(12), 12) if kind == "whole" else (Split(), 12)
    module = compiled(model, width)
    path = tmp_path / f"model.{SUFFIX[output_format]}"
    torch_tensorrt.save(module, path, output_format=output_format)
    assert [item.name for item in tmp_path.iterdir()] == [path.name]
    run = callable_of(torch_tensorrt.load(path))
    with torch.no_grad():
        for batch in (1, 3, 8):
            x = torch.rand(batch, width)
            assert_same(run(x), model(x))
        with pytest.raises(Exception, match="8"):
            run(torch.rand(9, width))


def test_trace_by_hand_keeps_sizes_open(tmp_path: Path) -> None:
    model = Split()
    module = compiled(model)
    scripted = torch.jit.trace(module, [torch.rand(4, 12)])
    torch.jit.save(scripted, tmp_path / "model.ts")
    loaded = torch.jit.load(tmp_path / "model.ts")
    for batch in (1, 5, 8):
        x = torch.rand(batch, 12)
        assert_same(loaded(x), model(x))


def test_example_inputs_may_be_given_as_for_torch_tensorrt(tmp_path: Path) -> None:
    model = Mlp(12)
    path = tmp_path / "model.pt2"
    torch_tensorrt.save(compiled(model), path, arg_inputs=[torch.rand(2, 12)], retrace=True)
    run = torch_tensorrt.load(path).module()
    x = torch.rand(7, 12)
    assert_same(run(x), model(x))


def test_a_loaded_program_can_be_saved_again(tmp_path: Path) -> None:
    model = Split()
    torch_tensorrt.save(compiled(model), tmp_path / "a.pt2")
    program = torch_tensorrt.load(tmp_path / "a.pt2")
    torch_tensorrt.save(program, tmp_path / "b.pt2")
    x = torch.rand(6, 12)
    assert_same(torch_tensorrt.load(tmp_path / "b.pt2").module()(x), model(x))


def test_written_buffers_survive(tmp_path: Path) -> None:
    model = Counter().eval()
    module = torch_tensorrt.compile(model, inputs=[torch.rand(2, 8)], min_block_size=1)
    torch_tensorrt.save(module, tmp_path / "model.ts", output_format="torchscript")
    loaded = torch.jit.load(tmp_path / "model.ts")
    reference = Counter().eval()
    reference.load_state_dict(model.state_dict())
    for _ in range(2):
        x = torch.rand(2, 8)
        assert_same(loaded(x), reference(x))


def test_copies() -> None:
    model = Split()
    module = compiled(model)
    x = torch.rand(5, 12)
    for copied in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        assert_same(copied(x), model(x))
        assert copied.meta["torch_tensorrt"]["ranges"] == module.meta["torch_tensorrt"]["ranges"]


def test_an_uncompiled_result_is_saved_too(tmp_path: Path) -> None:
    model = nn.ReLU().eval()
    batch = torch_tensorrt.Input(min_shape=(1, 3), opt_shape=(2, 3), max_shape=(4, 3))
    module = torch_tensorrt.compile(model, inputs=[batch])
    torch_tensorrt.save(module, tmp_path / "model.pt2")
    x = torch.randn(3, 3)
    assert_same(torch_tensorrt.load(tmp_path / "model.pt2").module()(x), model(x))


def test_impossible_saves(tmp_path: Path) -> None:
    module = compiled(Mlp(12))
    path = tmp_path / "model.pt2"
    with pytest.raises(ValueError, match="compile the model first"):
        torch_tensorrt.save(nn.ReLU(), path)
    with pytest.raises(ValueError, match="unknown output_format"):
        torch_tensorrt.save(module, path, output_format="onnx")
    with pytest.raises(TypeError, match="'colour'"):
        torch_tensorrt.save(module, path, colour=1)
    with pytest.raises(ValueError, match=r"\.pt2"):
        torch_tensorrt.save(module, tmp_path / "model.so", output_format="aot_inductor")
    with pytest.raises(FileNotFoundError, match="does not exist"):
        torch_tensorrt.save(module, tmp_path / "nowhere" / "model.pt2")
    with pytest.raises(ValueError, match="inductor_configs"):
        torch_tensorrt.save(module, path, inductor_configs={})
    assert list(tmp_path.iterdir()) == []


def test_a_failing_save_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model.pt2"
    path.write_bytes(b"old")

    def fail(*args: Any, **kwargs: Any) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(torch.export, "save", fail)
    with pytest.raises(OSError, match="no space"):
        torch_tensorrt.save(compiled(Mlp(12)), path)
    assert path.read_bytes() == b"old"
    assert [item.name for item in tmp_path.iterdir()] == [path.name]


def test_impossible_loads(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="there is no file"):
        torch_tensorrt.load(tmp_path / "nothing.pt2")
    foreign = tmp_path / "foreign.pt2"
    foreign.write_bytes(b"not an archive" * 100)
    with pytest.raises(ValueError, match="damaged"):
        torch_tensorrt.load(foreign)
    with pytest.raises(ValueError, match="unknown format"):
        torch_tensorrt.load(foreign, format="onnx")


def test_a_failed_load_says_why(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "model.ep"
    with torch.library._scoped_library("torchtrt_test_gone", "DEF") as library:
        library.define("twice(Tensor x) -> Tensor")
        library.impl("twice", lambda x: x * 2, "CompositeExplicitAutograd")
        library.impl("twice", torch.empty_like, "Meta")
        model = Function(lambda x: torch.ops.torchtrt_test_gone.twice(x + 1))
        torch_tensorrt.save(torch_tensorrt.compile(model, arg_inputs=(torch.zeros(3),), min_block_size=1), path)
    with pytest.raises(ValueError, match=r"(?s)save wrote.*torchtrt_test_gone.*twice"):
        torch_tensorrt.load(path)
    assert "error" not in caplog.text  # the exception says it, and nothing else does


@pytest.mark.parametrize("error", [RuntimeError, AssertionError, KeyError, RecursionError, OSError])
def test_what_pytorchs_loader_raises_is_said(error: type[Exception], tmp_path: Path, monkeypatch: Any) -> None:
    path = tmp_path / "model.ep"
    torch_tensorrt.save(compiled(Mlp(12)), path)

    def fail(*_: Any) -> None:
        raise error("the very reason")

    with monkeypatch.context() as patched:
        patched.setattr("torch._export.serde.serialize.ExportedProgramDeserializer.deserialize", fail)
        with pytest.raises(OSError if error is OSError else ValueError, match="the very reason"):
            torch_tensorrt.load(path)
    torch_tensorrt.load(path)  # and what failed leaves nothing behind


def test_an_archive_without_a_program(tmp_path: Path) -> None:
    with PT2ArchiveWriter(str(tmp_path / "empty.pt2")) as archive:
        archive.write_string("extra/notes", "nothing else")
    with pytest.raises(ValueError, match="holds no exported program"):
        torch_tensorrt.load(tmp_path / "empty.pt2")


def damaged(whole: bytes, count: int) -> Iterator[bytes]:
    """`count` copies with a bit changed, and as many without their ends."""
    chosen = random.Random(0)
    for _ in range(count):
        changed = bytearray(whole)
        changed[chosen.randrange(len(whole))] ^= 1 << chosen.randrange(8)
        yield bytes(changed)
        yield whole[: chosen.randrange(len(whole))]


@pytest.mark.parametrize("output_format", list(SUFFIX))
def test_damaged_files(output_format: str, tmp_path: Path) -> None:
    path = tmp_path / f"model.{SUFFIX[output_format]}"
    torch_tensorrt.save(compiled(Split()), path, output_format=output_format)
    x = torch.rand(4, 12)
    whole, expected = path.read_bytes(), callable_of(torch_tensorrt.load(path))(x)
    refused = 0
    for data in (b"", bytes(100), *damaged(whole, 20)):
        path.write_bytes(data)
        try:
            run = callable_of(torch_tensorrt.load(path))
        except ValueError as error:
            assert "damaged" in str(error)  # noqa: PT017 (or else the file has to work)
            refused += 1
        else:  # a byte that says nothing: a date, a hint
            assert_same(run(x), expected)
    assert refused > 30


def test_damaged_engines_are_found_by_pytorchs_loader_too(tmp_path: Path) -> None:
    path = tmp_path / "model.ts"
    torch_tensorrt.save(compiled(Mlp(12)), path, output_format="torchscript")
    x = torch.rand(4, 12)
    whole, expected = path.read_bytes(), torch.jit.load(path)(x)
    first, last = whole.index(b"<?xml"), whole.index(b"</net>")
    for at in range(first, last, (last - first) // 10):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(RuntimeError, match="its bytes are not those that were saved"):
            torch.jit.load(path)(x)
    for data in damaged(whole, 20):
        path.write_bytes(data)
        with contextlib.suppress(RuntimeError, UnicodeDecodeError, IndexError):  # what PyTorch's reader raises
            assert_same(torch.jit.load(path)(x), expected)


def test_a_file_of_another_format(tmp_path: Path) -> None:
    path = tmp_path / "model.pt2"
    torch_tensorrt.save(compiled(Mlp(12)), path)
    with pytest.raises(ValueError, match="format 'exported_program', not 'torchscript'"):
        torch_tensorrt.load(path, format="torchscript")


def test_a_read_only_folder(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        folder = Path("/proc/self")  # nobody creates files there, root neither
    else:
        folder = tmp_path
        folder.chmod(0o500)
    with pytest.raises(OSError, match=r"cannot write '.*model.pt2'"):
        torch_tensorrt.save(compiled(Mlp(12)), folder / "model.pt2")
    with pytest.raises(IsADirectoryError, match="is a folder"):
        torch_tensorrt.save(compiled(Mlp(12)), tmp_path)
