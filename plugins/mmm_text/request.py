"""A request in pieces (words, a picture, a sound, a video, what was said before) -> conversations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from mmm_graph.errors import InputError, problem
from mmm_graph.nn.media import as_rgb
from mmm_graph.spec.chat import Conversation, Segment


def request(
    prompt: Sequence[str] | None = None,
    image: Tensor | None = None,
    audio: Tensor | None = None,
    video: Tensor | None = None,
    chat: Sequence[Conversation] | None = None,
) -> list[Conversation]:
    """Conversations that end with a message of the user: its media, then its text.

    Args:
        prompt: b texts. image: [b,c,h,w] of 1, 3 or 4 channels. audio: [b,c,n]. video: [b,f,3,y,x].
        chat: b conversations that go before; alone they are the requests.

    Raises:
        InputError: E751, there is nothing of all these, they differ in number, or a conversation waits for an answer
            already.
    """
    pieces = {"image": image, "audio": audio, "video": video, "text": prompt}
    given = {name: value for name, value in pieces.items() if value is not None}
    sizes = {name: len(value) for name, value in {**given, "chat": chat}.items() if value is not None}
    if not sizes:
        hint = 'give --set prompt="...", or --set chat=...; a picture alone is a request too'
        raise InputError(problem("E751", "nothing is asked: neither words nor media are given", hint=hint))
    if len(set(sizes.values())) > 1:
        said = ", ".join(f"{count} of {name}" for name, count in sizes.items())
        hint = "one of each for every request; requests that differ in their media are a list of chats"
        raise InputError(problem("E751", f"what is given differs in number: {said}", hint=hint))
    found = [list(each) for each in chat] if chat is not None else [[] for _ in range(max(sizes.values()))]
    if given:
        for i, each in enumerate(found):
            _check_turn(each, i)
            each.append({"role": "user", "content": [_segment(name, given, i) for name in given]})
    return found


def _segment(name: str, given: Mapping[str, Any], i: int) -> Segment:
    value = given[name][i]
    return {"type": name, name: as_rgb(value) if name == "image" else value}


def _check_turn(chat: Conversation, i: int) -> None:
    if chat and chat[-1]["role"] == "user":
        what = f"conversation {i} ends with a message of the user, and prompt or media are given beside it"
        raise InputError(problem("E751", what, hint="put them into that message, or leave them out"))
