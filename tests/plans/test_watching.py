"""Whoever looks on sees under several ranks what there is to see on one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import mmm_graph as mmm
from mmm_graph.runtime.events import Event
from tests.plans.graphs import graph, load, pipe, shared

pytestmark = pytest.mark.dist
PLANS = {
    "patch2": shared({"patch": 2}),
    "pipe2": pipe(2),
    "patches": pipe(2, patches=2, warmup="all"),
    "data2": shared({"data": 2}),
}


@pytest.mark.parametrize("name", PLANS)
def test_turns_and_previews(name: str, weights: dict[str, Path]) -> None:
    def seen(plan: dict[str, Any] | None) -> dict[tuple[Any, ...], Any]:
        spec = graph("dit", {"p": plan} if plan else None)
        spec["nodes"]["denoise"]["config"] = {"preview": 2}
        session = mmm.load(spec, weights=weights["dit"], plan="p" if plan else None)
        found: dict[tuple[Any, ...], Any] = {}

        def look(event: Event) -> None:
            if event.kind in ("loop_step", "preview", "output"):
                assert (event.kind, event.node, event.step) not in found
                found[event.kind, event.node, event.step] = event.data

        session.run(seed=1, on_event=look)
        return found

    whole, found = seen(None), seen(PLANS[name])
    assert found.keys() == whole.keys()
    for key, value in whole.items():
        assert value is None or (found[key] - value).abs().max() < 1e-10


def test_an_observer_may_run_the_graph_within_a_run(weights: dict[str, Path]) -> None:
    session = load("dit", weights["dit"], shared({"patch": 2}))
    inner: list[torch.Tensor] = []

    def look(event: Event) -> None:
        if event.kind == "loop_step" and event.step == 2:
            inner.append(session.run(seed=1)["latents"])

    outer = session.run(seed=1, on_event=look)["latents"]
    assert len(inner) == 1 and torch.equal(inner[0], outer)
