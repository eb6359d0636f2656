"""Plans: defaults, explicit slices, where ops go, what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mmm_graph.errors import InputError
from mmm_graph.plan.axes import Axes, alone
from mmm_graph.plan.place import make_plan
from tests.plan.helpers import REGISTRY
from tests.runtime.toys import toy_graph


def test_everything_on_one_rank() -> None:
    plan = make_plan(toy_graph(), REGISTRY)
    assert plan.ranks == 1 and set(plan.nodes.values()) == {alone(0)}
    assert [(s.ranks, s.a, s.b) for s in plan.models["unet"]] == [((0,), 0, 6)]
    assert "rule" not in plan.models  # without weights: it is wherever it is used
    assert json.loads(json.dumps(plan.dump()))["models"]["vae"] == [{"ranks": [0], "a": 0, "b": 1}]


def test_sampler_ops_sit_with_the_last_part_and_so_does_their_state() -> None:
    placement = {"unet": [([0], 0, 3), ([2], 3, 6)], "text": [([1], 0, 1)], "vae": [([1], 0, 1)]}
    plan = make_plan(toy_graph(), REGISTRY, placement)
    assert plan.ranks == 3
    assert {plan.nodes[p] for p in ("denoise/step", "denoise/pred", "start")} == {alone(2)}


@pytest.mark.parametrize(
    ("slices", "code"),
    [
        ([([0], 0, 3)], "E511"),
        ([([0], 0, 3), ([1], 4, 6)], "E511"),
        ([([0], 0, 3), ([1], 3, 9)], "E511"),
        ([([0, 1], 0, 3), ([2], 3, 6)], "E512"),
    ],
)
def test_slices_that_are_refused(slices: Any, code: str) -> None:
    with pytest.raises(InputError) as caught:
        make_plan(toy_graph(), REGISTRY, {"unet": slices})
    assert caught.value.problems[0].code == code


def test_axes_of_a_model_that_no_stage_places_are_refused() -> None:
    for model in ("unet", "guide"):
        with pytest.raises(
            InputError, match=rf"E512.*{model}\[0:.\] is on 1 ranks, its axes \(data 2\) have 2"
        ):
            make_plan(toy_graph(), REGISTRY, {"text": [([1], 0, 1)]}, axes={model: Axes((("data", 2),))})


def test_a_state_does_not_travel() -> None:
    with pytest.raises(InputError, match=r"E513.*start, denoise/step share a state"):
        make_plan(toy_graph(), REGISTRY, nodes={"start": 0, "denoise/step": 1})
