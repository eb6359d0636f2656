"""`mmm run --stats`: models that were loaded, and those that nobody needed."""

from __future__ import annotations

from pathlib import Path

from mmm_graph.cli.stats import lines
from tests.cli.conftest import Mmm


def test_what_was_loaded_and_what_was_not(mmm: Mmm, tiny: Path) -> None:
    first, second, third = mmm("run", tiny, "--stats", "--set", "steps=1").out.splitlines()
    assert first.startswith("loaded ") and first.endswith(" of weights: dit 24.5 KiB"), first
    assert second.startswith("peak of memory: ") and second.endswith("iB")
    assert third.startswith("image: out/")
    first, _, third, _ = mmm("run", tiny, "--stats", "--outputs", "cond").out.splitlines()
    assert (first, third) == ("loaded 0 B of weights: none", "not loaded: dit")


def test_the_event_comes_before_the_result(mmm: Mmm, tiny: Path) -> None:
    *_, told, done = mmm("run", tiny, "--stats", "--json", "--set", "steps=1").events
    assert (told["event"], told["not_loaded"], done["event"]) == ("stats", [], "done")
    [rank] = told["ranks"]
    assert rank["weights"].keys() == {"dit"} and rank["peak"] > sum(rank["weights"].values())


def test_several_processes_tell_what_each_holds() -> None:
    ranks = [{"weights": {"llm": 2048}, "peak": 3 << 20}, {"weights": {}, "peak": None}]
    assert list(lines(ranks, ["unet"])) == [
        "rank 0: loaded 2.0 KiB of weights: llm 2.0 KiB",
        "rank 0: peak of memory: 3.0 MiB",
        "rank 1: loaded 0 B of weights: none",
        "not loaded: unet",
    ]
