"""Canvases: what stands where, what their captions say, what is asked about them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from mmm_data.canvas.captions import FORMS, JOINTS, PLACES, describe
from mmm_data.canvas.config import CanvasConfig, Kind, QuestionsConfig
from mmm_data.canvas.dataset import Canvases, Questions
from mmm_data.canvas.questions import PHRASINGS, ask
from mmm_data.digits.captions import TEMPLATES, WORDS
from mmm_data.digits.config import DigitSplit
from mmm_data.digits.dataset import enlarge, load_split

pytest.importorskip("sklearn")

NAMES = {name: place for place, names in enumerate(PLACES) for name in names}
NUMBERS = {name: digit for digit, word in enumerate(WORDS) for name in (word, str(digit))}


def read(text: str) -> dict[int, int]:
    """What a caption says stands where, by its words alone."""
    found = {}
    for piece in text.replace(JOINTS[1], JOINTS[0]).split(JOINTS[0]):
        place = next(p for name, p in NAMES.items() if name in piece)
        found[place] = next(NUMBERS[word] for word in piece.split() if word in NUMBERS)
    return found


def test_a_canvas_holds_the_scans_of_its_layout_and_nothing_else() -> None:
    config = CanvasConfig(split="test", length=60, size=40, seed=3)
    data, scans = Canvases(config), load_split(config, "test")
    tiles = (enlarge(scans.pixels, DigitSplit(size=20)) * 255).round()[:, 0]
    for i in range(len(data)):
        wanted = torch.zeros(40, 40)
        for place in range(4):
            scan, (y, x) = int(data.layout.scan[i, place]), data.layout.corner[i, place].tolist()
            if scan >= 0:
                wanted[y : y + 20, x : x + 20] = tiles[scan]
                assert data.layout.free[i] or (y, x) == (20 * (place // 2), 20 * (place % 2))
        assert torch.equal(data.images[i].float(), wanted)
        assert int(data.layout.scan[i].max()) >= 0 and i % 359 in data.layout.scan[i]


def test_captions_say_what_the_labels_say_and_equal_ids_mean_the_same() -> None:
    data = Canvases(CanvasConfig(split="test", length=400, counts=(1, 1, 2, 4)))
    meanings: dict[int, object] = {}
    for i in range(len(data)):
        item: dict[str, Any] = data[i]
        digits, free = data.places(i), bool(data.layout.free[i])
        label = int(item["label"])
        assert int(item["count"]) == len(digits) in (1, 2, 4)
        assert label == digits[min(digits)]
        if free:
            assert item["text"] in {t.format(n) for t in TEMPLATES for n in (WORDS[label], str(label))}
        else:
            assert read(item["text"]) == digits
        said = label if free else tuple(digits.items())
        assert meanings.setdefault(int(item["id"]), said) == said
    assert len(set(meanings.values())) == len(meanings)


def test_an_item_depends_on_seed_and_index_alone() -> None:
    config = CanvasConfig(split="test", length=50, shift=0.4, rotate=8, zoom=0.08)
    data, longer = Canvases(config), Canvases(config.model_copy(update={"length": 80}))
    assert torch.equal(data.images, longer.images[:50])
    assert [data[i]["text"] for i in range(50)] == [longer[i]["text"] for i in range(50)]
    other = Canvases(config.model_copy(update={"seed": 1}))
    assert not torch.equal(data.images, other.images)


def test_every_form_of_a_caption_is_used() -> None:
    units = [(f, j, n, w) for f in range(len(FORMS)) for j in (0, 0.5) for n in (0, 0.5) for w in (0, 0.5)]
    found = {describe({0: 5, 3: 2}, (f / len(FORMS), *rest)) for f, *rest in units}
    assert len(found) == 32
    assert "a five at the top left and a two at the bottom right" in found
    assert all(read(text) == {0: 5, 3: 2} for text in found)


@pytest.mark.parametrize(
    ("kind", "units", "question", "answer"),
    [
        ("place", (0, 0, 0.5, 0, 0), "which digit is at the bottom left?", "2"),
        ("place", (0, 0.9, 0, 0.5, 0), "which digit is at the upper right?", "none"),
        ("count", (0, 0, 0, 0, 0), "how many digits are there?", "3"),
        ("sum", (0, 0, 0, 0, 0), "what is the sum?", "16"),
        ("exists", (0, 0, 0.9, 0, 0.5), "is there a 7?", "yes"),
        ("exists", (0, 0.9, 0, 0, 0), "is there a zero?", "no"),
    ],
    ids=["place", "nobody there", "count", "sum", "exists", "exists not"],
)
def test_answers_are_right(kind: Kind, units: tuple[float, ...], question: str, answer: str) -> None:
    assert ask(kind, "train", {0: 7, 3: 7, 2: 2}, units) == (question, answer)


def test_where_every_place_is_taken_a_taken_one_is_asked_for() -> None:
    full: Mapping[int, int] = {0: 1, 1: 2, 2: 3, 3: 4}
    assert ask("place", "train", full, (0, 0.95, 0, 0, 0)) == ("which digit is at the top left?", "1")


def test_no_phrasing_is_in_both_splits_and_no_word_of_the_test_is_new() -> None:
    sides = {s: [f for forms in PHRASINGS.values() for f in forms[s]] for s in ("train", "test")}
    assert not set(sides["train"]) & set(sides["test"])
    words = {s: {w for form in forms for w in form.rstrip("?").split()} for s, forms in sides.items()}
    assert words["test"] <= words["train"]


def test_conversations_show_the_image_or_say_what_is_on_it() -> None:
    config = QuestionsConfig(split="test", length=200, phrasing="test")
    shown, told = Questions(config), Questions(config.model_copy(update={"medium": "text"}))
    answers = set()
    for i in range(200):
        item: dict[str, Any] = shown[i]
        asked, answered = item["chat"]
        assert [m["role"] for m in item["chat"]] == ["user", "assistant"]
        assert item["prompt"][0] is asked and len(item["prompt"]) == 1
        assert asked["content"][0]["image"] is item["image"]
        assert asked["content"][1]["text"] == item["question"] and answered["content"] == item["answer"]
        said: Any = told[i]["chat"]
        assert said[0]["content"][0]["text"] == f"{item['description']}. " and said[1] == answered
        assert read(item["description"]) == shown.canvases.places(i)
        answers.add(item["answer"])
    assert {"yes", "no", "none"} < answers


def test_a_conversation_of_several_turns_begins_as_one_of_one_turn_and_shows_the_canvas_once() -> None:
    config = QuestionsConfig(split="test", length=40, medium="text")
    one, many = Questions(config), Questions(config.model_copy(update={"turns": 3}))
    asked = set()
    for i in range(40):
        short, long = one[i], many[i]
        chat: Any = long["chat"]
        assert chat[:2] == short["chat"] and long["prompt"] == short["prompt"]
        assert [m["role"] for m in chat] == ["user", "assistant"] * 3
        assert [len(m["content"]) for m in chat[::2]] == [2, 1, 1]
        asked.add(tuple(m["content"][-1]["text"] for m in chat[::2]))
    assert len(asked) == 40 and all(len(set(questions)) > 1 for questions in asked)


def test_an_odd_size_is_refused() -> None:
    with pytest.raises(ValidationError, match="31 is odd"):
        CanvasConfig(size=31)
