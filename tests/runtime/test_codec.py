"""Values survive the way through a header and raw tensors, with their memory format; nothing else travels."""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import Any

import numpy as np
import pytest
import torch

from mmm_graph.errors import RunError
from mmm_graph.nn.sampler import Times
from mmm_graph.runtime.codec import (
    copy_of,
    from_bytes,
    pack,
    payload,
    put_together,
    spec_of,
    take_apart,
    to_bytes,
    unpack,
)
from mmm_graph.runtime.values import Absent

CPU = torch.device("cpu")
VALUES: list[Any] = [
    None, True, 3, -(2**63), 2**80, 0.1, -0.0, math.inf, "text \ud800", b"\0", [], (), {}, [1, (2.5, [None])],
    {"a": 1, 2: {"b": (True, "c")}, (1, "k"): []}, Absent("no image", ("a", "b")), [Absent("x"), 1],
    ("T",), ["absent"], ("dict", ("q",)),
]  # fmt: skip
TENSORS = [
    torch.randn(2, 3),
    torch.randn(2, 3, dtype=torch.bfloat16),
    torch.randn(3).half(),
    torch.tensor([True, False]),
    torch.arange(5),
    torch.tensor(2.5, dtype=torch.float64),
    torch.zeros(0, 4),
    torch.randn(4, 6).t(),
    torch.randn(2, 3, dtype=torch.complex64).conj(),
    torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
    torch.randn(2, 3, 2, 4, 5).to(memory_format=torch.channels_last_3d),
    torch.randn(8, 3, 4, 5)[::2],
]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_values_without_tensors(value: Any) -> None:
    found = put_together(unpack(pack(take_apart(value, "n.x"))))
    assert found == value and type(found) is type(value)
    assert from_bytes(to_bytes(value, "n.x"), CPU) == value
    assert repr(found) == repr(value)  # -0.0


@pytest.mark.parametrize("x", TENSORS, ids=lambda x: str(spec_of(x)))
def test_tensors_go_as_bytes_of_their_memory_format(x: torch.Tensor) -> None:
    parts = unpack(pack(take_apart({"x": [x]}, "n.x")))
    found = parts.form.specs[0].empty(CPU)
    if x.numel():
        assert payload(found).data_ptr() == found.data_ptr()  # filled where it is
        payload(found).copy_(payload(x))
    assert found.equal(x) and found.dtype == x.dtype and spec_of(found) == spec_of(x)
    assert put_together(parts._replace(tensors=[found]))["x"][0] is found
    same, copy = from_bytes(to_bytes(x, "n.x"), CPU), copy_of(x)
    assert same.equal(x) and copy.equal(x)
    assert found.stride() == same.stride() == copy.stride()


def test_the_memory_format_survives_where_one_channel_or_pixel_makes_it_ambiguous() -> None:
    for shape in ((2, 1, 4, 4), (2, 3, 1, 1), (1, 1, 1, 1)):
        plain = torch.randn(shape)
        last = torch.empty(shape, memory_format=torch.channels_last).copy_(plain)
        assert not spec_of(plain).channels_last and spec_of(last).channels_last == (max(shape) > 1)
        found = spec_of(last).empty(CPU)
        assert found.stride() == last.stride() and copy_of(last).stride() == last.stride()


def test_times() -> None:
    levels = torch.linspace(1, 0, 4, dtype=torch.float64)
    times = Times(levels[:3], 1 - levels, levels, "flow", clip=1.0)
    found = from_bytes(to_bytes({"times": times}, "n.x"), CPU)["times"]
    assert type(found) is Times and found.alpha.equal(times.alpha) and found.t.dtype == torch.float64
    assert (found.prediction, found.clip, found.threshold) == ("flow", 1.0, None)


def test_what_a_receiver_must_know_beforehand() -> None:
    def form(value: Any) -> Any:
        return take_apart(value, "n.x").form

    x = torch.randn(2, 3, 4, 4)
    assert form([x, 1, True]) == form([x + 1, 2, False])
    assert form(Absent("a")) == form(Absent("b", ("n",)))
    others = [x[:1], x.double(), x.to(memory_format=torch.channels_last), [x], 1, None, Absent("a")]
    assert all(form(x) != form(other) for other in others)
    assert form("a") != form("b") and form((1,)) != form([1]) and form(1) != form(1.0) != form(True)
    told = str(form({"a": [x, 1, "t"], "b": Absent("no")}))
    assert told == "{'a': list(float32[2, 3, 4, 4], int, 't'), 'b': absent}"


class Own(tuple[int, ...]):
    """No value of a port."""


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ({1}, "builtins.set"),
        ([object()], "builtins.object"),
        (Own((1,)), "Own"),
        (OrderedDict(), "OrderedDict"),
        (np.float64(1), "numpy.float64"),
        (torch.Size([1]), "torch.Size"),
        (torch.eye(2).to_sparse(), "torch.sparse_coo"),
        (torch.empty(2, device="meta"), "on meta"),
        (torch.float32, "torch.dtype"),
    ],
)
def test_what_cannot_travel(value: Any, name: str) -> None:
    with pytest.raises(RunError) as caught:
        take_apart({"k": value}, "node.out")
    found = caught.value.problems[0]
    assert (
        found.code == "E723"
        and "node.out" in found.message
        and name in found.message
        and "list, tuple" in found.hint
    )
