"""any_to_any.yaml on several ranks, and what it loads: the decoder's own tokens say what is made for which rows."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import mmm_graph as mmm
from mmm_graph.errors import MmmError
from mmm_graph.registry import Registry, load_registry
from mmm_graph.runtime.events import Result
from mmm_graph.runtime.launch import launch
from tests.graphs.by_heart import MEDIA, SAID, STEPS, WORLD, learn, load, owners

ROOT = Path(__file__).resolve().parents[2]
PROMPTS = list(SAID)
ALONE = (5, 6, 4)
"""Prompts that are requests of their own, beside that of all eight: image and sound, text, video."""
REQUESTS: list[dict[str, Any]] = [
    {"id": "all", "chat": PROMPTS, "seed": [3] * len(PROMPTS)},
    *({"id": PROMPTS[i], "chat": PROMPTS[i], "seed": 3} for i in ALONE),
]
BRANCHES = {
    "image": {"to_image", "draw.text", "draw.unet", "draw.vae"},
    "audio": {"to_audio", "tone.text", "tone.unet"},
    "video": {"to_video", "film.text", "film.unet", "film.vae"},
}


@pytest.fixture(scope="module")
def registry() -> Registry:
    return load_registry()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, registry: Registry) -> Path:
    return learn(tmp_path_factory.mktemp("by_heart"), registry)


@pytest.fixture(scope="module")
def one(folder: Path, registry: Registry) -> dict[str, Result]:
    """What one rank gives."""
    return load(folder, registry=registry).map(REQUESTS)


def test_the_decoders_tokens_say_what_is_made_for_which_rows(one: dict[str, Result]) -> None:
    found = one["all"]
    words = ["".join(s for s in said if s not in MEDIA) for said in SAID.values()]
    assert found.values["text"] == words
    assert {medium: found.owners[medium] for medium in MEDIA} == {m: owners(PROMPTS, m) for m in MEDIA}
    assert found.owners["image"] == (0, 3, 3, 5), "three of eight answers have an image, one has two"
    assert {medium: len(found.values[medium]) for medium in MEDIA} == {"image": 4, "audio": 2, "video": 1}
    first, second = found.values["image"][1:3]
    assert not torch.equal(first, second), "two pictures of one answer are two"


def test_an_answer_in_a_batch_is_what_it_is_alone(one: dict[str, Result]) -> None:
    for i in ALONE:
        found = one[PROMPTS[i]]
        for medium in MEDIA:
            rows = [row for row, owner in enumerate(one["all"].owners[medium]) if owner == i]
            assert (medium in found.values) == bool(rows), "what nobody asked for is not there"
            if rows:  # a batch pads what is shorter, so that sums are in another order
                torch.testing.assert_close(
                    found.values[medium], one["all"].values[medium][rows], atol=1e-9, rtol=0
                )
        assert all("gave no rows" in why for why in found.absent.values())


@pytest.mark.parametrize("plan", ["say_make", pytest.param("halves", marks=pytest.mark.slow), "branches"])
def test_ranks_answer_what_one_rank_answers(
    plan: str, folder: Path, registry: Registry, one: dict[str, Result]
) -> None:
    found = load(folder, plan, registry=registry).map(REQUESTS)
    for request, expected in one.items():
        assert_same(found[request], expected)


@pytest.mark.slow
@pytest.mark.dist
@pytest.mark.parametrize("plans", [("say_make", "halves"), ("branches",)])
def test_processes_answer_what_one_rank_answers(
    plans: tuple[str, ...],
    folder: Path,
    one: dict[str, Result],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    requests, out = tmp_path / "requests.json", tmp_path / "found.pt"
    requests.write_text(json.dumps(REQUESTS))
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    script = Path(__file__).with_name("rank_of_world.py")
    command = [sys.executable, *map(str, (script, folder, requests, out, *plans))]
    errors: list[Any] = []
    ranks = 4 if plans == ("branches",) else 2
    assert launch(command, ranks, 300.0, env={"OMP_NUM_THREADS": "1"}, tell=errors.append) == 0, errors
    for found in torch.load(out).values():
        for request, expected in one.items():
            assert_same(Result(found[request][0], found[request][2], found[request][1]), expected)


def assert_same(found: Result, expected: Result) -> None:
    """The same bits."""
    assert found.error is None
    assert found.values.keys() == expected.values.keys()
    assert (found.owners, found.absent.keys()) == (expected.owners, expected.absent.keys())
    for name, value in expected.values.items():
        same = (
            torch.equal(found.values[name], value)
            if isinstance(value, torch.Tensor)
            else found.values[name] == value
        )
        assert same, name


@pytest.mark.slow
def test_the_trained_world_answers_alike_on_ranks(registry: Registry) -> None:
    asked = {
        "which digit follows three?": set[str](),
        "draw seven": {"image"},
        "press the key two": {"audio"},
        "show me a four that moves left": {"video"},
        "draw one and press the key one": {"image", "audio"},
    }
    requests = [{"id": prompt, "chat": prompt, "seed": 5} for prompt in asked]
    options: dict[str, Any] = {"registry": registry, "params": STEPS}
    one = mmm.load(WORLD / "any_to_any.yaml", **options).map(requests)
    assert {prompt: set(result.values) & set(MEDIA) for prompt, result in one.items()} == asked
    for plan in ("say_make", "halves", "branches"):
        found = mmm.load(WORLD / "any_to_any.yaml", plan=plan, **options).map(requests)
        for prompt, expected in one.items():
            assert_same(found[prompt], expected)


@pytest.mark.parametrize("plan", [None, pytest.param("say_make", marks=pytest.mark.slow)])
def test_what_nobody_asks_for_is_not_loaded(plan: str | None, folder: Path, registry: Registry) -> None:
    session = load(folder, plan, registry=registry)
    loaded = session.resident
    assert loaded() == {}
    session.run(chat="what digit is this?")
    assert loaded().keys() == {"llm"}
    session.run(chat="draw a seven")
    assert loaded().keys() == {"llm"} | BRANCHES["image"]
    session.run(chat="dial a one")
    assert loaded().keys() == {"llm"} | BRANCHES["image"] | BRANCHES["audio"]
    assert loaded()["llm"] == sum(p.nbytes for p in session.module("llm").parameters())


def test_what_nobody_asks_for_is_not_even_read(folder: Path, registry: Registry, tmp_path: Path) -> None:
    weights = tmp_path / "weights"
    shutil.copytree(folder, weights)
    for model in set().union(*BRANCHES.values()):
        (weights / f"{model}.safetensors").write_bytes(b"nothing that can be read")
    session = load(weights, registry=registry)
    found = session.result(given={"chat": "which digit follows 5?"})
    assert found.values["text"] == ["6"]
    origin = session.origin({}, 0, None, found.absent)
    assert "llm" in origin.weights and not origin.weights.keys() & set().union(*BRANCHES.values())
    with pytest.raises(MmmError, match="to_image"):
        session.run(chat="draw a seven")
