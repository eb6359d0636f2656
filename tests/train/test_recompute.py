"""Parts that compute again in the backward pass: the same numbers bit for bit, and less kept."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from mmm_graph.errors import MmmError
from mmm_graph.train.data import Sources
from mmm_graph.train.options import TrainOptions
from mmm_graph.train.stage import Stage, make_stage
from mmm_graph.train.trainer import train
from tests.train.texts import GRAPH, REGISTRY, text_spec

TRAINED = "[{parts: [norm]}, {lora: {rank: 2, dropout: 0.1}}]"


def plan(out: Path, recompute: str) -> Stage:
    spec = text_spec(out, recompute=recompute)
    return make_stage(spec, REGISTRY, "fit", Sources(spec, REGISTRY))


def fit(out: Path, trained: str, **sets: str) -> tuple[dict[str, bytes], int]:
    """What is written, and how many bytes autograd keeps over all steps."""
    out.mkdir()
    kept = 0

    def keep(tensor: Tensor) -> Tensor:
        nonlocal kept
        kept += tensor.numel() * tensor.element_size()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        train(text_spec(out, trained, **sets), REGISTRY, out, options=TrainOptions(log_every=1))
    return {path.name: path.read_bytes() for path in out.glob("*.safetensors")}, kept


@pytest.mark.parametrize("trained", ["full", TRAINED, "{rows: [3]}"], ids=["full", "lora", "rows"])
@pytest.mark.parametrize("precision", ["f32", "bf16"])
def test_equals_what_is_kept_bit_for_bit_and_keeps_less(tmp_path: Path, trained: str, precision: str) -> None:
    found, kept = fit(tmp_path / "kept", trained, precision=precision)
    again, less = fit(tmp_path / "again", trained, precision=precision, recompute="{llm: ['block*']}")
    assert found == again
    assert less < 0.6 * kept


def test_true_is_every_part_that_a_loss_needs(tmp_path: Path) -> None:
    every = plan(tmp_path, "true").recompute
    assert every.keys() == {"llm"} and {"embed", "block0", "block1", "head"} <= set(every["llm"])
    assert plan(tmp_path, "{'l*': [block1, head]}").recompute == {"llm": ("block1", "head")}
    assert plan(tmp_path, "false").recompute == {}


@pytest.mark.parametrize(
    ("said", "code", "words"),
    [
        ("{lm: ['block*']}", "E811", "no model with parts is named 'lm'\n    hint: did you mean llm?"),
        ("{llm: ['blok*']}", "E811", "llm has no part 'blok*'"),
        ("{words: ['*']}", "E811", "no model with parts is named 'words'"),
        ("[llm]", "E801", "recompute expects true, or models and patterns of parts, got"),
    ],
)
def test_names_that_mean_nothing(tmp_path: Path, said: str, code: str, words: str) -> None:
    with pytest.raises(MmmError) as error:
        plan(tmp_path, said)
    assert words in str(error.value) and code in str(error.value)


def test_a_frozen_model_between_what_is_trained_and_the_loss_keeps_less_too(tmp_path: Path) -> None:
    """Its blocks are not trained, and still hand the gradient on."""
    assert "recompute" not in GRAPH
    found, kept = fit(tmp_path / "kept", "{parts: [embed]}")
    again, less = fit(tmp_path / "again", "{parts: [embed]}", recompute="true")
    assert found == again and less < 0.5 * kept
