# SPDX-License-Identifier: Apache-2.0
"""Packages with several targets, and rebuilding from the packed network."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from py_models import Mlp, Split, assert_same
from torch import nn

import torch_tensorrt
from torch_tensorrt import Input
from torch_tensorrt.__main__ import main
from torch_tensorrt._engine import engines_of
from torch_tensorrt._library import load_binding
from torch_tensorrt._rebuild import rebuild
from torch_tensorrt.runtime import get_rebuild_engines, set_rebuild_engines

needs_rtx = pytest.mark.skipif(
    not torch_tensorrt.ENABLED_FEATURES.tensorrt_rtx, reason="the TensorRT-RTX backend is not built"
)


def rows(width: int, dtype: torch.dtype = torch.float32) -> Input:
    return Input(min_shape=(1, width), opt_shape=(4, width), max_shape=(8, width), dtype=dtype)


def compiled(model: nn.Module, *inputs: Any, **settings: Any) -> Any:
    arg_inputs = list(inputs) or [rows(12)]
    keywords = {"targets": ["openvino"], "rebuildable": True, "pass_through_build_failures": True, **settings}
    return torch_tensorrt.compile(model.eval(), arg_inputs=arg_inputs, min_block_size=1, **keywords)


def metadata_of(module: Any) -> list[dict[str, Any]]:
    return [json.loads(engine.metadata()) for engine in engines_of(module)]


def sections_of(engine: Any, name: str) -> list[bytes]:
    """The packed network's sections of this name (src/format/README.md)."""
    payload = bytes(engine.payload().numpy())
    sections = json.loads(engine.metadata())["network"]["sections"]
    return [payload[s["offset"] : s["offset"] + s["size"]] for s in sections if s["name"] == name]


def save_script(module: Any, path: Path, **options: Any) -> Path:
    with set_rebuild_engines(True):  # tracing runs the program, whatever it was compiled for
        torch_tensorrt.save(module, path, output_format="torchscript", **options)
    return path


@needs_rtx
def test_one_file_runs_on_the_cpu_and_carries_the_rtx_engine(tmp_path: Path) -> None:
    model = Mlp(12).eval()
    module = compiled(model, targets=["openvino", "tensorrt_rtx"], rebuildable=False, compute_capabilities=[89, 120])
    path = save_script(module, tmp_path / "model.ts")
    del module
    gc.collect()
    loaded = torch_tensorrt.load(path)
    (engine,) = engines_of(loaded)
    assert engine.target() == ""
    for batch in (1, 3, 8):
        x = torch.rand(batch, 12)
        assert_same(loaded(x), model(x))
    assert engine.target() == "openvino"
    assert "targets: openvino, tensorrt_rtx, aten; runs by openvino)" in repr(engine)
    (metadata,) = metadata_of(loaded)
    cpu, rtx, _ = metadata["targets"]
    assert cpu["backend"] == "openvino"
    assert rtx["backend"] == "tensorrt_rtx"
    assert rtx["producer"].startswith("TensorRT-RTX ")
    assert "89" in rtx["properties"]["compute_capabilities"]
    (plan,) = rtx["sections"]
    assert plan["name"] == "plan"
    assert plan["size"] > 1000
    assert "network" not in metadata


def test_targets_that_cannot_be_built_are_left_out(capfd: pytest.CaptureFixture[str]) -> None:
    try:
        load_binding().builder_version("tensorrt")
        pytest.skip("this machine has TensorRT")
    except FileNotFoundError:
        pass
    model = Mlp(12)
    module = compiled(model, targets=["tensorrt", "openvino"])
    (metadata,) = metadata_of(module)
    assert [target["backend"] for target in metadata["targets"]] == ["openvino", "aten"]
    said = capfd.readouterr().err
    assert "is packed without the targets that this machine cannot build:" in said
    assert 'tensorrt: building for target "tensorrt" needs TensorRT 10 or 11' in said
    x = torch.rand(2, 12)
    assert_same(module(x), model(x))
    with pytest.raises(FileNotFoundError, match="needs TensorRT 10 or 11"):
        compiled(model, targets=["tensorrt"])


