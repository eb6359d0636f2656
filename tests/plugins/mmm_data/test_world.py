"""The digit world: requests, what answers show, and rules that judge it."""

from __future__ import annotations

import math
import re
from functools import partial
from typing import Any, Literal

import pytest
import torch
from pydantic import ValidationError

from mmm_data.digits.captions import WORDS
from mmm_data.metrics.any_to_any import every, said_answer, world_answer
from mmm_data.metrics.config import DigitAccuracyConfig, MotionConfig, ToneConfig, WorldAnswerConfig
from mmm_data.metrics.world import motion, moving_digit, tone_digit
from mmm_data.world.columns import world_columns
from mmm_data.world.config import MIXED, SINGLE, WorldConfig, task
from mmm_data.world.dataset import World
from mmm_data.world.phrases import MOVES, MOVING, NAMED, SHOWN
from mmm_data.world.tones import HIGH, LOW, Ring, dual_tone, heard_digits

NUMBER = "|".join((*WORDS, "[0-9]"))


def world(*tasks: str, length: int = 200, **more: Any) -> World:
    return World(WorldConfig(tasks=tasks or (*SINGLE, *MIXED), length=length, **more))


def items(data: World) -> list[dict[str, Any]]:
    return [data[i] for i in range(len(data))]


def stacked(data: World, column: str) -> torch.Tensor:
    return torch.stack([item[column] for item in items(data)])


def test_what_is_given_wanted_said_and_shown_fit_each_other() -> None:
    data = world(length=400)
    for item in items(data):
        given, wanted = task(item["task"])
        request, reply = (message["content"] for message in item["chat"])
        assert [s["type"] for s in request] == ([] if given == "text" else [given]) + ["text"]
        assert [s.get("signal", "text") for s in reply] == list(wanted)
        assert item["prompt"] == item["chat"][:1]
        for medium in ("image", "audio", "video"):
            assert bool(item[f"wanted_{medium}"]) == (medium in wanted) == (item[medium] is not None)
            assert (item[f"{medium}_text"] is None) == (item[medium] is None)
        assert (item["move"] >= 0) == ("video" in wanted)
        assert (item["answer"] != "") == ("text" in wanted)
        assert "{" not in request[-1]["text"] and "?" not in request[-1]["text"][:-1]
    assert {item["task"] for item in items(data)} == {*SINGLE, *MIXED}


def texts(turns: list[dict[str, Any]]) -> list[str]:
    return [segment.get("text", segment["type"]) for turn in turns for segment in turn["content"]]


