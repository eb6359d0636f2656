"""The recipes on real digits train from nothing, each with the outputs of the one before; three tiny steps a stage."""

from __future__ import annotations

from pathlib import Path
from shutil import copytree

import pytest

from mmm_graph.registry import load_registry
from mmm_graph.spec import load_spec
from mmm_graph.train.trainer import train

pytest.importorskip("sklearn")

DIGITS = Path(__file__).resolve().parents[2] / "graphs" / "digits"
TINY = "{size: 32, patch: 8, width: 16, depth: 4, num_heads: 2, hidden: 16, out_dim: 64}"
ADAPTORS = {
    "adaptor.linear": "{}",
    "adaptor.mlp": "{}",
    "adaptor.qformer": "{num_queries: 4, width: 16, depth: 2, num_heads: 2, hidden: 16}",
    "adaptor.perceiver": "{num_latents: 4, depth: 1, num_heads: 2, head_dim: 8}",
}


LLM = "{vocab_size: 96, max_length: 128, width: 16, depth: 1, num_heads: 2, hidden: 16, tied: true}"
BASES: dict[str, dict[str, str]] = {
    "clip": dict.fromkeys(("repeated", "masked", "siglip", "triplet", "triplet_images"), "contrast"),
    "classifier": {},
    "vlm": dict.fromkeys(("tune", "tune_lora", "together"), "align"),
    "vlm_gated": {"tune": "align"},
}
"""Stages that extend another."""


def learn(name: str, stage: str, out: Path, sets: dict[str, str]) -> dict[str, float]:
    """Metrics after three steps of four samples each."""
    source = BASES[name].get(stage, stage)  # whose data it inherits
    small = {
        "batch": "4", f"train.stages.{stage}.steps": "3", f"train.stages.{source}.data.config.length": "8"
    }  # fmt: skip
    spec = load_spec(DIGITS / f"{name}.yaml", sets={**small, **sets})
    record = train(spec, load_registry(), out, stages=[stage])[stage]
    assert record.steps >= 1
    return dict(record.metrics)


def short(*evaluations: str) -> dict[str, str]:
    """Evaluations of few samples."""
    return {f"eval.{name}.data.config.{key}": "20" for name in evaluations for key in ("length", "batch")}


def seen(clip: Path) -> dict[str, str]:
    """The tower of the trained CLIP, in a file that includes clip.yaml."""
    return {
        "models.clip.vision.config": TINY,
        "models.clip.vision.weights": f"file:{clip}/vision.safetensors",
    }


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("clip")
    found = learn("clip", "contrast", out, {"models.vision.config": TINY, **short("zero_shot", "retrieval")})
    assert {name.partition(".")[0] for name in found} == {"zero_shot", "unseen_templates", "retrieval"}
    return out


@pytest.mark.parametrize("stage", BASES["clip"])
def test_clip_trains_with_every_loss(stage: str, tmp_path: Path) -> None:
    sets = {"models.vision.config": TINY, f"train.stages.{stage}.eval": "zero_shot", **short("zero_shot")}
    assert learn("clip", stage, tmp_path, sets)["zero_shot.accuracy"] <= 1


def test_classifier_probes_the_tower_of_clip_and_trains_its_own(clip: Path, tmp_path: Path) -> None:
    sets = {**seen(clip), "models.vision.config": TINY, **short("probe", "supervised")}
    for stage in ("probe", "supervised"):
        assert learn("classifier", stage, tmp_path / stage, sets)[f"{stage}.accuracy"] <= 1
    assert not (tmp_path / "probe" / "clip.vision.safetensors").exists()


@pytest.fixture(scope="module")
def language(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("language")
    assert learn("vlm", "language", out, {"models.llm.config": LLM, **short("reading")})["reading.match"] <= 1
    return out


@pytest.mark.parametrize("adaptor", ADAPTORS)
def test_each_adaptor_is_aligned_and_nothing_else_changes(
    adaptor: str, clip: Path, language: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    copytree(language, out)
    sets = {"adaptor": adaptor, "models.bridge.config": ADAPTORS[adaptor], "train.stages.align.steps": "1"}
    assert learn("vlm", "align", out, {**asked(clip), **sets})["exact.match"] <= 1
    assert (out / "llm.safetensors").read_bytes() == (language / "llm.safetensors").read_bytes()
    assert (out / "bridge.safetensors").exists() and not (out / "clip.vision.safetensors").exists()


@pytest.mark.parametrize("stage", ["tune", "tune_lora"])
def test_the_decoder_is_tuned_with_the_adaptor(
    stage: str, clip: Path, language: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    copytree(language, out)
    learn("vlm", "align", out, asked(clip))
    bridge = (out / "bridge.safetensors").read_bytes()
    assert learn("vlm", stage, out, asked(clip))["exact.match"] <= 1
    assert (out / "bridge.safetensors").read_bytes() != bridge
    whole = (out / "llm.safetensors").read_bytes() != (language / "llm.safetensors").read_bytes()
    assert whole is (stage == "tune")


def test_cross_attention_is_aligned_and_then_the_decoder_with_it(
    clip: Path, language: Path, tmp_path: Path
) -> None:
    sets = {
        **short("exact"),
        "models.vlm.clip.vision.config": TINY,
        "models.vlm.clip.vision.weights": f"file:{clip}/vision.safetensors",
        "models.llm.config": LLM,
        "models.llm.weights": f"file:{language}/llm.safetensors",
        "models.bridge.config": "{out_dim: 16, num_latents: 4, depth: 1, num_heads: 2, head_dim: 8}",
        "models.xattn.config": "{num_heads: 2, head_dim: 8, hidden: 16}",
    }
    assert learn("vlm_gated", "align", tmp_path, sets)["exact.match"] <= 1
    assert {path.name for path in tmp_path.glob("*.safetensors")} == {
        "bridge.safetensors",
        "xattn.safetensors",
    }
    learn("vlm_gated", "tune", tmp_path, sets)
    assert (tmp_path / "llm.safetensors").read_bytes() != (language / "llm.safetensors").read_bytes()


def asked(clip: Path) -> dict[str, str]:
    """Tiny models, and an evaluation of few questions."""
    return {**seen(clip), **short("exact"), "models.llm.config": LLM}


def test_all_can_be_trained_together(tmp_path: Path) -> None:
    learn(
        "vlm",
        "together",
        tmp_path,
        {"models.clip.vision.config": TINY, "models.llm.config": LLM, **short("exact")},
    )
    trained = {path.name for path in tmp_path.glob("*.safetensors")}
    assert trained == {"clip.vision.safetensors", "bridge.safetensors", "llm.safetensors"}
