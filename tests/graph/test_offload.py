"""Which models can be offloaded how: told of a model when a file is compiled, of a plan when it is arranged."""

from __future__ import annotations

import pytest

from mmm_graph.errors import InputError
from mmm_graph.graph.compile import compile_graph
from mmm_graph.graph.sections import compile_all
from mmm_graph.plan.arrange import check_plans
from mmm_graph.spec import load_spec
from tests.runtime.toys import DIFFUSION, toy_registry

REGISTRY = toy_registry()
CASES = [
    ("rule", "true", "rule (sampler.toy) has no weights to offload", "leave it out"),
    ("text", "block", "text (encoder.toy) is not made of parts", "by: model"),
]


@pytest.mark.parametrize(("model", "written", "why", "hint"), CASES)
def test_a_model(model, written, why, hint):
    with pytest.raises(InputError) as caught:
        compile_graph(load_spec(DIFFUSION, sets={f"models.{model}.offload": written}), REGISTRY)
    assert "E525" in str(caught.value) and why in str(caught.value) and hint in str(caught.value)


@pytest.mark.parametrize(("model", "written", "why", "hint"), CASES)
def test_a_plan(model, written, why, hint):
    plans = f"parallel:\n  plans:\n    small: {{ranks: 1, offload: {{{model}: {written}}}}}\n"
    spec = load_spec(DIFFUSION + plans)
    with pytest.raises(InputError) as caught:
        check_plans(spec, compile_all(spec, REGISTRY)["main"], REGISTRY)
    where = DIFFUSION.count("\n") + 3
    assert f":{where}:5 error[E525] plan small: {why}" in str(caught.value) and hint in str(caught.value)


def test_what_a_model_says_is_in_the_graph():
    graph = compile_graph(load_spec(DIFFUSION, sets={"models.unet.offload": "block"}), REGISTRY)
    assert graph.models["unet"].offload is not None and graph.models["unet"].offload.by == "block"
    assert graph.models["vae"].offload is None
