"""Events: nodes, turns, previews, memory, outputs."""

from __future__ import annotations

from mmm_graph.runtime.engine import Event, Request
from tests.runtime.toys import toy_engine, toy_graph


def events_of(steps: int) -> list[Event]:
    graph = toy_graph(steps=steps)
    found: list[Event] = []
    toy_engine(graph, cache_bytes=0).run(graph, [Request("a", {"prompt": ["hi"]})], on_event=found.append)
    return found


def test_turns_and_previews() -> None:
    events = events_of(5)
    assert [(e.node, e.step, e.total) for e in events if e.kind == "loop_step"] == [
        ("denoise", i, 5) for i in range(1, 6)
    ]
    previews = [e for e in events if e.kind == "preview"]
    assert [e.step for e in previews] == [2, 4] and all(e.data.shape == (1, 5, 3) for e in previews)


def test_nodes_start_and_end_in_pairs() -> None:
    events = [e for e in events_of(2) if e.kind in ("node_start", "node_end")]
    assert [e.kind for e in events] == ["node_start", "node_end"] * (len(events) // 2)
    assert {"cond", "denoise/pc", "denoise/step", "image"} <= {e.node for e in events}
    assert all(e.time_s >= 0 for e in events)


def test_memory_does_not_grow_with_turns() -> None:
    def peak(steps: int) -> int:
        return max(e.data["peak"] for e in events_of(steps) if e.kind == "memory")

    assert peak(3) == peak(30)


def test_at_the_end_only_the_last_node_and_what_it_read_are_alive() -> None:
    latents, image = 5 * 3 * 4, 5 * 2 * 4
    assert [e for e in events_of(3) if e.kind == "memory"][-1].data["bytes"] == latents + image


def test_outputs_are_events() -> None:
    assert [e.node for e in events_of(1) if e.kind == "output"] == ["image"]


def test_nobody_watching_means_no_previews_are_made() -> None:
    graph = toy_graph(steps=2)
    engine = toy_engine(graph, cache_bytes=0)
    assert set(engine.run(graph, [Request("a", {"prompt": ["hi"]})])["a"].values) == {"image"}
