"""Weights that come and go: the same numbers, in little memory, and away again however a run ends."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from mmm_graph.errors import Cancelled, RunError
from mmm_graph.plan.place import make_plan
from mmm_graph.runtime.engine import Engine, Request
from mmm_graph.runtime.offload import (
    WHOLE,
    Lane,
    Offload,
    Streamed,
    offload_from_host,
    stream_parts,
    units_of,
)
from mmm_graph.spec.offload import OffloadSpec
from tests.runtime.toys import DIFFUSION, toy_engine, toy_graph, toy_registry

REGISTRY = toy_registry()
CPU = torch.device("cpu")
INPUTS = {"prompt": ["a cat", "two dogs"], "negative": ["", ""]}


def said(**more: Any) -> OffloadSpec:
    return OffloadSpec.model_validate({"by": "block", **more})


def rooms(engine: Engine) -> list[Offload]:
    built = engine._shards._kept.values()
    return [b.room for b in built if b.room is not None]


# -- one model


class Recorded(Offload):
    """An Offload that writes down what it does."""

    def record(self) -> Recorded:
        self.log: list[str] = []
        fill, exit_ = self.fill, super().exit

        def noted(name: str) -> None:
            self.log.append(f"+{name}")
            fill(name)

        def left(name: str) -> None:
            self.log.append(name)
            exit_(name)

        self.fill, self.exit = noted, left  # type: ignore[method-assign]
        return self


def chain(*names: str, **more: Any) -> Recorded:
    units = {n: [torch.empty(1)] for n in names}

    def fill(name: str) -> None:
        units[name][0].fill_(names.index(name))

    offload = Recorded(units, fill, said(**more), CPU)
    offload.start()
    return offload.record()


def turn(offload: Recorded, names: str) -> str:
    offload.log.clear()
    for name in names:
        offload.enter(name)
        assert offload.units[name][0].numel() == 1 and float(offload.units[name][0]) == "abcd".index(name)
        offload.exit(name)
    return " ".join(offload.log)


def test_the_next_part_is_fetched_when_one_has_been_told_to_compute() -> None:
    offload = chain(*"abcd")
    assert turn(offload, "abcd") == "+a a +b b +c c +d d"
    assert turn(offload, "abcd") == "+a a +b b +c c +d d +a", "what came after it the last time"
    assert list(offload.here) == ["a"]
    offload.leave()
    assert turn(offload, "bd") == "+b b +c +d d +a", "it may guess wrongly, and fetches what is needed"


@pytest.mark.parametrize(("ahead", "log", "most"), [(0, "+a a +b b +c c", 1), (2, "+a a +b +c b +d c", 2)])
def test_so_many_are_ahead(ahead: int, log: str, most: int) -> None:
    offload = chain(*"abcd", ahead=ahead)
    assert turn(offload, "abc") == log
    assert len(offload.here) < most + 1


class Beside(Lane):
    """A lane as on CUDA: what is computed and copied is only asked for, and done when somebody waits for it."""

    def __init__(self, log: list[str]) -> None:
        super().__init__(CPU)
        self.is_beside, self.log, self.count = True, log, 0

    def now(self, *, copied: bool = False) -> Any:
        self.count += 1
        self.log.append(f"{'copied' if copied else 'computed'}{self.count}")
        return self.count

    def wait(self, moment: Any) -> None:
        self.log.append(f"after{moment}")

    def until(self, moment: Any) -> None:
        self.log.append(f"until{moment}")


def test_beside_the_computation_memory_is_taken_over_when_its_last_reader_is_done() -> None:
    """Part c is copied into the memory of a while b computes, after a has."""
    offload = chain(*"abcd")
    offload.lane = Beside(offload.log)
    assert turn(offload, "abc").split() == [
        "+a", "copied1", "after1", "a", "computed2",
        "+b", "copied3", "after3", "b", "computed4", "until2",
        "+c", "copied5", "after5", "c", "computed6", "until4",
        "+d", "copied7",
    ]  # fmt: skip
    assert len({t.data_ptr() for unit in offload.units.values() for t in unit if t.numel()}) == 2
    assert list(offload.here) == ["c", "d"]
    offload.leave()
    assert not offload.here and not offload._free


def test_by_model_all_comes_at_once_and_stays() -> None:
    offload = chain(*"abc", by="model")
    assert turn(offload, "ab") == "+a +b +c a b"
    assert turn(offload, "abc") == "a b c" and len(offload.here) == 3
    offload.leave()
    assert all(t.numel() == 0 for unit in offload.units.values() for t in unit)


def test_what_is_away_cannot_be_computed_with() -> None:
    offload = chain(*"ab")
    with pytest.raises(RuntimeError):
        _ = offload.units["a"][0] + torch.ones(2, 3)


def test_a_part_that_cannot_come_is_not_there() -> None:
    offload = chain(*"abc")

    def broken(name: str) -> None:
        raise RunError([])

    turn(offload, "a")
    offload.leave()
    offload.fill = broken
    with pytest.raises(RunError):
        offload.enter("b")
    assert not offload.here and offload.units["b"][0].numel() == 0


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        conv, shared = nn.Conv2d(2, 3, 3), nn.Linear(4, 4)
        self.parts = nn.ModuleDict(
            {"a": conv, "b": shared, "c": nn.Sequential(shared, nn.BatchNorm1d(4)), "d": nn.Tanh()}
        )
        self.outside = nn.Linear(4, 4)


def test_units_are_parts_and_what_several_have_stays() -> None:
    found = units_of(Net())
    assert found["a"] == [["parts.a.weight"], ["parts.a.bias"]] and found["b"] == found["d"] == []
    assert [n.rpartition(".")[2] for (n,) in found["c"]] == [
        "weight",
        "bias",
        "running_mean",
        "running_var",
        "num_batches_tracked",
    ]
    tied = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    tied[1].weight = tied[0].weight
    assert units_of(tied) == {WHOLE: [["0.weight", "1.weight"], ["0.bias"], ["1.bias"]]}


def test_tensors_come_back_as_they_were() -> None:
    net = Net().to(memory_format=torch.channels_last).requires_grad_(False)
    state = {k: v.clone() for k, v in net.state_dict().items()}
    strides = net.parts["a"].weight.stride()
    offload = offload_from_host(net, said(by="model"), CPU)
    stream_parts(net, offload)
    assert isinstance(net.parts["a"], Streamed) and not isinstance(net.parts["b"], Streamed)
    assert all(p.numel() == 0 for p in net.parts["a"].parameters())
    offload.enter("a")
    found = {k.replace(".part.", "."): v for k, v in net.state_dict().items()}
    assert found.keys() == state.keys() and all(torch.equal(v, state[k]) for k, v in found.items())
    assert net.parts["a"].part.weight.stride() == strides and not net.parts["a"].part.weight.requires_grad


# -- runs of the toy


def run(engine: Engine, graph: Any, plan: Any, **more: Any) -> torch.Tensor:
    (found,) = engine.run(graph, [Request("r", INPUTS, (3,))], plan=plan, **more).values()
    image = found.values["image"]
    assert isinstance(image, torch.Tensor)
    return image


SAID = [{"by": "model"}, {"by": "block"}, {"by": "block", "ahead": 0}, {"by": "block", "ahead": 9}]


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("unet", SAID, ids=str)
def test_the_same_numbers_from_the_host(unet: dict[str, Any], ranks: int) -> None:
    """On two ranks: a pipeline, each stage offloading what it holds. `text` and `vae` are not made of parts."""
    graph = toy_graph(DIFFUSION)
    placement = {"unet": [((0,), 0, 3), ((1,), 3, 6)]} if ranks == 2 else None
    engine = toy_engine(graph, REGISTRY, cache_bytes=0)
    want = run(engine, graph, make_plan(graph, REGISTRY, placement))
    offload = {"unet": OffloadSpec.model_validate(unet), "text": OffloadSpec(), "vae": OffloadSpec()}
    plan = make_plan(graph, REGISTRY, placement, offload=offload)
    assert torch.equal(run(engine, graph, plan), want)
    assert torch.equal(run(engine, graph, plan), want), "and again, from where it rests"
    assert len(rooms(engine)) == ranks + 2 and not any(room.here for room in rooms(engine))


def test_a_model_stays_through_its_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """One fetch of each part for ten evaluations; the text encoder leaves before."""
    graph, log = toy_graph(DIFFUSION), []
    bring = Offload._bring

    def noted(self: Offload, names: Any) -> None:
        log.extend(f"+{n}" for n in names if n not in self.here)
        bring(self, names)

    monkeypatch.setattr(Offload, "_bring", noted)
    leave = Offload.leave
    monkeypatch.setattr(Offload, "leave", lambda self: (log.append("-" if self.here else ""), leave(self))[1])
    offload = dict.fromkeys(("text", "unet", "vae"), OffloadSpec())
    run(toy_engine(graph, REGISTRY, cache_bytes=0), graph, make_plan(graph, REGISTRY, offload=offload))
    parts = [f"+{n}" for n in ("embed", "block0", "block1", "block2", "block3", "head")]
    assert [line for line in log if line] == ["+", "-", *parts, "-", "+", "-"]


class Failing(nn.Module):
    """A part that fails the n-th time."""

    def __init__(self, part: nn.Module, after: int) -> None:
        super().__init__()
        self.part, self.left = part, after

    def forward(self, state: Any) -> Any:
        self.left -= 1
        if self.left < 0:
            raise ZeroDivisionError("the toy broke")
        return self.part(state)


@pytest.mark.parametrize("unet", SAID, ids=str)
def test_weights_go_when_a_run_fails_and_the_next_run_is_whole(unet: dict[str, Any]) -> None:
    graph = toy_graph(DIFFUSION)
    engine = toy_engine(graph, REGISTRY, cache_bytes=0)
    plan = make_plan(graph, REGISTRY, offload={"unet": OffloadSpec.model_validate(unet)})
    want = run(engine, graph, plan)
    (room,) = rooms(engine)
    (built,) = [b for b in engine._shards._kept.values() if b.room is room]
    streamed = built.object.parts["block2"]
    streamed.part = Failing(streamed.part, 3)
    with pytest.raises(RunError, match="the toy broke"):
        run(engine, graph, plan)
    assert not room.here and all(t.numel() == 0 for u in room.units.values() for t in u)
    streamed.part = streamed.part.part
    asked = iter(range(10**6))
    with pytest.raises(Cancelled):
        run(engine, graph, plan, cancel=lambda: next(asked) > 20)
    assert not room.here
    assert torch.equal(run(engine, graph, plan), want)


def test_a_failed_request_beside_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """The others go on with a model that was left in the middle of its parts."""
    graph = toy_graph(DIFFUSION)
    engine = toy_engine(graph, REGISTRY, cache_bytes=0)
    plan = make_plan(graph, REGISTRY, offload={"unet": said()})
    want = run(engine, graph, plan)
    (built,) = [b for b in engine._shards._kept.values() if b.room is not None]
    streamed = built.object.parts["block2"]
    streamed.part = Failing(streamed.part, 0)
    requests = [Request("bad", INPUTS, (1,)), Request("r", INPUTS, (3,))]
    calls = iter(range(10**6))
    monkeypatch.setattr(Failing, "forward", lambda self, state: self.part(state) if next(calls) else 1 / 0)
    found = engine.run(graph, requests, plan=plan, isolate=True)
    assert found["bad"].error is not None and torch.equal(found["r"].values["image"], want)


def test_weights_of_init_are_in_no_file() -> None:
    graph = toy_graph(DIFFUSION)
    plan = make_plan(graph, REGISTRY, offload={"unet": said(**{"from": "disk"})})
    with pytest.raises(RunError, match=r"E621.*unet cannot come from disk"):
        run(toy_engine(graph, REGISTRY), graph, plan)
