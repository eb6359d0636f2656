"""A language model in place of a text encoder: Stable Diffusion's at full size and tiny, and that of the digits."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import mmm_graph as mmm
from mmm_graph.registry import load_registry
from mmm_graph.spec import load_spec
from mmm_graph.train.dry_run import dry_run
from mmm_graph.train.evaluate import evaluate
from mmm_graph.train.trainer import train

GRAPHS = Path(__file__).resolve().parents[2] / "graphs"
SD, DRAW = GRAPHS / "models" / "llm_to_sd.yaml", GRAPHS / "world" / "llm_to_draw.yaml"
TOKENIZER = GRAPHS / "digits" / "weights" / "tokenizer.json"
FROZEN = ("llm", "clip", "unet", "vae")
WORDS = {f"models.{name}.weights": f"file:{TOKENIZER}" for name in ("tok", "clip_tok")}
LLM = "{vocab_size: 94, max_length: 320, width: 32, depth: 1, num_heads: 2, hidden: 64, tied: true}"
TINY = {
    **WORDS,
    **{f"models.{name}.config": "{max_length: 8, pad: max_length, pad_side: right}" for name in ("tok", "clip_tok")},
    **{f"models.{name}.{key}": value for name in FROZEN for key, value in (("weights", "null"), ("init", "default"))},
    "models.llm.config": LLM,
    "models.told.config": "{num_queries: 8, width: 16, num_heads: 2, hidden: 16, encoder_depth: 1, decoder_depth: 1}",
    "models.clip.config": "{vocab_size: 32, max_length: 8, width: 16, depth: 1, num_heads: 2, pool: argmax}",
    "models.unet.config": "{sample_size: 8, channels: [8, 16], layers_per_block: 1, attention: [cross, none], "
    "num_heads: 2, groups: 4, cond_dim: 16}",
    "models.vae.config": "{channels: [8, 16], layers_per_block: 1, groups: 4, sample_size: 16}",
    **dict.fromkeys(("size", "height", "width"), "16"),
    **{"dtype": "f32", "steps": "2", "batch": "2"},
    **{f"train.stages.align.{key}": value for key, value in (("steps", "3"), ("save_every", "null"))},
}  # fmt: skip


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Two pictures with captions."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for i, name in enumerate(["zero", "one"]):
        Image.new("RGB", (16, 16), (200 * i, 100, 0)).save(folder / f"{i}.png")
        (folder / f"{i}.txt").write_text(f"the digit {name}", encoding="utf-8")
    return folder


def last_row(out: Path) -> Mapping[str, str]:
    with (out / "metrics.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))[-1]


@pytest.mark.slow
def test_at_full_size_only_the_projector_learns(pictures: Path, tmp_path: Path) -> None:
    empty = tmp_path / "there.safetensors"
    empty.touch()  # files are found, and not read
    there = {f"models.{name}.weights": f"file:{empty}" for name in FROZEN}
    spec = load_spec(SD, sets={"pictures": str(pictures), **WORDS, **there})
    (cost,) = dry_run(spec, load_registry(), tmp_path / "out")
    assert {m.name: m.trained for m in cost.models if m.trained} == {"told": 31_958_784}
    assert {m.name: m.frozen for m in cost.models if m.name in ("unet", "clip")} == {
        "unet": 859_520_964,
        "clip": 123_060_480,
    }


def test_states_of_a_language_model_become_those_of_the_text_encoder(pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    train(load_spec(SD, sets={"pictures": str(pictures), **TINY}), load_registry(), out)
    row = last_row(out)
    terms = {term: float(row[f"loss.{term}"]) for term in ("align", "start", "gen")}
    assert all(value > 0 for value in terms.values())
    whole = terms["align"] + 0.1 * terms["start"] + terms["gen"]
    assert float(row["loss"]) == pytest.approx(whole, rel=1e-4)
    assert load_file(out / "told.safetensors") and list((out / "cache").rglob("*.safetensors"))
    assert {p.name for p in out.glob("*.safetensors")} == {"told.safetensors"}


def test_a_request_is_read_by_the_language_model_alone(tmp_path: Path) -> None:
    few = {"steps": "2", "eval": "null", "save_every": "null", "data.config.length": "8"}
    stage = {f"train.stages.align.{key}": value for key, value in few.items()}
    sets = {"models.llm.weights": "null", "models.llm.config": LLM, "draw.steps": "2", "batch": "4"}
    sets["models.told.config.in_dim"] = "64"
    records = train(load_spec(DRAW, sets={**stage, **sets}), load_registry(), tmp_path)
    assert records["align"].models == ("told",)
    assert {"loss.align", "loss.gen"} <= set(records["align"].loss)
    graph = mmm.load(tmp_path / "graph.yaml")
    some = graph.run(prompt=["draw a two", "draw a seven"], outputs=["image"])["image"]
    alone = graph.run(prompt=["draw a two"], outputs=["image"])["image"]
    assert some.shape == (2, 1, 32, 32)
    torch.testing.assert_close(some[:1], alone, atol=1e-4, rtol=0)


@pytest.mark.slow
def test_what_a_request_names_is_drawn() -> None:
    """With the shipped weights, for unseen phrasings; guessing gets 0.1."""
    pytest.importorskip("sklearn")
    sets = {f"eval.right.data.config.{key}": "20" for key in ("length", "batch")}
    metrics = evaluate(load_spec(DRAW, sets=sets), load_registry(), "right")
    assert metrics["right.accuracy"] >= 0.9
