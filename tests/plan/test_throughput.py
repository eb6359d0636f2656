"""Tokens and images a second, by hand; on one device and on the ranks of a plan."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mmm_graph.errors import InputError
from mmm_graph.graph.compile import compile_graph
from mmm_graph.plan.arrange import arrange
from mmm_graph.plan.devices import SHEETS, Device
from mmm_graph.plan.place import make_plan
from mmm_graph.plan.predict import Named
from mmm_graph.plan.throughput import Asked, predict_throughput
from mmm_graph.registry import Registry, load_registry
from mmm_graph.spec import load_spec
from mmm_graph.spec.plan_file import find_plan

H100 = Named("h100", SHEETS["h100"])
LLAMA = """
mmm: 1
inputs: {ids: "Ids[b,t]"}
models: {llm: {kind: llm.decoder, init: default, dtype: bf16}}
nodes: {say: {op: llm.generate, use: {llm: llm}, in: {ids: $in.ids}, config: {max_new_tokens: 100}}}
outputs: {ids: say.ids}
parallel: {plans: {stages2: {ranks: 2, pipe: {llm: 2}}, tensor2: {ranks: 2, axes: {llm: {tensor: 2}}}}}
"""
BLOCKS = 32 * (4 * 4096**2 + 3 * 4096 * 11008 + 2 * 4096) + 4096
HEAD = 4096 * 32000
KEYS = 32 * 2 * 4096
"""Weights of Llama-2-7B without its embedding, and what its cache keeps of a token."""


@pytest.fixture(scope="module")
def registry() -> Registry:
    return load_registry()


@pytest.fixture(scope="module")
def tiny_text(root: Path) -> str:
    return (root / "tests" / "graphs" / "tiny.yaml").read_text(encoding="utf-8")


def predicted(
    registry: Registry, text: str | Path, on: Named = H100, plan: str = "", sets: Any = None, **asked: Any
) -> dict[str, Any]:
    spec = load_spec(text, sets=sets)
    graph = compile_graph(spec, registry)
    made = make_plan(graph, registry)
    if plan:
        named = find_plan(spec, plan)
        made = arrange(graph, registry, named.spec, name=named.name, place=named.place)
    return predict_throughput(graph, registry, made, Asked([on], **asked))


def rate(found: dict[str, Any], what: str) -> float:
    return next(row["per_second"] for row in (*found["models"], *found["graph"]) if row["what"] == what)


def test_llama_on_an_h100(registry: Registry) -> None:
    """A token more reads 13.2 GB of weights and what the cache has of 512 tokens: 248 a second at 3.35 TB/s."""
    found = predicted(registry, LLAMA)
    assert (found["prompt_tokens"], found["answer_tokens"]) == (512, 100)
    decode = 3.35e12 / (2 * (BLOCKS + HEAD + KEYS * 512))
    assert rate(found, "decode tokens/s") == pytest.approx(decode, rel=1e-3) and 248 < decode < 249
    flops = 2 * 512 * BLOCKS + 32 * 4 * 4096 * 512**2
    prefill = (
        flops / 989.4e12 + 2 * HEAD / 3.35e12
    )  # logits of the last token only: their matrix is read for it
    assert rate(found, "prefill tokens/s") == pytest.approx(512 / prefill, rel=2e-3)
    rows = {row["method"]: row for row in found["models"]}
    assert {row["parameters"] for row in rows.values()} == {6_738_415_616}
    assert (rows["prefill"]["bound"], rows["step"]["bound"]) == ("compute", "memory")
    (whole,) = found["graph"]
    middle = 100 * 2 * (BLOCKS + HEAD + KEYS * (512 + 50)) / 3.35e12
    assert whole["seconds"] == pytest.approx(middle + prefill, rel=2e-3)
    assert whole["per_second"] == pytest.approx(100 / whole["seconds"])


def test_batches_and_longer_texts(registry: Registry) -> None:
    one, many = predicted(registry, LLAMA), predicted(registry, LLAMA, batch=16, prompt=4000)
    step = 2 * (BLOCKS + HEAD + 16 * KEYS * 4000) / 3.35e12
    assert rate(many, "decode tokens/s") == pytest.approx(16 / step, rel=2e-3)
    assert rate(many, "prefill tokens/s") < rate(one, "prefill tokens/s")
    with pytest.raises(InputError, match=r"E529.*llm reads texts of 4096 tokens, the prompt is to have 4097"):
        predicted(registry, LLAMA, prompt=4097)


def test_quantized_weights_are_read_sooner(registry: Registry) -> None:
    told = [predicted(registry, LLAMA, sets={"models.llm.quantize": q}) for q in ("int8", "int4")]
    rates = [rate(found, "decode tokens/s") for found in (predicted(registry, LLAMA), *told)]
    assert rates[1] == pytest.approx(3.35e12 / (BLOCKS + HEAD + 2 * KEYS * 512), rel=5e-3)
    assert rates[0] < 0.6 * rates[1] < 0.6 * rates[2]
    assert [row["dtype"] for row in told[1]["models"]] == ["bf16 int4"] * 2
    assert rate(told[0], "prefill tokens/s") == pytest.approx(rate(told[1], "prefill tokens/s"), rel=0.01)


def test_stages_of_a_language_model_wait_for_each_other(registry: Registry) -> None:
    """Half of the weights on each rank, one after the other: the same time, and what is sent."""
    alone, two = predicted(registry, LLAMA, plan="stages2")["graph"]
    assert (two["ranks"], two["plan"], alone["ranks"]) == (2, "stages2", 1)
    assert two["seconds"] == pytest.approx(alone["seconds"], rel=0.02) and two["seconds"] > alone["seconds"]
    slow = Named("slow", SHEETS["h100"].model_copy(update={"link": 1e6}))
    waits = predicted(registry, LLAMA, on=slow, plan="stages2")["graph"][1]["seconds"]
    hidden = (
        2 * 4096 * (512 + 100) / 1e6
    )  # h of the prompt and of each token; positions and masks come with it
    assert hidden < waits - alone["seconds"] < 1.5 * hidden
    shared = predicted(registry, LLAMA, plan="tensor2")["graph"][1]
    assert shared["seconds"] == pytest.approx(alone["seconds"] / 2, rel=0.02)
    assert shared["uncounted"] == ("what layers exchange",)
    unlinked = Named("h100", SHEETS["h100"].model_copy(update={"link": None}))
    with pytest.raises(InputError, match=r"E528.*h100 has no link, over which 2 of it would send"):
        predicted(registry, LLAMA, on=unlinked, plan="stages2")


PIPE = "\nparallel: {plans: {pipe2: {ranks: 2, pipe: {dit: 2}}}}\n"


def test_a_denoiser_is_asked_at_every_step(registry: Registry, tiny_text: str) -> None:
    """Both branches of guidance are one call of twice the batch."""
    short, long = (predicted(registry, tiny_text, sets={"steps": n}, batch=3) for n in ("5", "9"))
    assert [row["what"] for row in long["models"]] == ["calls/s"] and long["graph"][0]["what"] == "images/s"
    call = predicted(registry, tiny_text, batch=6)["models"][0]["seconds"]
    assert long["graph"][0]["seconds"] - short["graph"][0]["seconds"] == pytest.approx(4 * call)
    assert long["graph"][0]["per_second"] == pytest.approx(3 / long["graph"][0]["seconds"])


def test_requests_fill_a_pipeline(registry: Registry, tiny_text: str) -> None:
    fast = Named("fast", Device(flops={"f32": 1e9}, bandwidth=1e15, link=1e15))
    deep = {"models.dit.config.depth": "4"}
    alone, two = predicted(registry, tiny_text + PIPE, on=fast, plan="pipe2", sets=deep, requests=4)["graph"]
    assert two["requests"] == 4 and two["what"] == "images/s"
    assert 1.5 < two["per_second"] / alone["per_second"] <= 2


TOWERS = """
mmm: 1
inputs: {image: "Image[b,3,h,w]", ids: "Ids[b,t]"}
models:
  eye: {kind: encoder.vit, init: default, config: {size: 32, patch: 16, width: 64, depth: 2, num_heads: 4, hidden: 128}}
  vae: {kind: vae.kl, init: default, config: {channels: [32], latent_channels: 4, sample_size: 32}}
