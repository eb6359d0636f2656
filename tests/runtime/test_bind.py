"""What a Run calls: dtypes, exchanges, parts that must keep their word, plumbing."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from mmm_graph.errors import RunError
from mmm_graph.plan.ops import At
from mmm_graph.runtime.bind import _moved
from mmm_graph.runtime.copies import join
from mmm_graph.runtime.engine import Request
from mmm_graph.runtime.plumbing import PLUMBING
from tests.runtime.toys import DIFFUSION, Head, toy_engine, toy_graph

AT = At("a", "n")
REQUEST = Request("a", {"prompt": ["hi", "you"]})


def test_a_model_gets_features_in_its_dtype_and_times_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = toy_graph(
        DIFFUSION.replace("unet: {kind: denoiser.toy,", "unet: {kind: denoiser.toy, dtype: f64,"), steps=1
    )
    engine = toy_engine(graph)
    seen: list[dict[str, torch.dtype]] = []
    engine.models["unet"].object.parts["embed"].register_forward_pre_hook(
        lambda module, args: seen.append({k: v.dtype for k, v in args[0].items()})
    )
    engine.run(graph, [REQUEST])
    assert seen == [{"x": torch.float64, "t": torch.float32, "cond.embeds": torch.float64}]


class Exchange:
    def __init__(self) -> None:
        self.seen: list[Any] = []

    def bind(self, at: At) -> None:
        self.seen.append((at.node, at.step))

    def clear(self, request: str, within: str = "") -> None:
        self.seen.append(request)


@pytest.mark.parametrize("fails", [False, True])
def test_the_exchange_of_a_model_knows_where_it_is_and_when_a_request_ends(fails: bool) -> None:
    graph = toy_graph(steps=2)
    engine = toy_engine(graph)
    exchange: Any = Exchange()
    engine.models["unet"].exchange = exchange
    if fails:
        engine.models["vae"].object.lin = None
        with pytest.raises(RunError):
            engine.run(graph, [REQUEST])
    else:
        engine.run(graph, [REQUEST])
    assert exchange.seen == [("denoise/pc", (0,)), ("denoise/pc", (1,)), "a"]


class Liar(Head):
    def forward(self, state: Any) -> dict[str, Tensor]:
        return {**super().forward(state), "h": state["h"]}


def test_a_part_that_writes_what_it_does_not_declare() -> None:
    graph = toy_graph(steps=1)
    engine = toy_engine(graph)
    engine.models["unet"].object.parts["head"] = Liar()
    with pytest.raises(RunError, match=r"part head declares that it writes pred; it returned pred, h"):
        engine.run(graph, [REQUEST])


def test_split_and_cat() -> None:
    split, cat = PLUMBING["split"](("split", 2)).function, PLUMBING["cat"](("cat",)).function
    x = torch.arange(8.0).reshape(4, 2)
    assert torch.equal(cat(dict(split({"x": x}, AT)), AT)["x"], x)
    assert cat(dict(split({"x": ["a", "b"]}, AT)), AT)["x"] == ["a", "b"]
    with pytest.raises(ValueError, match="3 rows cannot be split into 2"):
        split({"x": x[:3]}, AT)


def test_join() -> None:
    assert join([], 0) is None and join([1, 2], 0).tolist() == [1, 2]
    assert join([torch.tensor(1.0), torch.tensor(2.0)], 0).tolist() == [1.0, 2.0]
    assert join([torch.zeros(2, 1), torch.zeros(2, 3)], 1).shape == (2, 4)


def test_a_model_that_was_not_built() -> None:
    graph = toy_graph()
    engine = toy_engine(graph, cache_bytes=0)
    engine.models = {k: v for k, v in engine.models.items() if k != "vae"}
    with pytest.raises(RunError, match=r"E704.*image needs the model 'vae'"):
        engine.run(graph, [REQUEST])


def test_what_was_made_on_the_cpu_goes_to_the_device() -> None:
    x = torch.ones(2)
    found = _moved(
        {"images": [x, x], "ids": x, "at": 3, "inner": x}, ("images", "ids", "at"), torch.device("meta")
    )
    assert [t.device.type for t in (*found["images"], found["ids"], found["inner"])] == [*["meta"] * 3, "cpu"]
    assert found["at"] == 3
