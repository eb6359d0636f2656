"""Conversations as people write them, for transformers or by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mmm_graph.spec import load_spec
from mmm_graph.spec.chat import read_chat_text, read_chats, relative_to

HI = {"role": "user", "content": [{"type": "text", "text": "hi"}]}
CAT = {"type": "image", "image": "cat.png"}
ASK = {"type": "signal", "signal": "video"}


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ("hi", [[HI]]),
        (["hi", "hi"], [[HI], [HI]]),
        ({"role": "user", "content": "hi"}, [[HI]]),
        ({"role": "user", "content": [ASK]}, [[{"role": "user", "content": [ASK]}]]),
        ([{"role": "user", "content": "hi"}, {"role": "assistant", "content": ""}], None),
        ([[HI], "hi"], [[HI], [HI]]),
        (((HI,),), [[HI]]),
        ([{"role": "user", "content": [{"type": "image", "path": "cat.png"}]}], [[{"role": "user", "content": [CAT]}]]),
    ],
)  # fmt: skip
def test_what_a_chat_may_be(value: Any, wanted: Any) -> None:
    found = read_chats(value)
    assert wanted is None or found == wanted
    assert read_chats(found) == found


def test_media_are_loaded_and_errors_say_where() -> None:
    chat = [["hi"], [HI, {"role": "user", "content": [{"type": "text", "text": ""}, CAT]}]]
    assert read_chats(chat[1:], {"image": str.upper})[0][1]["content"][1]["image"] == "CAT.PNG"

    def fail(value: str) -> None:
        raise FileNotFoundError(value)

    with pytest.raises(
        ValueError, match=r"conversation 1, message 1, segment 1: there is no such file: cat.png"
    ):
        read_chats(["hi", chat[1]], {"image": fail})


def segment(**keys: Any) -> list[Any]:
    return [{"role": "user", "content": [keys]}]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "not nothing"),
        (3, "a list of messages, or a list of conversations, not of type int"),
        ([], "there is no conversation"),
        ([[]], "conversation 0 has no messages"),
        (["a", {"role": "user", "content": "x"}], "conversation 1 is of type dict among others"),
        ([["a"]], r"conversation 0, message 0 is of type str; it should be \{"),
        ([{"content": "x"}], "conversation 0, message 0 has no 'role'"),
        ([{"role": "user"}], "message 0 has no 'content'"),
        ([{"role": "bot", "content": ""}], "has the role 'bot'; roles are system, user, assistant"),
        ([{"role": ["user"], "content": ""}], "has the role"),
        ([{"role": "user", "content": "", "contant": 1}], "unknown key 'contant'; did you mean content"),
        ([{"role": "user", "content": None}], "the content of conversation 0, message 0 is nothing"),
        ([{"role": "user", "content": ["x"]}], 'segment 0 should be {"type": "text"'),
        (segment(text="x"), 'segment 0 should be {"type": "text"'),
        (segment(type="text"), "segment 0 has no 'text'"),
        (segment(type="text", text=3), "the text of conversation 0, message 0, segment 0 is of type int"),
        (
            segment(type="image_url", image_url={}),
            "is of the type 'image_url'; types are text, image, audio, video, signal",
        ),
        (segment(type="image"), "segment 0 has no 'image'"),
        (segment(type="signal"), "segment 0 has no 'signal'"),
        (
            segment(type="signal", signal="text"),
            "segment 0 is a signal for 'text'; signals are for image, audio",
        ),
        (segment(type="image", url="https://x"), "names a URL; nothing is downloaded"),
        (segment(type="image", image="x", path="y"), "unknown key 'path'"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_chats(value)


def test_texts_json_and_files_from_the_command_line(tmp_path: Path) -> None:
    chat = [{"role": "user", "content": [CAT, {"type": "video", "video": ["a.png", "b.png"]}]}]
    file = tmp_path / "chat.json"
    file.write_text(json.dumps([chat, "hi"]))

    def given(text: str) -> Any:
        return load_spec('mmm: 1\ninputs: {chat: "Chat[b]"}\n', sets={"chat": text}).given["chat"]

    assert given("Hello [sic") == "Hello [sic"
    assert given(json.dumps(chat)) == chat
    assert given('["3", "no"]') == ["3", "no"]
    (first, second) = given(f"@{file}")
    pictures = [str(tmp_path / name) for name in ("cat.png", "a.png", "b.png")]
    assert (first[0]["content"][0]["image"], *first[0]["content"][1]["video"]) == tuple(pictures)
    assert second == "hi"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[not json]", r"it is not JSON .*; a conversation is a list of messages such as \["),
        ("@nowhere.json", "nowhere.json cannot be read(.|\n)*begins with @ is written"),
        ("[" * 99_999 + "]", "is not JSON"),
    ],
)
def test_what_cannot_be_read_is_an_error(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_chat_text(text)


def test_only_files_are_made_relative(tmp_path: Path) -> None:
    text = {"type": "text", "text": "cat.png"}
    pixels = {"type": "image", "image": [[0.0]]}
    chat = ["cat.png", [{"role": "user", "content": [text, pixels, {"type": "image", "path": "cat.png"}]}]]
    got = relative_to(chat, tmp_path)
    assert got[0] == "cat.png"
    assert got[1][0]["content"] == [text, pixels, {"type": "image", "path": str(tmp_path / "cat.png")}]