nodes:
  seen: {call: eye.hidden, in: {image: $in.image}}
  code: {call: vae.encode, in: {image: $in.image}}
outputs: {seen: seen, code: code}
"""


def test_encoders_see_images_and_what_is_not_known_is_named(registry: Registry) -> None:
    found = predicted(registry, TOWERS)
    (row,) = found["models"]
    assert (row["model"], row["what"], row["dtype"]) == ("eye", "images/s", "f32")
    assert found["graph"][0]["unknown"] == ("vae.encode",) and found["answer_tokens"] == 0
    assert found["graph"][0]["seconds"] == pytest.approx(row["seconds"])
    flops = (
        2 * (4 * 768 * 64 + 2 * 5 * (4 * 64**2 + 2 * 64 * 128)) + 2 * 4 * 64 * 5**2
    )  # patches, with a class token
    assert row["seconds"] >= flops / 67e12 and row["bound"] == "memory"
    fast = predicted(registry, TOWERS, on=H100._replace(tf32=True))
    assert rate(fast, "images/s") >= rate(found, "images/s")


def test_what_cannot_be_predicted(registry: Registry, tiny_text: str) -> None:
    graph = compile_graph(load_spec(tiny_text), registry, "train.diffusion")
    with pytest.raises(InputError, match=r"E529.*train.diffusion trains"):
        predict_throughput(graph, registry, make_plan(graph, registry), Asked([H100]))
    silent = replace(registry.models["denoiser.dit"], parts=None)
    quiet = replace(registry, models={**registry.models, "denoiser.dit": silent})
    with pytest.raises(InputError, match=r"E529.*no model that the graph calls says how much work it has"):
        predicted(quiet, tiny_text)
