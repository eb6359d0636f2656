"""The shipped weights of graphs/digits: small, and they draw what they are asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmm_graph.registry import load_registry
from mmm_graph.spec import load_spec
from mmm_graph.train.evaluate import evaluate

DIGITS = Path(__file__).resolve().parent.parent / "graphs" / "digits"
GRAPHS = ("ldm", "dit", "ddpm")
READERS = ("clip", "classifier", "language", "vlm")
READ = [
    ("clip", "zero_shot", "accuracy", 0.93),
    ("clip", "unseen_templates", "accuracy", 0.93),
    ("classifier", "supervised", "accuracy", 0.96),
    ("classifier", "probe", "accuracy", 0.93),
    ("vlm", "exact", "match", 0.9),
]
"""Graph, evaluation on unseen digits, metric, the least that it must reach."""

pytest.importorskip("sklearn")


@pytest.mark.parametrize(("name", "evaluation", "metric", "least"), READ)
def test_unseen_digits_are_read(name: str, evaluation: str, metric: str, least: float):
    few = {f"eval.{evaluation}.data.config.{key}": "200" for key in ("length", "batch")}
    metrics = evaluate(load_spec(DIGITS / f"{name}.yaml", sets=few), load_registry(), evaluation)
    assert metrics[f"{evaluation}.{metric}"] >= least


def judge(name: str, evaluation: str, per_class: int = 1) -> dict[str, float]:
    sets = {"eval.quality.data.config.per_class": str(per_class)}
    return evaluate(load_spec(DIGITS / f"{name}.yaml", sets=sets), load_registry(), evaluation)


def megabytes(folder: str) -> float:
    return sum(f.stat().st_size for f in (DIGITS / "weights" / folder).rglob("*.safetensors")) / 1e6


def test_weights_that_draw_are_at_most_12_megabytes():
    assert 0 < sum(megabytes(name) for name in GRAPHS) <= 12


@pytest.mark.parametrize("name", READERS)
def test_weights_of_a_graph_that_reads_are_at_most_8_megabytes(name: str):
    assert 0 < megabytes(name) <= 8


@pytest.mark.parametrize("name", GRAPHS)
def test_ten_prompts_draw_ten_digits(name: str):
    assert judge(name, "quality")["quality.accuracy"] >= 0.9


def test_autoencoder_reconstructs_digits_it_has_not_seen():
    assert judge("ldm", "reconstruction")["reconstruction.psnr"] >= 35  # dB


@pytest.mark.slow
@pytest.mark.parametrize("name", GRAPHS)
def test_at_least_95_percent_of_500_drawings_are_recognised_and_none_is_a_copy(name: str):
    metrics = judge(name, "quality", per_class=50)
    assert metrics["quality.classifier_accuracy"] >= 0.98
    assert metrics["quality.accuracy"] >= 0.95
    assert metrics["quality.copies"] == 0
    assert metrics["quality.nearest_neighbour"] > 0.5 * metrics["quality.nearest_neighbour_real"]
