"""The parts table of the audio spectrogram transformer, its paths, the node, and plans of a graph with it."""

from __future__ import annotations

import pytest
import torch

import mmm_graph as mmm
from mmm_audio.ast.config import AstConfig
from mmm_audio.ast.model import AudioSpectrogramTransformer
from mmm_audio.ast.node import AST
from mmm_audio.ast.parts import ast_parts, ast_sharding, classify_path
from mmm_graph.errors import InputError, RunError
from mmm_graph.testing import check_node

SMALL = {
    "frames": 30,
    "bins": 20,
    "patch": 8,
    "time_stride": 5,
    "frequency_stride": 6,
    "width": 16,
    "depth": 3,
}
SMALL |= {"num_heads": 4, "hidden": 32, "labels": 5}


def test_table_is_true_of_the_module(check_parts):
    config = AstConfig(**SMALL)
    with torch.device("meta"):
        check_parts(ast_parts(config), AudioSpectrogramTransformer(config), {"mel": torch.zeros(1, 30, 20)})


def test_full_size_is_that_of_audioset():
    assert sum(part.params for part in ast_parts(AstConfig(labels=527))) == 86_594_063


def test_it_keeps_its_promises():
    check_node(AST, config=SMALL, methods={"hidden": {"layer": -2, "norm": False, "select": "patch"}})


def test_without_a_classifier_there_are_no_classes():
    with pytest.raises(ValueError, match="has no classifier; set labels"):
        classify_path(AstConfig(**{**SMALL, "labels": None}))


def test_a_spectrogram_of_another_size_is_an_error_that_names_both():
    with pytest.raises(RunError, match=r"of 31 frames x 20 bins, but .* has positions for 30 x 20") as caught:
        AudioSpectrogramTransformer(AstConfig(**SMALL))(torch.zeros(1, 31, 20))
    assert caught.value.problems[0].code == "E772"


def test_heads_can_be_shared_and_tokens_cannot():
    said = ast_sharding(AstConfig(**SMALL))
    assert said.heads == 4 and not said.units
    assert all("tokens of the whole sound" in said.refused[axis] for axis in ("patch", "ring", "ulysses"))


PLANS = {
    "pipe3": {"ranks": 3, "pipe": {"net": 3}},
    "data2": {"ranks": 2, "axes": {"net": {"data": 2}}},
    "tensor3": {"ranks": 3, "axes": {"net": {"tensor": 3}}},  # 4 heads: 2, 1, 1
}


def described(plan=None, mel=None, **config):
    """All outputs of an encoder of sounds of any length."""
    hidden = {"layer": -2, "norm": False, "select": "patch"}
    found = {
        "mmm": 1,
        "name": "listen",
        "inputs": {"sounds": "Audio*[m,1,n]{16000}"},
        "models": {
            "net": {"kind": "encoder.ast", "init": "default", "dtype": "f64", "config": {**SMALL, **config}}
        },
        "nodes": {
            "mel": {
                "op": "audio.mel",
                "in": {"audio": "$in.sounds"},
                "config": {"frames": 30, "bins": 20, **(mel or {})},
            },
            "pooled": {"call": "net.pooled", "in": {"mel": "mel"}},
            "features": {"call": "net.hidden", "in": {"mel": "mel"}, "config": hidden},
            "logits": {"call": "net.classify", "in": {"mel": "mel"}},
        },
        "outputs": {"pooled": "pooled", "features": "features", "logits": "logits"},
    }
    return found if plan is None else {**found, "parallel": {"plans": {"p": plan}}}


@pytest.mark.dist
def test_exact_plans(tmp_path):
    drawn = torch.Generator().manual_seed(0)
    sounds = [torch.rand(1, n, generator=drawn) * 2 - 1 for n in (900, 6000, 4000)]
    first = mmm.load(described())
    assert str(first.graph.node("features").outputs["embeds"]) == "Embeds[:m,15,16]"
    for weight in first.module("net").parameters():
        weight.data.add_(torch.randn(weight.shape, generator=drawn, dtype=weight.dtype) * 0.1)
    first.save(tmp_path)
    want = first.run(sounds=sounds)
    for name, plan in PLANS.items():
        found = mmm.load(described(plan), weights=tmp_path, plan="p").run(sounds=sounds)
        for key in want:
            assert (found[key] - want[key]).abs().max() < 1e-10, (name, key)


def test_sharing_tokens_is_refused_with_the_reason():
    session = mmm.load(described({"ranks": 2, "axes": {"net": {"ring": 2}}}), plan="p")
    with pytest.raises(InputError, match="tokens of the whole sound") as caught:
        session.run(sounds=[torch.zeros(1, 900)])
    assert caught.value.problems[0].code == "E519"


@pytest.mark.parametrize(
    ("more", "code", "message"),
    [
        ({"mel": {"frames": 31}}, "E205", r"expects Mel\[b,30,20\], got Mel\[m,31,20\]"),
        ({"labels": None}, "E208", "labels is neither in its config nor determined by the links"),
    ],
)
def test_what_cannot_be_is_refused_when_the_graph_is_compiled(more, code, message):
    with pytest.raises(InputError, match=message) as caught:
        mmm.load(described(**more))
    assert caught.value.problems[0].code == code
