"""Which models can be quantized, told when a file is compiled or a plan is made."""

from __future__ import annotations

import pytest

from mmm_graph.errors import InputError
from mmm_graph.graph.compile import compile_graph
from mmm_graph.graph.sections import compile_all
from mmm_graph.plan.arrange import check_plans
from mmm_graph.spec import load_spec
from tests.runtime.toys import DIFFUSION, toy_registry

REGISTRY = toy_registry()


@pytest.mark.parametrize("how", ["int8", "int4"])
def test_it_is_in_the_graph(how):
    graph = compile_graph(load_spec(DIFFUSION, sets={"models.unet.quantize": how}), REGISTRY)
    assert graph.models["unet"].quantize == how and graph.models["vae"].quantize is None


@pytest.mark.parametrize(
    ("sets", "code", "why"),
    [
        ({"models.unet.quantize": "int2"}, "E112", "expects int8 or int4"),
        ({"models.rule.quantize": "int8"}, "E634", "rule (sampler.toy) has no weights to quantize"),
        (
            {
                "models.unet.quantize": "int8",
                "models.unet.attach": "[{lora: file:x.safetensors, merge: true}]",
            },
            "E634",
            "unet has a LoRA with `merge: true`",
        ),
        (
            {"models.unet.quantize": "int8", "models.unet.offload": "{from: disk}"},
            "E525",
            "unet is quantized when it is read",
        ),
    ],
)
def test_what_is_refused(sets, code, why):
    with pytest.raises(InputError) as caught:
        compile_graph(load_spec(DIFFUSION, sets=sets), REGISTRY)
    assert code in str(caught.value) and why in str(caught.value)


def test_a_param_may_say_it():
    text = DIFFUSION.replace("params: {", "params: {kept: {type: str, default: int4}, ", 1)
    graph = compile_graph(load_spec(text, sets={"models.unet.quantize": "$params.kept"}), REGISTRY)
    assert graph.models["unet"].quantize == "int4"
    spec = load_spec(text, sets={"models.unet.quantize": "$params.kept", "kept": "half"})
    with pytest.raises(InputError, match=r"E634.*expects int8 or int4, got 'half'"):
        compile_graph(spec, REGISTRY)


@pytest.mark.parametrize(
    ("plan", "text"),
    [("axes: {unet: {tensor: 2}}, ranks: 2", "E634"), ("offload: {unet: {from: disk}}, ranks: 1", "E525")],
)
def test_plans_that_cannot_be(plan, text):
    spec = load_spec(
        DIFFUSION + f"parallel:\n  plans:\n    p: {{{plan}}}\n", sets={"models.unet.quantize": "int8"}
    )
    with pytest.raises(InputError, match=rf"{text}.*quantized"):
        check_plans(spec, compile_all(spec, REGISTRY)["main"], REGISTRY)