def test_requests_that_come_after_another_one() -> None:
    alone, data = world(medium="text"), world(medium="text", before=0.5)
    said_it = 0
    for i, before in enumerate(data.earlier):
        item, same = data[i], alone[i]
        assert item["prompt"] == item["chat"][:-1]
        if before is None:
            assert texts(item["chat"]) == texts(same["chat"])
            continue
        assert texts(item["chat"][:-2]) == texts(data[before]["chat"])
        if item["task"].startswith("text") and not re.search(NUMBER, texts(item["chat"][-2:-1])[0]):
            said_it += 1
            assert int(item["digit"]) == data.plans[before].digit and data.task(before) != ("text", ("text",))
            assert item["answer"] in ("", str(int(item["digit"])))
    turns = [len(data.chat(i)) // 2 for i in range(len(data))]
    assert said_it > 5 and 70 < turns.count(1) < 130 and 30 < turns.count(2) < 70 and 30 < turns.count(3) < 70
    assert max(turns) == 3


def test_answers_are_right() -> None:
    data = world("text->text", "video->text", length=60)
    for item in items(data):
        *shown, said = item["chat"][0]["content"]
        if item["task"] == "text->text":
            (named,) = (WORDS.index(w) if w in WORDS else int(w) for w in re.findall(NUMBER, said["text"]))
            assert named + 1 == int(item["answer"])
        elif item["answer"] in MOVES:
            move = torch.tensor([MOVES.index(item["answer"])])
            assert motion(shown[0]["video"][None], move, MotionConfig())["correct"].all()
        else:
            assert item["answer"] == str(int(item["digit"]))


def test_a_medium_may_be_told_in_words() -> None:
    shown, told = (
        world("image->text", "audio->text", "video->image", medium=m, length=30) for m in ("itself", "text")
    )
    for a, b in zip(items(shown), items(told), strict=True):
        first = b["chat"][0]["content"][0]
        assert [a[key] for key in ("task", "answer", "digit", "image_text")] == [
            b[key] for key in ("task", "answer", "digit", "image_text")
        ]
        assert first["type"] == "text" and WORDS[int(a["digit"])] in first["text"]
        assert first["text"].endswith(". ")


def test_every_item_may_have_every_target() -> None:
    data = world("text->audio", "image->text", every=True, length=20)
    assert stacked(data, "image").shape == (20, 1, 32, 32) and stacked(data, "audio").shape == (20, 1, 2048)
    assert motion(stacked(data, "video"), stacked(data, "move"), MotionConfig())["mean"] == 1
    columns = world_columns(data.config)
    assert columns["video"] == "Video[b,8,3,32,32]" and columns["video_text"] == "Text[b]"
    assert world_columns(WorldConfig())["audio"] == "Audio[r_audio,1,2048]{8000}?"


def test_items_follow_from_seed_and_index_alone() -> None:
    a, b, other = (world(seed=seed)[7] for seed in (3, 3, 4))
    assert str(a) == str(b) != str(other)
    with pytest.raises(IndexError):
        world()[200]


def test_no_phrasing_is_in_both_splits_and_the_words_are() -> None:
    for forms in (*NAMED.values(), *SHOWN.values(), MOVING):
        assert not {*forms["train"]} & {*forms["test"]}
    every = [form for table in (*NAMED.values(), *SHOWN.values(), MOVING) for form in table["train"]]
    known = {word for form in every for word in re.findall(r"\w+|\{\w\}", form)}
    tests = [form for table in (*NAMED.values(), *SHOWN.values(), MOVING) for form in table["test"]]
    assert {word for form in tests for word in re.findall(r"\w+|\{\w\}", form)} <= known


@pytest.mark.parametrize(
    "text", ["image", "image->", "sound->text", "text->audio+text", "text->text+text", "a->b"]
)
def test_what_is_no_task(text: str) -> None:
    with pytest.raises(ValidationError, match="is no task: write GIVEN->WANTED"):
        WorldConfig(tasks=(text,))


def test_judges_find_what_the_data_shows() -> None:
    """On scans, tones and videos that no training sees; the classifier is no part of the world."""
    data = world("text->audio+video", split="test", length=300, seed=5)
    digits, moves = stacked(data, "digit"), stacked(data, "move")
    audio, video = stacked(data, "audio"), stacked(data, "video")
    assert tone_digit(audio, digits, ToneConfig())["mean"] == 1
    assert motion(video, moves, MotionConfig())["mean"] == 1
    assert moving_digit(video, digits, DigitAccuracyConfig(size=16))["mean"] > 0.95
    given = world("audio->text", split="test", length=300, noise=(5.0, 10.0))
    heard = torch.stack([item["chat"][0]["content"][0]["audio"] for item in items(given)])
    assert tone_digit(heard, stacked(given, "digit"), ToneConfig())["mean"] > 0.99


def test_judges_refuse_what_shows_nothing() -> None:
    generator = torch.Generator().manual_seed(0)
    turns = 2 * math.pi * torch.arange(2048) / 8000
    one_tone, wrong = (LOW[0] * turns).sin(), (LOW[0] * turns).sin() + (HIGH[0] * 1.04 * turns).sin()
    sounds = torch.stack([torch.randn(2048, generator=generator) / 5, torch.zeros(2048), one_tone, wrong])
    assert heard_digits(sounds[:, None], 0.5).tolist() == [-1] * 4
    key = dual_tone(6, 2048, Ring(0.5, 2.0, (0.3, 1.0), 20.0), generator)
    assert heard_digits(key[None], 0.5).tolist() == [6] and key.abs().max() <= 1
    noise = torch.rand(3, 8, 3, 32, 32, generator=generator)
    assert (motion(noise, torch.zeros(3).long(), MotionConfig())["predicted"] == -1).all()
    still = items(world("text->image", length=2))[0]["image"].expand(1, 8, 3, -1, -1)
    assert motion(still, torch.zeros(1).long(), MotionConfig())["predicted"].tolist() == [-1]


def test_nothing_judged_is_no_error() -> None:
    none = torch.zeros(0, 1, 2048), torch.zeros(0, dtype=torch.long)
    assert tone_digit(*none, ToneConfig())["mean"] == 0


@pytest.mark.parametrize("medium", ["image", "audio", "video"])
def test_media_of_answers_are_judged(medium: Literal["image", "audio", "video"]) -> None:
    """What the data wants is right; one that is wrong, is missing, or is one too many is not."""
    data = world(f"text->{medium}", "text->text", length=40, split="test")
    wanted, digit, move = (stacked(data, name) for name in (f"wanted_{medium}", "digit", "move"))
    rows = wanted.nonzero()[:, 0]
    drawn = items(data)
    made = torch.stack([drawn[i][medium] for i in rows.tolist()])
    judge = partial(world_answer, wanted, config=WorldAnswerConfig(medium=medium))
    truth = judge(digit, move, made=made, rows=rows)
    right = truth["correct"]
    assert truth["exact"].all() and right.float().mean() > 0.95
    assert bool((judge((digit + 1) % 10, move, made=made, rows=rows)["correct"] == ~wanted).all())
    none = judge(digit, move)
    assert bool((none["correct"] == ~wanted).all() and (none["exact"] == ~wanted).all())
    twice = judge(digit, move, made=torch.cat([made, made[:1]]), rows=torch.cat([rows, rows[:1]]))
    assert bool(
        (twice["correct"] == right).all() and (twice["exact"].logical_not().nonzero() == rows[:1]).all()
    )
    stray = judge(digit, move, made=made[:1], rows=(~wanted).nonzero()[0])
    assert bool((stray["correct"] == ~wanted).all()) and int((~stray["exact"]).sum()) == len(rows) + 1


def test_texts_of_answers_are_judged() -> None:
    found = said_answer(["7", "8", "", "7", ""], ["7", "7", "7", "", ""])
    assert found["correct"].tolist() == [True, False, False, True, True]
    assert found["exact"].tolist() == [True, True, False, False, True]
    assert every([found["correct"], found["exact"]]).tolist() == [True, False, False, False, True]
