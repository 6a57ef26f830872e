# SPDX-License-Identifier: Apache-2.0
"""Memory that inputs, results and weights share, and inputs that a model writes: as in eager, in every format."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from py_forms import in_form
from torch import nn
from torch.nn import functional as F
from torch.utils import _pytree as pytree

import torch_tensorrt

FORMS = ["module", "exported_program", "torchscript"]

# Where eager gives its argument, a view of it, or a copy.
IDENTITIES: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "itself": lambda x: x,
    "contiguous": lambda x: x.contiguous(),
    "contiguous of a transposed": lambda x: x.t().contiguous(),
    "to its dtype": lambda x: x.to(torch.float32),
    "to its dtype, a copy": lambda x: x.to(torch.float32, copy=True),
    "to its device": lambda x: x.to("cpu"),
    "type_as": lambda x: x.type_as(x),
    "dropout": lambda x: F.dropout(x, 0.5, False),
    "identity": nn.Identity(),
    "plus": lambda x: +x,
    "expand": lambda x: x.expand(3, 4),
    "expand(-1)": lambda x: x.expand(-1, -1),
    "broadcast_to": lambda x: torch.broadcast_to(x, (3, 4)),
    "view": lambda x: x.view(3, 4),
    "view of another shape": lambda x: x.view(12),
    "reshape": lambda x: x.reshape(3, 4),
    "reshape of a transposed": lambda x: x.t().reshape(12),
    "flatten": lambda x: x.flatten(0, 0),
    "permute": lambda x: x.permute(0, 1),
    "transposed twice": lambda x: x.t().t(),
    "slice of all": lambda x: x[:],
    "narrow": lambda x: x.narrow(0, 0, 3),
    "a row": lambda x: x[1],
    "unsqueeze, squeeze": lambda x: x.unsqueeze(0).squeeze(0),
    "split": lambda x: x.split(3)[0],
    "unbind": lambda x: x.unbind(0)[2],
    "diagonal": lambda x: x.diagonal(),
    "as_strided": lambda x: x.as_strided((3, 4), (4, 1)),
    "detach": lambda x: x.detach(),
    "conj": lambda x: x.conj(),
    "sum over nothing": lambda x: x.sum(()),
    "times one": lambda x: x * 1,
    "plus zero": lambda x: x + 0,
    "clone": lambda x: x.clone(),
    "pad by nothing": lambda x: F.pad(x, (0, 0)),
    "repeat once": lambda x: x.repeat(1, 1),
    "cat of one": lambda x: torch.cat([x]),
    "stack of one": lambda x: torch.stack([x])[0],
    "maximum of itself": lambda x: torch.maximum(x, x),
    "tril of all": lambda x: x.tril(10),
}


class Identities(nn.Module):
    """All at once: results of one program must keep apart, or together, too."""

    weight: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("weight", torch.arange(12.0).view(3, 4))

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        results = [function(x) for function in IDENTITIES.values()]
        return [*results, self.weight, self.weight.view(12), self.weight * 1, x * self.weight + 1]


def sharing(tensors: Sequence[torch.Tensor]) -> list[int]:
    """For each tensor the first one that is in the same memory."""
    first: dict[int, int] = {}
    return [first.setdefault(tensor.untyped_storage().data_ptr(), index) for index, tensor in enumerate(tensors)]


@pytest.mark.parametrize("name", list(IDENTITIES))
def test_an_identity_alone_shares_memory_as_in_eager(name: str) -> None:
    """Nothing beside it keeps it in PyTorch."""

    class Alone(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return IDENTITIES[name](x)

    x = torch.rand(3, 4)
    run = torch_tensorrt.compile(Alone().eval(), arg_inputs=[x], min_block_size=1)
    assert sharing([x, run(x)]) == sharing([x, Alone()(x)])


@pytest.fixture(scope="module")
def identities() -> Any:
    return torch_tensorrt.compile(Identities().eval(), arg_inputs=[torch.rand(3, 4)], min_block_size=1)


@pytest.mark.parametrize("form", FORMS)
def test_results_share_memory_as_in_eager(identities: Any, form: str, tmp_path: Path) -> None:
    eager = Identities().eval()
    run = in_form(copy.deepcopy(identities), form, tmp_path)
    names = ["the input", *IDENTITIES, "the weight", "a view of the weight", "the weight times one", "computed"]
    x = torch.rand(3, 4)
    ours, right = [x.clone()], [x.clone()]
    ours += run(ours[0])
    right += eager(right[0])
    assert sharing(ours) == sharing(right)
    for index, name in enumerate(names):
        try:
            right[index].add_(index + 1)
        except RuntimeError:
            continue  # several elements in one place
        ours[index].add_(index + 1)
        for other, actual, expected in zip(names, ours, right, strict=True):
            torch.testing.assert_close(actual, expected, msg=f"{name} was written, and {other} is not as in eager")
    # A later call sees what was written into the weight, where it gives it, and nothing else.
    torch.testing.assert_close(run(x)[: len(IDENTITIES) + 2], eager(x)[: len(IDENTITIES) + 2])


ONE_ELEMENT: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "take": torch.take,
    "take of a view": lambda x, i: torch.take(x.t(), i),
    "index": lambda x, i: x.flatten()[i],
    "index_select": lambda x, i: x.flatten().index_select(0, i),
    "gather": lambda x, i: x.flatten().gather(0, i.view(1)),
    "take_along_dim": lambda x, i: torch.take_along_dim(x, i.view(1, 1), None),
    "masked_select": lambda x, i: x.masked_select(x > i),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.int32, torch.bool])
@pytest.mark.parametrize("name", ONE_ELEMENT)
def test_a_chosen_element_is_a_copy(name: str, dtype: torch.dtype, form: str, tmp_path: Path) -> None:
    """Also where the index is one number, which Python's indexing makes a view of."""

    class Chosen(nn.Module):
        def forward(self, x: torch.Tensor, i: torch.Tensor) -> torch.Tensor:
            return ONE_ELEMENT[name](x, i)

    args = (torch.ones(1, 1, dtype=dtype), torch.tensor(0))
    program = torch.export.export(Chosen().eval(), args)
    run = in_form(torch_tensorrt.dynamo.compile(program, min_block_size=1), form, tmp_path)
    result, expected = run(*args), Chosen()(*args)
    torch.testing.assert_close(result, expected)
    assert sharing([args[0], result]) == sharing([args[0], expected])


