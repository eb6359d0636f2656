"""What frozen models make of samples is kept by content: within a run, on disk between runs, up to a budget."""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from mmm_graph.errors import Problem, RunError
from mmm_graph.graph.compile import compile_graph
from mmm_graph.graph.graph import Input
from mmm_graph.runtime import Engine, build_models
from mmm_graph.spec.ports import parse_port
from mmm_graph.train import cache_store
from mmm_graph.train.cache import CacheTools, FrozenCache
from mmm_graph.train.cache_store import MemoryStore
from mmm_graph.train.frozen import frozen_values
from mmm_graph.train.loader import Batch, Loader
from mmm_graph.train.options import TrainOptions
from mmm_graph.train.trainer import train
from tests.train.test_frozen import CLEAN
from tests.train.test_trainer import EACH, assert_same, losses, weights
from tests.train.toys import REGISTRY, Line, Linear, LineConfig, toy_spec

PROBE = {"train.stages.fit.train": "{head: full}", "train.stages.fit.ema": "null"}
DISK = {**PROBE, "train.stages.fit.cache": "disk"}


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Gets the number of rows of each call of a part of the body."""
    seen: list[int] = []
    forward = Linear.forward

    def counted(self: Linear, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        seen.append(len(state[self.keys[0]]))
        return forward(self, state)

    monkeypatch.setattr(Linear, "forward", counted)
    return seen


def run(base: Path, out: str, sets: Mapping[str, str], options: TrainOptions = EACH, **more: Any) -> Path:
    train(toy_spec(base, text=CLEAN, sets=sets), REGISTRY, base / out, options=options, **more)
    return base / out


def make(
    tmp_path: Path, *, chunk: int, max_bytes: int, notes: list[Problem]
) -> tuple[FrozenCache, Loader, Any]:
    graph = compile_graph(toy_spec(tmp_path, text=CLEAN), REGISTRY, "train.fit")
    models = build_models(graph.models, REGISTRY, base=tmp_path)
    loader = Loader(Line(LineConfig()), {name: column.type for name, column in graph.inputs.items()}, seed=3)
    engine = Engine(REGISTRY, models, cache_bytes=0)
    tools = CacheTools(engine, loader, "f32", notes.append, max_bytes, chunk=chunk)
    stores = {ref: MemoryStore() for ref in frozen_values(graph, REGISTRY, ["head"])}
    return FrozenCache(graph, stores, tools), loader, models["body"].object


def test_values_of_columns_that_some_samples_lack(tmp_path: Path, calls: list[int]) -> None:
    graph = compile_graph(toy_spec(tmp_path, text=CLEAN), REGISTRY, "train.fit")
    own = Input(replace(graph.inputs["x"].type, optional=True))
    graph = replace(graph, inputs={**graph.inputs, "x": own, "x.rows": Input(parse_port("Ids[b]?"))})
    models = build_models(graph.models, REGISTRY, base=tmp_path)
    loader = Loader(Line(LineConfig()), {name: column.type for name, column in graph.inputs.items()}, seed=3)
    tools = CacheTools(Engine(REGISTRY, models, cache_bytes=0), loader, "f32", print, 1000, whole=False)
    (value,) = frozen_values(graph, REGISTRY, ["head"])
    cache, x = FrozenCache(graph, {value: MemoryStore()}, tools), torch.randn(2, 3)

    def batch(rows: list[int], x: Tensor, indices: tuple[int, ...]) -> Batch:
        y, names = torch.zeros(len(indices), 1), [str(i) for i in indices]
        has = {"x": x, "x.rows": torch.tensor(rows)} if rows else {"x": None, "x.rows": None}
        return Batch({**has, "y": y, "name": names}, indices)

    assert cache.supply(batch([], x, (1, 2))) == {} and calls == []
    both = cache.supply(batch([0, 2], x, (4, 5, 6)))[str(value)]
    assert len(both) == 2 and set(calls) == {2}
    calls.clear()
    one = cache.supply(batch([1], x[1:], (3, 6)))[str(value)]
    assert torch.equal(one, both[1:]) and calls == []


@pytest.mark.parametrize("max_bytes", [1000, 32 * 5], ids=["all", "five"])
def test_rows_are_those_of_the_samples_in_any_order(tmp_path: Path, max_bytes: int) -> None:
    """A row has 32 bytes: with room for five of ten samples the others are computed each time, and it is said."""
    notes: list[Problem] = []
    cache, loader, body = make(tmp_path, chunk=3, max_bytes=max_bytes, notes=notes)
    for start in (0, 4, 8, 2):
        batch = loader.at(start, 4)
        state = {"x": batch.values["x"]}
        for part in body.parts.values():
            state |= part(state)
        torch.testing.assert_close(cache.supply(batch)["f.features"], state["features"].detach())
    assert [n.code for n in notes] == ([] if max_bytes == 1000 else ["W842"])
    assert all("room for 5 of 10 samples (32 bytes each" in n.message for n in notes)


def test_a_later_run_and_another_stage_read_what_the_first_one_wrote(
    tmp_path: Path, calls: list[int]
) -> None:
    first = run(tmp_path, "first", DISK)
    assert calls == [10] * 4  # one chunk, four parts
    assert len(list((first / "cache").rglob("*.safetensors"))) == 1
    shared = TrainOptions(log_every=1, cache_dir=first / "cache")
    head, _, tail = CLEAN.partition("train:\n")
    tail = tail.replace("    fit:\n", "    other:\n").replace("f:    {call", "enc:  {call")
    renamed = head + "train:\n" + tail.replace("{features: f}", "{features: enc}")
    other = {key.replace(".fit.", ".other."): value for key, value in DISK.items()}
    train(toy_spec(tmp_path, text=renamed, sets=other), REGISTRY, tmp_path / "other", options=shared)
    second = run(tmp_path, "second", DISK, shared)
    assert len(calls) == 4
    assert losses(second) == losses(first)
    assert_same(weights(first), weights(second))
    run(tmp_path, "seeded", DISK, TrainOptions(seed=1, cache_dir=first / "cache"))
    assert len(calls) == 8  # a frozen model with other weights makes other values


def test_the_cache_changes_nothing_and_resuming_is_exact(tmp_path: Path) -> None:
    """Chunks are computed in the dataset's order, whoever asks; so an empty cache gives the same bits later."""
    sets = {**PROBE, "train.stages.fit.cache": "memory"}
    plain, whole = run(tmp_path, "plain", PROBE), run(tmp_path, "whole", sets)
    for a, b in zip(losses(plain), losses(whole), strict=True):
        assert float(a["loss"]) == pytest.approx(float(b["loss"]), rel=1e-5)
    asked = iter(range(100))
    with pytest.raises(Exception, match="E851"):
        run(tmp_path, "stopped", sets, cancel=lambda: next(asked) >= 3)
    assert_same(
        weights(whole), weights(run(tmp_path, "stopped", sets, TrainOptions(log_every=1, resume=True)))
    )


