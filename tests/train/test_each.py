"""A graph that runs for every sample."""

from __future__ import annotations

from pathlib import Path

import torch

from mmm_graph.train.data import Source, Sources
from mmm_graph.train.stage import make_stage
from tests.train.streams import REGISTRY, stream_spec


def source(data: str) -> Source:
    spec = stream_spec(Path(), data)
    return make_stage(spec, REGISTRY, "fit", Sources(spec, REGISTRY)).source


def test_outputs_replace_columns_and_samples_without_one_stay_without() -> None:
    plain = source("{op: data.rows}").stream(1).at(0, 6)
    bright = source("{op: data.rows, each: bright}").stream(1).at(0, 6)
    assert torch.equal(bright.values["image"], plain.values["image"] + 0.5)
    assert torch.equal(bright.values["image.rows"], plain.values["image.rows"])
    assert torch.equal(bright.values["ids"], plain.values["ids"])


def test_noise_is_keyed_by_seed_epoch_and_sample() -> None:
    data = source("{op: data.rows, config: {count: 6}, each: shake}")

    def drawn(seed: int, start: int, count: int, workers: int = 0) -> dict[int, torch.Tensor]:
        loader = data.stream(seed, workers=workers)
        batch = loader.at(start, count).values
        loader.close()
        return {int(n): x - float(n) for n, x in zip(batch["number"], batch["x"], strict=True)}

    first, again, second, other = drawn(1, 0, 6), drawn(1, 3, 3, workers=1), drawn(1, 6, 6), drawn(2, 0, 6)
    assert all(torch.equal(first[n], x) for n, x in again.items())
    assert not any(torch.equal(first[n], second[n]) or torch.equal(first[n], other[n]) for n in first)
    assert len({float(x[0]) for x in first.values()}) == 6
    assert data.stream(1).varies
    assert not source("{op: data.rows, each: bright}").stream(1).varies


def test_a_sample_on_which_the_graph_fails_is_a_bad_sample() -> None:
    loader = source("{op: data.rows, config: {bad: [3]}, each: bright}").stream(1, bad_limit=1)
    found = loader.at(0, 24)
    assert list(loader.bad.found) == ["3"]
    assert 3 not in found.values["number"].tolist()
