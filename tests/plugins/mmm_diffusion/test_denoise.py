from __future__ import annotations

import pytest

from mmm_diffusion import config as c
from mmm_diffusion.denoise import expand
from mmm_graph.config import Empty
from mmm_graph.errors import InputError
from mmm_graph.graph.compile import compile_graph
from mmm_graph.registry import Used, load_registry
from mmm_graph.spec import load_spec

ALL = frozenset({"x", "times", "cond", "uncond"})


def uses(guidance=None, sampler=None):
    return {
        "denoiser": Used("unet", "denoiser.any", Empty()),
        "sampler": Used("rule", "sampler.any", sampler or c.DDIMConfig()),
        "guidance": Used("guide", "guidance.any", guidance or c.CFGConfig(scale=4)),
    }


def test_expansion_of_the_design():
    graph = expand(c.DenoiseConfig(preview=5), uses(), ALL)
    loop = graph["nodes"]["steps"]["loop"]
    assert graph["out"] == {"latents": "steps.latents"}
    assert loop["each"] == {"i": "start.evaluations"}
    assert loop["carry"] == {"state": "start.state", "x": "start.x", "t": "start.t"}
    assert loop["next"] == {"state": "step.state", "x": "step.x", "t": "step.t"}
    assert loop["preview"] == {"from": "step.x0", "every": 5}
    body = loop["nodes"]
    assert list(body) == ["predict_cond", "predict_uncond", "pred", "step"]
    assert body["predict_uncond"] == {
        "call": "unet.predict",
        "in": {"x": "$carry.x", "t": "$carry.t", "cond": "$in.uncond"},
    }
    assert body["pred"]["in"] == {"branches": ["predict_cond", "predict_uncond"], "i": "$each.i"}
    assert "config" not in body["step"] and body["step"]["use"] == {"sampler": "rule"}


def test_no_guidance_no_condition_no_preview():
    graph = expand(c.DenoiseConfig(), uses(c.NoGuidanceConfig()), frozenset({"x", "times"}))
    loop = graph["nodes"]["steps"]["loop"]
    assert "preview" not in loop
    assert loop["nodes"]["predict_cond"]["in"] == {"x": "$carry.x", "t": "$carry.t"}
    assert "predict_uncond" not in loop["nodes"]
    plain = expand(c.DenoiseConfig(), uses(c.CFGConfig(scale=1)), ALL)
    assert "predict_uncond" not in plain["nodes"]["steps"]["loop"]["nodes"]


def test_a_branch_without_input_is_refused():
    with pytest.raises(ValueError, match=r"guide \(guidance.any\) compares with 'uncond'"):
        expand(c.DenoiseConfig(), uses(), frozenset({"x", "times", "cond"}))


def test_a_learned_variance_is_handed_on():
    learned = c.DDPMConfig(variance="learned_range")
    body = expand(c.DenoiseConfig(), uses(sampler=learned), ALL)["nodes"]["steps"]["loop"]["nodes"]
    assert body["step"]["in"]["variance"] == "predict_cond.variance"
    assert (
        "variance"
        not in expand(c.DenoiseConfig(), uses(), ALL)["nodes"]["steps"]["loop"]["nodes"]["step"]["in"]
    )


def test_more_channels_are_shown_to_every_branch():
    loop = expand(c.DenoiseConfig(), uses(), ALL | {"beside"})["nodes"]["steps"]["loop"]
    body = loop["nodes"]
    links = {"x": "$carry.x", "beside": "$in.beside"}
    assert body["asked"] == {"op": "latents.concat", "in": links, "config": {"channels": None}}
    assert [body[f"predict_{b}"]["in"]["x"] for b in ("cond", "uncond")] == ["asked", "asked"]
    assert loop["next"]["x"] == "step.x"


def test_what_is_not_painted_is_put_back_after_the_step():
    loop = expand(c.DenoiseConfig(), uses(), ALL | {"mask", "original", "noise"})["nodes"]["steps"]["loop"]
    assert list(loop["nodes"])[-2:] == ["step", "keep"]
    assert loop["nodes"]["keep"]["use"] == {"sampler": "rule"}
    assert loop["next"] == {"state": "keep.state", "x": "keep.x", "t": "step.t"}
    assert loop["out"] == {"latents": "keep.latents"}
    with pytest.raises(ValueError, match="mask, original, noise; 'original' is not linked"):
        expand(c.DenoiseConfig(), uses(), ALL | {"mask", "noise"})


FILE = """
mmm: 1
name: denoise
inputs: {{like: "Text[b]"}}
models:
  pixels: {{kind: vae.pixels, config: {{channels: 1}}}}
  unet:
    kind: denoiser.unet
    init: default
    config: {{in_channels: 1, out_channels: 1, sample_size: 8, channels: [8], layers_per_block: 1, attention: [none],
              mid_attention: none, num_heads: 2, groups: 4, prediction: {predicts}}}
  scheduler: {{kind: scheduler.{law}}}
  rule:  {{kind: sampler.{rule}}}
  guide: {{kind: guidance.none}}
nodes:
  times: {{call: scheduler.times, config: {{{times}}}}}
  noise: {{call: pixels.noise, in: {{like: $in.like}}, config: {{height: 8, width: 8}}}}
  clean:
    op: diffusion.denoise
    use: {{denoiser: unet, sampler: rule, guidance: guide}}
    in: {{x: noise, times: times}}
outputs: {{latents: clean}}
"""


@pytest.fixture(scope="module")
def registry():
    return load_registry()


def compiled(registry, predicts="epsilon", law="linear", rule="heun", times="steps: 4"):
    return compile_graph(load_spec(FILE.format(predicts=predicts, law=law, rule=rule, times=times)), registry)


def test_the_loop_knows_its_turns(registry):
    assert compiled(registry).node("clean/steps").count == 7
    assert compiled(registry, rule="ddim").node("clean/steps").count == 4
    assert compiled(registry, rule="ddim", times="steps: 10, strength: 0.5").node("clean/steps").count == 5


@pytest.mark.parametrize(
    ("words", "wrong"),
    [
        ("the denoiser predicts flow, the scheduler's times are for epsilon", {"predicts": "flow"}),
        ("the denoiser predicts epsilon, the scheduler's times are for flow", {"law": "flow"}),
        ("1001 steps do not fit into 1000", {"times": "steps: 1001"}),
        ("strength 0.1 of 4 steps leaves none", {"times": "steps: 4, strength: 0.1"}),
        ("found steps and timesteps", {"times": "steps: 4, timesteps: [3, 1]"}),
    ],
)
def test_what_makes_no_sense_is_refused_when_compiled(registry, words, wrong):
    with pytest.raises(InputError, match=words):
        compiled(registry, **wrong)
