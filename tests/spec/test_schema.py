"""The JSON Schema of a graph accepts the graph and refuses wrong keys, for the kinds that it uses."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from pydantic import Field

from mmm_graph.config import Config, Empty
from mmm_graph.registry.node_type import composite_type, data_type, method, model_type, op_type, optim_type
from mmm_graph.spec import load_spec, load_tree
from mmm_graph.spec.files import parse_text
from mmm_graph.spec.schema import graph_schema

jsonschema = pytest.importorskip("jsonschema")
GRAPHS = Path(__file__).parent / "graphs"
EMPTY = SimpleNamespace(models={}, ops={}, composites={}, data={}, optims={})


class UnetConfig(Config):
    channels: list[int] = Field(description="width of each level")
    dropout: float = Field(0.0, ge=0)


class TimesConfig(Config):
    steps: int = Field(ge=1)


class BatchConfig(Config):
    batch: int = 1


class AdamConfig(Config):
    lr: float
    betas: tuple[float, float] = (0.9, 0.999)


TYPES = {
    "models": [
        model_type("denoiser.toy", UnetConfig, "x:Y", methods={
            "predict": method(x="Latents[b,c,h,w]", t="Scalar[b]", cond="Cond?", returns={"pred": "Latents[b,c,h,w]"}),
        }),
        model_type("scheduler.toy", Empty, "x:Y", methods={
            "times": method(returns={"times": "Times"}, config=TimesConfig),
            "add_noise": method(x="Latents[b,c,h,w]", returns={"x": "Latents[b,c,h,w]", "t": "Scalar[b]"}),
        }, weights=False),
        model_type("scheduler.other", UnetConfig, "x:Y", methods={}, weights=False),
    ],
    "ops": [
        op_type("toy.noise", "x:y", returns={"x": "Latents[b,c,h,w]"}, config=BatchConfig, like="Any"),
        op_type("loss.toy", "x:y", returns={"loss": "Scalar[]"}, pred="Latents[b,c,h,w]", target="Latents[b,c,h,w]"),
        op_type("never.used", "x:y", returns={"x": "Any"}, config=UnetConfig),
    ],
    "composites": [
        composite_type("diffusion.toy", lambda *a: {}, x="Latents[b,c,h,w]", uses={"denoiser": "denoiser"}),
    ],
    "data": [data_type("data.toy", BatchConfig, "x:Y", columns=lambda config: {"image": "Image[b,1,h,w]"})],
    "optims": [optim_type("optim.toy", AdamConfig, "x:Y")],
}  # fmt: skip
REGISTRY = SimpleNamespace(**{group: {item.kind: item for item in items} for group, items in TYPES.items()})

TEXT = """\
mmm: 1
name: toy
params: {steps: {type: int, default: 3}, kind: {type: kind, default: denoiser.toy}}
inputs: {prompt: "Text[b]"}
models:
  unet: {kind: $params.kind, config: {channels: [1, $params.steps]}}
  sched: {kind: scheduler.toy}
graphs:
  sub: {in: {x: "Any"}, models: [tok], nodes: {n: {call: tok.anything, in: {text: $in.x}}}, out: {y: n}}
nodes:
  z:     {op: toy.noise, in: {like: $in.prompt}, config: {batch: 2}}
  times: {call: sched.times, config: {steps: $params.steps}}
  p:     {call: unet, in: {x: z, t: times, cond: {embeds: z}}}
  d:     {op: diffusion.toy, use: {denoiser: unet}, in: {x: z}}
  g:     {graph: sub, use: {tok: unet}, in: {x: z}}
  l:
    when: z.flag
    loop: {max: 3, carry: {x: z}, nodes: {q: {call: unet.predict, in: {x: $carry.x}}}, next: {x: q}}
outputs: {o: p, d: {from: d, type: Any}}
eval: {e: {data: {op: data.toy, config: {batch: 3}}, nodes: {}, metrics: {}}}
train:
  stages:
    s:
      data: {op: data.toy}
      nodes: {l: {op: loss.toy, in: {pred: $data.image, target: $data.image}}}
      loss: {l: l}
      train: {unet: full}
      optim: {op: optim.toy, config: {lr: 0.1, betas: [0.9, $params.steps]}, schedule: cosine}
      ema: 0.9
