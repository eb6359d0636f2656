"""The stages of graphs/world at small sizes: each trains, and what was trained answers."""

from __future__ import annotations

from pathlib import Path

import pytest

import mmm_graph as mmm
from mmm_graph.graph.compile import compile_graph
from mmm_graph.plan.flow import Flow
from mmm_graph.plan.rewrite import find_batches
from mmm_graph.plan.select import select
from mmm_graph.registry import load_registry
from mmm_graph.spec import load_spec
from mmm_graph.train.evaluate import evaluate
from mmm_graph.train.options import EvalOptions
from mmm_graph.train.trainer import train

WORLD = Path(__file__).resolve().parents[2] / "graphs" / "world"
FEW = {
    "steps": "1",
    "eval": "null",
    "save_every": "null",
    "data.config.length": "16",
    "data.config.batch": "4",
}
LLM = "{vocab_size: 94, max_length: 320, width: 32, depth: 1, num_heads: 2, hidden: 64, tied: true}"


def trained(name: str, out: Path, *stages: str, **sets: str) -> dict[str, dict[str, float]]:
    """The losses of each stage."""
    few = {f"train.stages.{stage}.{key}": value for stage in stages for key, value in FEW.items()}
    spec = load_spec(WORLD / f"{name}.yaml", sets={**few, **sets})
    return {name: dict(made.loss) for name, made in train(spec, load_registry(), out, stages=stages).items()}


def test_guidance_of_each_generator_is_one_batch() -> None:
    registry = load_registry()
    graph = compile_graph(load_spec(WORLD / "any_to_any.yaml"), registry)
    needs = select(Flow(graph), [output.ref for output in graph.outputs.values()])
    steps = [f"made/{medium}/denoise/steps" for medium in ("image", "audio", "video")]
    joined = {batch.members for batch in find_batches(Flow(graph), registry, needs).values()}
    assert joined == {(f"{step}/predict_cond", f"{step}/predict_uncond") for step in steps}


def test_what_is_seen_and_heard_is_learnt(tmp_path: Path) -> None:
    untrained = {f"models.{name}.text.weights": "null" for name in ("tone", "film")}
    losses = trained("any_to_any", tmp_path, "language", "encode", **{"models.llm.config": LLM}, **untrained)
    assert 2 < losses["encode"]["loss.next"] < 6
    made = {path.stem for path in tmp_path.glob("*.safetensors")}
    assert made == {"llm", "ear", "see", "watch", "listen", "to_image", "to_audio", "to_video"}
    few = {
        "models.llm.config": LLM,
        "eval.seeing.data.config.length": "8",
        "eval.seeing.data.config.batch": "4",
    }
    spec = load_spec(WORLD / "any_to_any.yaml", sets=few)
    found = evaluate(spec, load_registry(), "seeing", options=EvalOptions(weights=tmp_path))
    tasks = {name.removeprefix("seeing.exact[") for name in found if name.startswith("seeing.exact[")}
    assert {"seeing.correct", "seeing.exact"} <= found.keys()
    assert tasks == {"image->text]", "audio->text]", "video->text]"}


@pytest.mark.slow
def test_all_stages_train_and_what_is_asked_for_is_made(tmp_path: Path) -> None:
    for name, stages in (("tone", ("diffusion",)), ("film", ("vae", "few", "diffusion"))):
        assert trained(name, tmp_path / name, *stages)[stages[-1]]["loss"] > 0
    files = {"tone": ("text", "unet"), "film": ("text", "unet", "vae")}
    sets = {
        f"models.{name}.{model}.weights": f"file:{tmp_path}/{name}/{model}.safetensors"
        for name, models in files.items()
        for model in models
    }
    out = tmp_path / "any"
    losses = trained("any_to_any", out, "language", "encode", "decode", "instruct", **sets)
    media = ("image", "audio", "video")
    both = {f"loss.{term}_{medium}" for term in ("align", "gen") for medium in media}
    assert losses["decode"].keys() == {"loss", "loss.next", *both}, "each by itself"
    assert losses["instruct"].keys() == {"loss", "loss.next", *(f"loss.align_{medium}" for medium in media)}
    assert (out / "llm.lora.safetensors").exists()
    result = mmm.load(out / "graph.yaml").run(chat="draw a seven")
    assert isinstance(result["text"][0], str)
