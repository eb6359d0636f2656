"""Work of models, part by part. Width 8: the stem is 48 operations, a block or the last part 128."""

from __future__ import annotations

from pathlib import Path

from mmm_graph.graph.compile import compile_graph
from mmm_graph.train.backward import Walker, Work
from mmm_graph.train.frozen import frozen_values
from tests.train.test_frozen import CLEAN
from tests.train.toys import GRAPH, REGISTRY, toy_spec

FORWARD = 48 + 3 * 128


def work(path: Path, share: dict[tuple[str, str], float], text: str = GRAPH, *again: str) -> dict[str, Work]:
    graph = compile_graph(toy_spec(path, text=text), REGISTRY, "train.fit")
    cached = frozen_values(graph, REGISTRY, ["head"]) if text == CLEAN else ()
    return Walker(
        graph,
        REGISTRY,
        lambda model, part: share.get((model, part), 0.0),
        again=lambda model, part: part in again,
        cached=cached,
    ).found


def body(path: Path, share: dict[tuple[str, str], float], *again: str) -> tuple[float, float, int]:
    found = work(path, share, GRAPH, *again)["body"]
    return found.forward, found.backward, found.kept


def test_nothing_trained_at_or_before_costs_nothing(tmp_path: Path) -> None:
    assert body(tmp_path, {("head", ""): 1.0}) == (FORWARD, 0, 0)


def test_a_frozen_part_behind_a_trained_one_hands_gradients_on(tmp_path: Path) -> None:
    assert body(tmp_path, {("body", "block1"): 1.0}) == (FORWARD, 2 * 128 + 128, 2 * 16)
    assert body(tmp_path, {("body", "stem"): 1.0}) == (FORWARD, 2 * 48 + 3 * 128, 4 * 16)


def test_all_of_it(tmp_path: Path) -> None:
    whole = {("body", part): 1.0 for part in ("stem", "block0", "block1", "last")}
    assert body(tmp_path, whole) == (FORWARD, 2 * FORWARD, 4 * 16)


def test_factors_beside_frozen_weights_cost_little_more(tmp_path: Path) -> None:
    assert body(tmp_path, {("body", "block0"): 0.1}) == (FORWARD, 1.1 * 128 + 2 * 128, 3 * 16)


def test_what_is_computed_again_keeps_less(tmp_path: Path) -> None:
    assert body(tmp_path, {("body", "block1"): 1.0}, "last") == (FORWARD, 2 * 128 + 2 * 128, 16 + 8)


def test_what_the_cache_supplies_is_done_once_and_models_that_say_nothing_are_named(tmp_path: Path) -> None:
    found = work(tmp_path, {("head", ""): 1.0}, CLEAN)
    assert (found["body"].once, found["body"].calls) == (FORWARD, 1)
    assert found["head"].unknown == ["p"] and found["head"].once == 0