# --- inputs that a model writes ---


def copied(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    x.copy_(y * 2)
    return x.sum()


def added(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    x.add_(y).clamp_(-0.5, 1)
    return x * 2


def put(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    x[torch.tensor([1, 0])] = y[:2]
    return x + 1


def sliced(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    x[1:, ::2] += 3
    x[:, 0] = y[:, 0]
    return x.relu()


def through_views(x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    row = x[1]
    x.add_(1)
    row.mul_(3)
    x.t()[1].mul_(2)
    return row + 1, x * y


def both(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    x.scatter_(1, torch.zeros(3, 1, dtype=torch.long), y[:, :1])
    y.masked_fill_(x > 0, -1.0)
    return x + y


WRITERS = [copied, added, put, sliced, through_views, both]

# The memory, and the part of it that is the input, [3, 4].
LAYOUTS: dict[str, Callable[[], tuple[torch.Tensor, torch.Tensor]]] = {
    "plain": lambda: (base := torch.randn(3, 4), base),
    "transposed": lambda: (base := torch.randn(4, 3), base.t()),
    "strided": lambda: (base := torch.randn(6, 8), base[::2, ::2]),
    "offset": lambda: (base := torch.randn(5, 6), base[1:4, 1:5]),
    "within a row": lambda: (base := torch.randn(40), base[7:19].view(3, 4)),
    "permuted": lambda: (base := torch.randn(4, 2, 3), base.permute(2, 0, 1)[..., 1]),
    "far apart": lambda: (base := torch.randn(24), base.as_strided((3, 4), (1, 5), 2)),
    "expanded": lambda: (base := torch.randn(3, 1), base.expand(3, 4)),
}


class Writer(nn.Module):
    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> Any:
        return self.function(x, y)


def outcome(run: Callable[..., Any], *inputs: torch.Tensor) -> Any:
    try:
        return run(*inputs)
    except (RuntimeError, torch.jit.Error):
        return None


def check_written(run: Any, model: nn.Module, layouts: Sequence[str]) -> None:
    for index, name in enumerate(layouts):
        torch.manual_seed(index)
        memory, x = LAYOUTS[name]()
        y = torch.randn(3, 4)
        torch.manual_seed(index)
        our_memory, our_x = LAYOUTS[name]()
        our_y = y.clone()
        expected, actual = outcome(model, x, y), outcome(run, our_x, our_y)
        if name == "expanded" and actual is None:
            continue  # eager raises, or, where the write is not its last word, says that it is deprecated
        torch.testing.assert_close(actual, expected, msg=name)
        torch.testing.assert_close(our_memory, memory, msg=name)
        torch.testing.assert_close(our_y, y, msg=name)


@pytest.mark.parametrize("example", ["transposed"])
@pytest.mark.parametrize("writer", WRITERS)
def test_written_inputs_of_every_layout(writer: Callable[..., Any], example: str, tmp_path: Path) -> None:
    model = Writer(writer).eval()
    x = LAYOUTS[example]()[1]
    module = torch_tensorrt.compile(model, arg_inputs=[x, torch.randn(3, 4)], min_block_size=1)
    for form in FORMS:
        check_written(in_form(module, form, tmp_path), model, list(LAYOUTS))


_ROW = torch.zeros(1, 4, dtype=torch.int64)
_TWO = torch.tensor([0, 2])
# Writes whose operator without the write gives contiguous results, and some that keep the order of memory.
ORDERLESS_WRITES: dict[str, Callable[[torch.Tensor], Any]] = {
    "masked_fill_": lambda x: x.masked_fill_(x > 0.5, 2.0),
    "scatter_": lambda x: x.scatter_(0, _ROW, torch.ones(1, 4)),
    "scatter_ of a number": lambda x: x.scatter_(0, _ROW, 3.0),
    "scatter_add_": lambda x: x.scatter_add_(0, _ROW, torch.ones(1, 4)),
    "index_add_": lambda x: x.index_add_(0, _TWO, torch.ones(2, 4)),
    "index_copy_": lambda x: x.index_copy_(0, _TWO, torch.ones(2, 4)),
    "index_fill_": lambda x: x.index_fill_(0, _TWO, 3.0),
    "masked_scatter_": lambda x: x.masked_scatter_(x > 0.5, torch.ones(3, 4)),
    "cumsum_": lambda x: x.cumsum_(0),
    "triu_": lambda x: x.triu_(),
    "tril_": lambda x: x.tril_(),
    "addmm_": lambda x: x.addmm_(torch.ones(3, 2), torch.ones(2, 4)),
    "add_": lambda x: x.add_(1),
    "fill_": lambda x: x.fill_(2.0),
    "index": lambda x: x.__setitem__(0, 5.0),
}
_READERS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "contiguous": lambda x: x.contiguous(),
    "reshape": lambda x: x.reshape(-1),
    "flatten": lambda x: x.flatten(),
    "ravel": lambda x: x.ravel(),
    "reshape of a transposed": lambda x: x.t().reshape(-1),
    "contiguous of a transposed": lambda x: x.t().contiguous(),
    "reshape_as": lambda x: x.reshape_as(torch.empty(2, 6)),
    "strided": lambda x: x.as_strided((2, 2), (3, 1)),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("write", list(ORDERLESS_WRITES))
def test_a_write_keeps_the_order_of_memory(write: str, form: str, tmp_path: Path) -> None:
    """Whether what reads a written tensor shares its memory depends on the order of the latter."""

    class Model(nn.Module):
        def forward(self, *inputs: torch.Tensor) -> list[torch.Tensor]:
            results = []
            for x, reader in zip(inputs, _READERS.values(), strict=True):
                ORDERLESS_WRITES[write](x)
                read = reader(x)
                read.mul_(2)
                results += [x * 1, read]
            return results

    def inputs() -> list[torch.Tensor]:
        generator = torch.Generator().manual_seed(0)
        return [torch.rand(4, 3, generator=generator).t() for _ in _READERS]

    module = in_form(torch_tensorrt.compile(Model(), arg_inputs=inputs(), min_block_size=1), form, tmp_path)
    ours, eagers = inputs(), inputs()
    for actual, expected in zip(module(*ours), Model()(*eagers), strict=True):
        torch.testing.assert_close(actual, expected)
    for actual, expected in zip(ours, eagers, strict=True):
        torch.testing.assert_close(actual, expected)


def test_written_inputs_of_a_package(tmp_path: Path) -> None:
    """Its kernels take contiguous tensors only, and say so."""
    model = Writer(through_views).eval()
    module = torch_tensorrt.compile(model, arg_inputs=[torch.randn(3, 4), torch.randn(3, 4)], min_block_size=1)
    torch_tensorrt.save(module, tmp_path / "m.pt2", output_format="aot_inductor")
    run = torch_tensorrt.load(tmp_path / "m.pt2")
    check_written(run, model, ["plain", "within a row"])
    memory, x = LAYOUTS["strided"]()
    before = memory.clone()
    with pytest.raises(RuntimeError, match="contiguous"):
        run(x, torch.randn(3, 4))
    assert torch.equal(memory, before)


# --- constants of engines ---

BINARY: dict[str, Callable[[Any, Any], torch.Tensor]] = {
    "add": torch.add,
    "subtract": torch.sub,
    "multiply": torch.mul,
    "divide": torch.div,
    "power": torch.pow,
    "maximum": torch.maximum,
    "remainder": torch.remainder,
    "floor divide": torch.floor_divide,
    "prelu": torch.ops.aten._prelu_kernel,
    "lerp": lambda a, b: torch.lerp(a, b, 0.5),
    "addcmul": lambda a, b: torch.addcmul(a, b, b),
    "where": lambda a, b: torch.where(b > a, a, b),
    "squared difference": lambda a, b: (a - b) ** 2,
}
# Values that depend on no input and that OpenVINO does not fold before it knows the inputs.
CONSTANTS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "itself": lambda w: w,
    "integers": lambda w: (w * 4).to(torch.int32),
    "sorted": lambda w: w.sort()[0],
    "rounded": lambda w: w.bfloat16().to(w.dtype),
    "relu of it": lambda w: F.relu(w) + 1,
    "subnormal": lambda w: torch.where(w > 1, w, 1e-40),
    "transposed": lambda w: w.view(2, 2).t().reshape(4),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.int32], ids=str)
@pytest.mark.parametrize("kind", list(CONSTANTS))
def test_constants_are_never_written(kind: str, dtype: torch.dtype) -> None:
    """The vendor's elementwise layers write in place into their first operand, also into one that is computed once."""

    class Model(nn.Module):
        w: torch.Tensor

        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("w", torch.tensor([1.5, 3.0, 2.5, 4.0]).to(dtype))

        def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
            once = CONSTANTS[kind](self.w)
            results = []
            for name, function in BINARY.items():
                for y in (x, x + 1):
                    if name in ("prelu", "lerp", "addcmul") and not (once.dtype == y.dtype and y.is_floating_point()):
                        continue
                    results += [function(once, y), function(y, once)]
            return results

    if dtype == torch.int32 and kind in ("rounded", "subnormal"):
        return
    x = torch.tensor([3.0, 2.0, 5.0, 1.0]).to(dtype)
    eager = Model().eval()
    run = torch_tensorrt.compile(eager, arg_inputs=[x], min_block_size=1)
    for scale in (1, 2, 1, 3, 1):
        for actual, expected in zip(run(x * scale), eager(x * scale), strict=True):
            torch.testing.assert_close(actual, expected)


@pytest.mark.parametrize("shape", [(), (2,)], ids=str)
@pytest.mark.parametrize("name", list(BINARY))
def test_a_constant_alone_is_never_written(name: str, shape: tuple[int, ...]) -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(torch.tensor([1.5, 3.0]), requires_grad=False)

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            y = x + 1
            return BINARY[name](self.w, y), y

    eager = Model().eval()
    run = torch_tensorrt.compile(eager, arg_inputs=[torch.ones(shape)], min_block_size=1)
    for value in (1.0, 2.0, 1.0, 3.0):
        torch.testing.assert_close(run(torch.full(shape, value))[0], eager(torch.full(shape, value))[0])


# Conditions that depend on no input.
CONDITIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "magnitude": lambda w: w.abs() > 2,
    "is nan": lambda w: w.isnan(),
    "not nan": lambda w: ~w.isnan(),
    "sorted": lambda w: w.sort()[0] > 2,
    "rounded": lambda w: w.bfloat16() == w,
    "both": lambda w: (w.abs() > 2) & (w.sort()[0] > 0),
    "element": lambda w: w.abs()[:1] > 1,
}
SELECTIONS: dict[str, Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "two inputs": lambda chosen, w, x: torch.where(chosen, x, -x),
    "zero": lambda chosen, w, x: torch.where(chosen, 0, x),
    "else zero": lambda chosen, w, x: torch.where(chosen, x - 1, 0),
    "sign": lambda chosen, w, x: torch.where(chosen, w - w.sign() * x, w * 0),
    "masked fill": lambda chosen, w, x: x.masked_fill(chosen, 3),
    "of booleans": lambda chosen, w, x: torch.where(chosen, x > 2, x < 1),
    "and": lambda chosen, w, x: chosen & (x > 2),
    "product": lambda chosen, w, x: chosen * x,
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.int32, torch.int64], ids=str)
@pytest.mark.parametrize("kind", list(CONDITIONS))
def test_constant_conditions_are_never_written(kind: str, dtype: torch.dtype) -> None:
    """A selection writes in place over its condition, which is computed once where it depends on constants only."""

    class Model(nn.Module):
        w: torch.Tensor

        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("w", torch.tensor([1.5, -1.0, 0.0, -2.5, 4.0, 2.0]).to(dtype))

        def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
            return [function(CONDITIONS[kind](self.w), self.w, x) for function in SELECTIONS.values()]

    x = torch.tensor([3.0, 2.0, 5.0, -1.0, 0.0, 2.0]).to(dtype)
    eager = Model().eval()
    run = torch_tensorrt.compile(eager, arg_inputs=[x], min_block_size=1)
    for scale in (1, -2, 1, 3, 0):
        for actual, expected in zip(run(x * scale), eager(x * scale), strict=True):
            torch.testing.assert_close(actual, expected)


@pytest.mark.parametrize("name", list(SELECTIONS))
@pytest.mark.parametrize("kind", list(CONDITIONS))
def test_a_constant_condition_alone_is_never_written(kind: str, name: str) -> None:
    class Model(nn.Module):
        w: torch.Tensor

        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("w", torch.tensor([1.5, -1.0, 0.0, -2.5, 4.0, 2.0]))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return SELECTIONS[name](CONDITIONS[kind](self.w), self.w, x)

    x = torch.tensor([3.0, 2.0, 5.0, -1.0, 0.0, 2.0])
    eager = Model().eval()
    run = torch_tensorrt.compile(eager, arg_inputs=[x], min_block_size=1)
    for scale in (1, -2, 1, 3, 0):
        torch.testing.assert_close(run(x * scale), eager(x * scale))


@pytest.mark.parametrize("function", [F.softshrink, F.hardshrink, F.tanhshrink, F.relu6], ids=lambda f: f.__name__)
def test_shrunk_constants_stay(function: Callable[[torch.Tensor], torch.Tensor]) -> None:
    class Model(nn.Module):
        w: torch.Tensor

        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("w", torch.tensor([[[[1.5]], [[-1.0]]], [[[0.0]], [[-2.0]]]]))

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return function(self.w), function(self.w) + x

    eager = Model().eval()
    x = torch.ones(1)
    run = torch_tensorrt.compile(eager, arg_inputs=[x], min_block_size=1)
    for _ in range(3):
        torch.testing.assert_close(run(x), eager(x))


SUMS: dict[str, Callable[[Any, torch.Tensor], torch.Tensor]] = {
    "sum": lambda model, x: model.w + model.convolution(x),
    "difference": lambda model, x: model.w - model.convolution(x),
    "in place": lambda model, x: (model.w * 1).add_(model.convolution(x)),
    "linear": lambda model, x: model.w.reshape(36, 8) + model.linear(x.reshape(36, 4)),
    "normalization": lambda model, x: model.w + model.norm(model.convolution(x)),
}


@pytest.mark.parametrize("scale", [1.0, 1e30, 1e-39])
@pytest.mark.parametrize("name", list(SUMS))
def test_a_sum_never_writes_a_constant(name: str, scale: float) -> None:
    """The vendor makes one layer of a convolution and a sum, whose result is where the other term was."""

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(torch.randn(1, 8, 6, 6) * scale, requires_grad=False)
            self.convolution, self.linear = nn.Conv2d(4, 8, 3, padding=1), nn.Linear(4, 8)
            self.norm = nn.GroupNorm(2, 8)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return SUMS[name](self, x)

    eager = Model().eval()
    inputs = [torch.randn(1, 4, 6, 6) * factor for factor in (1, 2, 3)]
    run = torch_tensorrt.compile(eager, arg_inputs=[inputs[0]], min_block_size=1)
    with torch.no_grad():
        for x in (*inputs, inputs[0]):
            torch.testing.assert_close(run(x), eager(x), rtol=1e-4, atol=1e-5)


def _relu(x: torch.Tensor) -> torch.Tensor:
    return x.relu()


def _sorted(x: torch.Tensor) -> torch.Tensor:
    return x.sort(dim=-1).values


def _in_pytorch(x: torch.Tensor) -> torch.Tensor:
    return torch.mode(x.view(1, -1, 4).expand(3, -1, 4), 0).values


class WritesWhatItReturns(nn.Module):
    """Writes one value into two buffers and returns it, or only one of that."""

    def __init__(self, value: Callable[[torch.Tensor], torch.Tensor], writes: int, returns: str) -> None:
        super().__init__()
        self.value, self.writes, self.returns = value, writes, returns
        self.register_buffer("a", torch.zeros(2, 4))
        self.register_buffer("b", torch.zeros(2, 4))

    def forward(self, x: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, ...]:
        value = self.value(x)
        self.a.copy_(value)
        if self.writes == 2:
            self.b.copy_(value)
        if self.writes == 3:
            self.b.copy_(self.a)
        found = {
            "value": value,
            "view": value.view_as(value),
            "alias": torch.positive(value.detach()),
            "part": value[:, :2],
            "both": (value, value + 1),
            "another": value + 1,
            "buffer": self.a,
        }
        return found[self.returns]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("returns", ["value", "view", "alias", "part", "both", "another", "buffer"])
@pytest.mark.parametrize("writes", [1, 2, 3])
@pytest.mark.parametrize("value", [_relu, _sorted, _in_pytorch, nn.Identity()], ids=["relu", "sort", "mode", "input"])
def test_a_value_that_is_written_and_returned(
    value: Callable[[torch.Tensor], torch.Tensor], writes: int, returns: str, form: str, tmp_path: Path
) -> None:
    """It is no buffer, unless eager returns the buffer; and several buffers may get one value."""
    x = torch.tensor([[3.0, -1.0, 2.0, -0.5], [1.0, -4.0, 2.0, 0.5]])
    eager = WritesWhatItReturns(value, writes, returns)
    program = torch.export.export(WritesWhatItReturns(value, writes, returns), (x,), strict=False)
    compiled = in_form(torch_tensorrt.dynamo.compile(program, min_block_size=1), form, tmp_path)
    for factor in (1.0, 2.0):
        given, own = x * factor, x * factor
        expected, actual = eager(given), compiled(own)
        first, ours = (results[0] if isinstance(results, (tuple, list)) else results for results in (expected, actual))
        torch.testing.assert_close(ours, first, rtol=0, atol=0)
        first.fill_(7)
        ours.fill_(7)
        buffers = dict(compiled.named_buffers())
        for name, buffer in eager.named_buffers():
            if name in buffers:
                torch.testing.assert_close(buffers[name], buffer, rtol=0, atol=0, msg=name)
        torch.testing.assert_close(own, given, rtol=0, atol=0)


def the_whole_and_a_part(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    whole = torch.ones(4, dtype=torch.float64)
    return whole, whole[1:]


# In float64, which stays in PyTorch: results that are the same in every call.
CONSTANT_RESULTS: dict[str, Callable[[torch.Tensor], Any]] = {
    "ones": lambda x: torch.ones(x.shape[0], 2, dtype=torch.float64),
    "full": lambda x: torch.full((2,), 3.0, dtype=torch.float64),
    "two alike": lambda x: (torch.ones(2, dtype=torch.float64), torch.ones(2, dtype=torch.float64)),
    "computed": lambda x: torch.ones(2, dtype=torch.float64) + torch.full((2,), 2.0, dtype=torch.float64),
    "transposed": lambda x: torch.ones(2, 3, dtype=torch.float64).t(),
    "the whole and a part": the_whole_and_a_part,
    "parts": lambda x: torch.arange(4, dtype=torch.float64).split(2),
    "several results": lambda x: tuple(torch.arange(4, dtype=torch.float64).sort()),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", list(CONSTANT_RESULTS))
def test_writes_into_constant_results_change_no_later_call(name: str, form: str, tmp_path: Path) -> None:
    """TorchScript computes constants once."""

    class Constant(nn.Module):
        def forward(self, x: torch.Tensor) -> Any:
            return CONSTANT_RESULTS[name](x)

    x = torch.rand(3)
    program = torch.export.export(Constant(), (x,))
    run = in_form(torch_tensorrt.dynamo.compile(program, min_block_size=1), form, tmp_path)
    for _ in range(3):  # the second call is optimized
        ours, right = (pytree.tree_leaves(function(x)) for function in (run, Constant()))
        torch.testing.assert_close(ours, right, rtol=0, atol=0, check_stride=True)
        for index, (actual, expected) in enumerate(zip(ours, right, strict=True)):
            actual.add_(index + 7)
            expected.add_(index + 7)
        torch.testing.assert_close(ours, right, rtol=0, atol=0)