@needs_rtx
def test_an_engine_for_gpus_runs_on_the_cpu_once_rebuilding_is_on() -> None:
    model = Mlp(12)
    module = compiled(model, targets=["tensorrt_rtx"])
    x = torch.rand(3, 12)
    with pytest.raises(ValueError, match=r"python -m torch_tensorrt rebuild .* --targets tensorrt_rtx,openvino"):
        module(x)
    assert not get_rebuild_engines()
    with set_rebuild_engines(True):
        assert get_rebuild_engines()
        assert_same(module(x), model(x))
    assert not get_rebuild_engines()
    assert_same(module(x[:1]), model(x[:1]))  # it has been rebuilt
    assert [engine.target() for engine in engines_of(module)] == ["openvino"]
    with pytest.raises(ValueError, match=r"outside the range \[1, 8\]"):
        module(torch.rand(9, 12))


def test_rebuilding_is_a_switch() -> None:
    with pytest.raises(TypeError, match="expected True or False"):
        set_rebuild_engines(1)  # type: ignore[arg-type]


class Lookup(nn.Module):
    """Integers with a range, sizes that depend on each other, a shape that only the data gives."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(50, 8)

    def forward(self, ids: torch.Tensor, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        y = self.table(ids) @ x.transpose(-1, -2)
        return torch.cat([y, y], dim=1), torch.nonzero(x > 0)


def test_ranges_symbols_and_the_output_allocator_survive(tmp_path: Path) -> None:
    model = Lookup().eval()
    x = Input(min_shape=(1, 5, 8), opt_shape=(4, 5, 8), max_shape=(8, 5, 8))
    module = compiled(model, rows(6, torch.int64), x)
    path = save_script(module, tmp_path / "model.ts")
    before = metadata_of(torch_tensorrt.load(path))
    assert rebuild(path, tmp_path / "new.ts") == len(before)
    after = metadata_of(torch_tensorrt.load(tmp_path / "new.ts"))
    for old, new in zip(before, after, strict=True):
        for field in ("name", "device", "inputs", "outputs", "symbols", "requires_output_allocator"):
            assert old[field] == new[field], field
    ranges = [spec["value_range"] for new in after for spec in new["inputs"] if "value_range" in spec]
    assert ranges == [{"min": 0, "max": 49}]
    assert any(new["requires_output_allocator"] for new in after)
    loaded = torch_tensorrt.load(tmp_path / "new.ts")
    ids, other = torch.randint(0, 50, (3, 6)), torch.randn(3, 5, 8)
    assert_same(loaded(ids, other), model(ids, other))
    with pytest.raises(Exception, match="index out of range"):
        loaded(ids + 50, other)


def test_the_network_of_a_real_model_comes_back(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.BertConfig(
        num_hidden_layers=2, hidden_size=32, num_attention_heads=4, intermediate_size=64, vocab_size=100
    )
    model = transformers.BertModel(config).eval()
    shape = {"min_shape": (1, 4), "opt_shape": (2, 16), "max_shape": (4, 32), "dtype": torch.int64}
    module = torch_tensorrt.compile(model, arg_inputs=[Input(**shape), Input(**shape)], rebuildable=True)
    (engine,) = engines_of(module)
    built = load_binding().rebuild(engine.metadata(), engine.payload(), [])
    again = torch.classes.tensorrt.Engine(built.metadata, built.payload)
    # The text holds the digests of all constants, computed afresh from the elements that were read.
    assert sections_of(engine, "network") == sections_of(again, "network")
    assert sections_of(engine, "constants") == sections_of(again, "constants")
    assert len(sections_of(engine, "constants")[0]) > 4 * 100 * 32
    before, after = json.loads(engine.metadata()), json.loads(built.metadata)
    for field in before.keys() - {"crc32c", "targets", "network"}:
        assert before[field] == after[field], field
    ids, mask = torch.randint(0, 100, (2, 16)), (torch.rand(2, 16) > 0.2).long()
    inputs = {"ids": ids, "mask": mask}
    order = [inputs["mask" if "mask" in spec["name"] else "ids"] for spec in json.loads(built.metadata)["inputs"]]
    outputs = torch.ops.tensorrt.execute_engine(order, again)
    expected = model(ids, mask)
    for output in outputs:
        match = expected.last_hidden_state if output.dim() == 3 else expected.pooler_output
        torch.testing.assert_close(output, match, rtol=1e-4, atol=1e-5)


def test_damaged_networks_are_errors() -> None:
    (engine,) = engines_of(compiled(Mlp(12)))
    payload = engine.payload().clone()
    offset = json.loads(engine.metadata())["network"]["sections"][2]["offset"]
    payload[offset] ^= 1
    with pytest.raises(load_binding().DataLossError, match=r"its packed network is damaged.*checksum"):
        load_binding().rebuild(engine.metadata(), payload, [])
    with pytest.raises(RuntimeError, match=r"network\.sections\[2\]"):
        torch.classes.tensorrt.Engine(engine.metadata(), payload[: offset + 8].clone())


class Halves(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(x) * 2 + 1


# --- the command ---


def test_command(tmp_path: Path) -> None:
    model = Split().eval()
    source = save_script(compiled(model), tmp_path / "in.ts", extra_files={"note.txt": "kept"})
    out = tmp_path / "out.ts"
    command = [sys.executable, "-m", "torch_tensorrt", "rebuild", str(source), str(out), "--targets", "openvino"]
    environment = {**os.environ, "PYTHONPATH": str(Path(torch_tensorrt.__file__).parents[1])}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().endswith("engines rebuilt") or done.stdout.strip().endswith("engine rebuilt")
    assert sorted(item.name for item in tmp_path.iterdir()) == ["in.ts", "out.ts"]
    extra = {"note.txt": ""}
    loaded = torch_tensorrt.load(out, extra_files=extra)
    assert extra["note.txt"] in ("kept", b"kept")
    x = torch.rand(3, 12)
    assert_same(loaded(x), model(x))
    assert all("network" in metadata for metadata in metadata_of(loaded))
    assert main(["rebuild", str(out), str(tmp_path / "third.ts")]) == 0  # what was rebuilt can be rebuilt


@needs_rtx
def test_command_adds_targets(tmp_path: Path) -> None:
    model = Mlp(12)
    source = save_script(compiled(model, targets=["tensorrt_rtx"]), tmp_path / "in.ts")
    assert main(["rebuild", str(source), str(tmp_path / "out.ts"), "--targets", "openvino,tensorrt_rtx"]) == 0
    loaded = torch_tensorrt.load(tmp_path / "out.ts")
    assert [target["backend"] for target in metadata_of(loaded)[0]["targets"]] == ["openvino", "tensorrt_rtx"]
    x = torch.rand(3, 12)
    assert_same(loaded(x), model(x))


def test_command_on_an_exported_program(tmp_path: Path) -> None:
    model = Split().eval()
    torch_tensorrt.save(compiled(model), tmp_path / "in.pt2")
    assert main(["rebuild", str(tmp_path / "in.pt2"), str(tmp_path / "out.pt2")]) == 0
    x = torch.rand(3, 12)
    assert_same(torch_tensorrt.load(tmp_path / "out.pt2").module()(x), model(x))


def test_command_errors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    module = compiled(Mlp(12))
    good = save_script(module, tmp_path / "good.ts")
    plain = save_script(compiled(Mlp(12), rebuildable=False), tmp_path / "plain.ts")
    package = tmp_path / "package.pt2"
    torch_tensorrt.save(module, package, output_format="aot_inductor")
    torch.jit.save(torch.jit.script(Halves()), tmp_path / "none.ts")
    (tmp_path / "text.ts").write_text("not a program")
    out = tmp_path / "out.ts"

    def refused(source: Path, destination: Path, part: str, *options: str) -> None:
        before = destination.read_bytes() if destination.exists() else None
        assert main(["rebuild", str(source), str(destination), *options]) == 1
        said = capsys.readouterr().err
        assert said.startswith("torch_tensorrt rebuild: ")
        assert part in said
        assert (destination.read_bytes() if destination.exists() else None) == before

    refused(plain, out, "carries no network to build it from: compile the model with rebuildable=True")
    refused(good, out, "unknown target 'onnx'", "--targets", "openvino,onnx")
    refused(good, plain, "exists; --force replaces it")
    refused(tmp_path / "missing.ts", out, "there is no file")
    refused(package, out, "is a package of AOTInductor")
    refused(tmp_path / "none.ts", out, "holds no engine")
    refused(tmp_path / "text.ts", out, "is not a program that torch_tensorrt.save wrote")
    refused(good, tmp_path / "no_folder" / "out.ts", "does not exist")
    assert main(["rebuild", str(good), str(plain), "--force"]) == 0
    with pytest.raises(SystemExit):
        main(["rebuild", str(good)])
