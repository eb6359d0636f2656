"""Conversations in the format of LLaVA."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from mmm_data.files.config import ConversationsConfig
from mmm_data.files.conversations import Conversations, messages

HUMAN = {"from": "human", "value": "<image>\nWhat is it?"}
GPT = {"from": "gpt", "value": "A dot."}


def data(folder: Path, *rows: dict[str, Any], name: str = "chats.json", **config: Any) -> Conversations:
    text = json.dumps(rows) if name.endswith(".json") else "\n".join(map(json.dumps, rows))
    (folder / name).write_text(text)
    Image.new("RGB", (8, 4)).save(folder / "dot.png")
    return Conversations(ConversationsConfig(path=str(folder / name), **config))


@pytest.mark.parametrize("name", ["chats.json", "chats.jsonl"])
def test_pictures_stand_where_their_place_is(tmp_path: Path, name: str) -> None:
    rows = [{"id": "x7", "image": "dot.png", "conversations": [HUMAN, GPT]}, {"conversations": [GPT]}]
    found = data(tmp_path, *rows, name=name, image_size=4)
    row = found[0]
    assert (row["id"], row["media"], found[1]["media"], found[1]["id"]) == ("x7", 1, 0, "1")
    chat = row["chat"]
    assert isinstance(chat, list)
    assert [m["role"] for m in chat] == ["user", "assistant"]
    image, text = chat[0]["content"]
    assert image["image"].shape == (3, 2, 4)
    assert text == {"type": "text", "text": "What is it?"}
    assert (found.size(0, "media"), found.size(1, "chat"), found.size(0, "id")) == (1, 6, None)


def test_pictures_without_a_place_come_before_the_first_question() -> None:
    turns = [{"from": "system", "value": "Be brief."}, {"from": "human", "value": "And <image>?"}, GPT]
    found = messages({"conversations": turns}, ["a.png", "b.png"])
    said = [s.get("image", s.get("text")) for s in found[1]["content"]]
    assert said == ["a.png", "And ", "b.png", "?"]
    assert found[0] == {"role": "system", "content": [{"type": "text", "text": "Be brief."}]}


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"conversations": [HUMAN, GPT]}, r"1 times <image>, and 0 pictures"),
        ({"conversations": [{"from": "robot", "value": "x"}]}, r"'robot' speaks; expected human"),
        ({"text": "x"}, r"no `conversations`"),
        ({"image": "no.png", "conversations": [HUMAN, GPT]}, r"no such file: no.png"),
    ],
    ids=["places", "speaker", "nothing", "file"],
)
def test_what_is_not_a_conversation_says_why(tmp_path: Path, row: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        data(tmp_path, row)[0]


def test_a_line_that_is_not_json_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text('{"conversations": []}\n{"conv\n')
    with pytest.raises(ValueError, match=r"x\.jsonl, line 2 is not JSON"):
        Conversations(ConversationsConfig(path=str(tmp_path / "x.jsonl")))
