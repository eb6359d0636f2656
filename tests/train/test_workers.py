"""Processes that read ahead."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from mmm_graph.errors import RunError
from mmm_graph.spec.ports import parse_port
from mmm_graph.train.loader import Loader
from tests.train.streams import Plain, RowsConfig, plain_columns

COLUMNS = {name: parse_port(text) for name, text in plain_columns(RowsConfig()).items()}


@pytest.fixture
def loader(request: pytest.FixtureRequest) -> Iterator[Loader]:
    found = make(workers=2, **getattr(request, "param", {}))
    yield found
    found.close()


def make(workers: int = 0, bad_limit: float = 0.0, **config: Any) -> Loader:
    return Loader(Plain(RowsConfig(**config)), COLUMNS, seed=3, workers=workers, bad_limit=bad_limit)


def numbers(loader: Loader, places: list[tuple[int, int]]) -> list[list[int]]:
    return [loader.at(*place).values["number"].tolist() for place in places]


def pids_of(loader: Loader) -> list[int]:
    assert loader._workers is not None
    pids = [int(loader._workers._where[2 * i]) for i in range(2)]
    assert all(pid > 1 and pid != os.getpid() for pid in pids)
    return pids


def test_batches_are_the_same_in_any_order_of_requests(loader: Loader) -> None:
    places = [(p, 4) for p in range(0, 40, 4)]  # over the ends of epochs
    shares = [(2 + p, 2) for p in range(0, 24, 4)]  # of the second of two ranks
    jumps = [(30, 4), (0, 4), (4, 4)]
    for wanted in (places, shares, jumps):
        assert numbers(loader, wanted) == numbers(make(), wanted)


def test_nothing_is_drawn_from_the_generator_of_the_layers(loader: Loader) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    loader.at(0, 4)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("loader", [{"deadly": 7, "count": 12}], indirect=True)
def test_a_worker_that_dies_names_its_sample(loader: Loader) -> None:
    with pytest.raises(RunError, match=r"E828\] a worker died at sample 7"):
        numbers(loader, [(p, 4) for p in range(0, 16, 4)])


@pytest.mark.parametrize("loader", [{"bad": (5,)}], indirect=True)
def test_an_error_in_a_worker_is_the_error(loader: Loader) -> None:
    with pytest.raises(RunError, match=r"E821\] the dataset failed at sample 5: OSError: row 5 is torn"):
        numbers(loader, [(p, 4) for p in range(0, 12, 4)])


def test_ctrl_c_leaves_the_workers_alone(loader: Loader) -> None:
    places = [(p, 4) for p in range(0, 32, 4)]
    first = numbers(loader, places[:2])  # one from each
    for pid in pids_of(loader):
        os.kill(pid, signal.SIGINT)
    assert first + numbers(loader, places[2:]) == numbers(make(), places)


def test_closing_ends_the_processes(loader: Loader) -> None:
    numbers(loader, [(0, 4), (4, 4)])
    pids = pids_of(loader)
    loader.close()
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
