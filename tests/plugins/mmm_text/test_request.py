"""Requests in pieces become conversations: media before the text, one of each for every request."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from mmm_graph.errors import InputError
from mmm_text.request import request


def kinds(content: list[dict[str, Any]]) -> list[str]:
    return [segment["type"] for segment in content]


def test_what_is_given_is_one_message_of_the_user() -> None:
    image, audio, video = torch.rand(2, 1, 4, 5), torch.rand(2, 1, 7), torch.rand(2, 3, 3, 4, 5)
    first, second = request(["dial it", "draw it"], image, audio, video)
    assert [m["role"] for m in second] == ["user"]
    assert kinds(second[0]["content"]) == ["image", "audio", "video", "text"]
    shown, heard, seen, said = second[0]["content"]
    assert shown["image"].shape == (3, 4, 5) and torch.equal(shown["image"][2], image[1, 0])
    assert torch.equal(heard["audio"], audio[1]) and torch.equal(seen["video"], video[1])
    assert said["text"] == "draw it" and first[0]["content"][3]["text"] == "dial it"


def test_media_alone_and_after_what_was_said_before() -> None:
    ((message,),) = request(audio=torch.zeros(1, 1, 3))
    assert kinds(message["content"]) == ["audio"]
    before = [[{"role": "user", "content": []}, {"role": "assistant", "content": []}]]
    (chat,) = request(["and now?"], chat=before)
    assert [m["role"] for m in chat] == ["user", "assistant", "user"] and len(before[0]) == 2
    assert request(chat=before[:1]) == before


WAITS = [[{"role": "user", "content": []}]]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "nothing is asked"),
        ({"prompt": ["a", "b"], "image": torch.zeros(3, 3, 2, 2)}, "3 of image, 2 of text"),
        ({"prompt": ["a"], "chat": WAITS}, "conversation 0 ends with a message of the user"),
    ],
)
def test_what_is_no_request(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        request(**given)
    assert "E751" in str(caught.value)