def test_what_comes_up_once_is_computed_in_its_batch(tmp_path: Path, calls: list[int]) -> None:
    run(tmp_path, "short", {**DISK, "train.stages.fit.steps": "2"})
    assert calls == [4] * 8
    calls.clear()
    run(
        tmp_path,
        "again",
        {**DISK, "train.stages.fit.steps": "2"},
        TrainOptions(cache_dir=tmp_path / "short/cache"),
    )
    assert calls == []


def test_a_full_disk_is_an_error_that_leaves_the_files_as_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run(tmp_path, "first", DISK)
    before = {p: p.read_bytes() for p in first.rglob("*") if p.is_file()}
    shared = TrainOptions(cache_dir=first / "cache", seed=1)
    monkeypatch.setattr(cache_store, "save_tensors", no_space(cache_store.save_tensors))
    with pytest.raises(RunError, match=r"E857.*cannot be written to.*No space left(.|\n)*--cache-dir"):
        run(tmp_path, "second", DISK, shared)
    assert {p: p.read_bytes() for p in first.rglob("*") if p.is_file()} == before


def no_space(save: Callable[..., None]) -> Callable[..., None]:
    """Writes half of the file, then fails as a full disk does."""

    def full(tensors: Mapping[str, Tensor], path: Path, **more: Any) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    return full