"""


@pytest.fixture(scope="module")
def schema():
    return graph_schema(load_spec(TEXT), REGISTRY)


def errors(schema, value):
    return [error.message for error in jsonschema.Draft202012Validator(schema).iter_errors(value)]


def test_the_graph_itself_is_valid(schema):
    jsonschema.Draft202012Validator.check_schema(schema)
    assert errors(schema, parse_text(TEXT).value) == []
    assert schema["$schema"].endswith("2020-12/schema")
    json.dumps(schema)


CHANGES = [
    (("nodes", "z", "config", "btch"), 3), (("nodes", "z", "config", "batch"), "many"),
    (("nodes", "z", "in", "lik"), "z"),
    (("nodes", "times", "config", "step"), 3), (("nodes", "times", "config", "steps"), "$params.none"),
    (("nodes", "times", "call"), "sched.tims"), (("nodes", "times", "call"), "none.times"),
    (("nodes", "z", "op"), "toy.nois"),
    (("nodes", "z", "call"), "unet"), (("nodes", "p", "in", "y"), "z"), (("nodes", "d", "use", "sampler"), "unet"),
    (("nodes", "d", "use", "denoiser"), "nothing"), (("nodes", "g", "graph"), "subb"),
    (("nodes", "Z"), {"op": "toy.noise"}),
    (("nodes", "l", "loop", "nodes", "q", "in", "yy"), "z"), (("nodes", "z", "when"), "a b"), (("nodes", "z"), {}),
    (("models", "unet", "config", "chanels"), [1]), (("models", "unet", "config", "channels"), ["x"]),
    (("models", "unet", "kind"), "denoiser.none"), (("models", "unet", "wieghts"), "x"),
    (("models", "sched", "config"), {"x": 1}),
    (("train", "stages", "s", "optim", "op"), "optim.none"), (("train", "stages", "s", "optim", "config", "lrr"), 1),
    (("train", "stages", "s", "data", "config"), {"bach": 1}), (("train", "stages", "s", "steps"), 0),
    (("train", "stages", "s", "train", "unet"), "half"), (("train", "stages", "s", "nodes", "l", "in", "prd"), "x"),
    (("eval", "e", "data", "op"), "data.none"), (("outputs", "d", "tipe"), "x"),
    (("params", "steps", "type"), "integer"),
    (("mmm",), 2), (("nods",), {}),
]  # fmt: skip


@pytest.mark.parametrize(("path", "value"), CHANGES, ids=[".".join(path) for path, _ in CHANGES])
def test_wrong_values_are_refused(schema, path, value):
    tree = copy.deepcopy(parse_text(TEXT).value)
    owner = tree
    for step in path[:-1]:
        owner = owner[step]
    owner[path[-1]] = value
    assert errors(schema, tree)


def test_it_is_about_this_graph(schema):
    text = json.dumps(schema)
    assert "width of each level" in text
    assert schema["$defs"]["NodeSpec"]["properties"]["op"]["enum"] == [
        "diffusion.toy",
        "loss.toy",
        "never.used",
        "toy.noise",
    ]
    assert len([rule for rule in schema["$defs"]["NodeSpec"]["allOf"] if "if" in rule]) == 6
    assert text.count("never.used") == 1


def test_weights_and_links_may_leave_config_out(schema):
    tree = parse_text(TEXT).value
    tree["models"]["unet"]["config"] = {"dropout": 0.1}
    assert errors(schema, tree) == []


def test_attached_models_bring_inputs():
    text = TEXT.replace("{kind: $params.kind, ", "{kind: $params.kind, attach: [{model: sched}], ").replace(
        "t: times,", "t: times, media: z,"
    )
    assert errors(graph_schema(load_spec(text), REGISTRY), parse_text(text).value) == []
    assert errors(graph_schema(load_spec(TEXT), REGISTRY), parse_text(text).value)


@pytest.mark.parametrize("path", sorted(GRAPHS.glob("*.yaml")), ids=lambda p: p.stem)
def test_kinds_that_no_plugin_offers_are_the_only_objection(path):
    spec, tree = load_spec(path), load_tree(path).value
    schema = graph_schema(spec, EMPTY)
    jsonschema.Draft202012Validator.check_schema(schema)
    for name, definition in schema["$defs"].items():
        if name in ("ModelSpec", "NodeSpec", "DataSpec", "OptimSpec"):
            for key in {"kind", "op", "call"} & definition["properties"].keys():
                definition["properties"][key] = {"type": "string"}
    assert errors(schema, tree) == []
