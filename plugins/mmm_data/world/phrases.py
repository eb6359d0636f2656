"""What is asked for in the digit world, in words; plain Python."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from mmm_data.digits.captions import WORDS
from mmm_data.digits.config import Split

Medium = Literal["text", "image", "audio", "video"]
Forms = Mapping[Split, Sequence[str]]
MOVES = ("left", "right", "up", "down")
NAMED: Mapping[Medium, Forms] = {
    "text": {
        "train": (
            "what comes after {n}?", "which digit comes after {n}?", "what is the digit after {n}?",
            "what follows {n}?", "name the digit that follows {n}", "name what comes after {n}",
        ),
        "test": ("which digit follows {n}?", "name the digit after {n}", "what digit comes after {n}?"),
    },
    "image": {
        "train": (
            "draw a {n}", "draw the digit {n}", "show me a picture of a {n}", "make an image of {n}",
            "write a {n} by hand", "i want to see a {n}",
        ),
        "test": ("draw {n}", "make a picture of the digit {n}", "show me an image of a {n}"),
    },
    "audio": {
        "train": (
            "dial {n}", "dial the digit {n}", "press {n} on the phone", "make the tone of {n}", "how does {n} sound?",
            "play the key {n}",
        ),
        "test": ("dial a {n}", "play the tone of {n}", "press the key {n}"),
    },
    "video": {
        "train": (
            "show a {n} moving {d}", "make a video of a {n} that moves {d}", "film the digit {n} moving {d}",
            "let a {n} move {d}", "show me the digit {n} as it moves {d}", "i want to see a {n} moving {d}",
        ),
        "test": (
            "make a video of the digit {n} moving {d}", "show me a {n} that moves {d}", "let the digit {n} move {d}",
        ),
    },
}  # fmt: skip
"""Of a digit that is named."""
SHOWN: Mapping[Medium, Forms] = {
    "text": {
        "train": (
            "what digit is this?", "which digit is it?", "name the digit", "what is this?", "tell me the digit",
            "which number is this?",
        ),
        "test": ("which digit is this?", "tell me which digit it is", "name this digit", "what number is it?"),
    },
    "image": {
        "train": (
            "draw it", "draw this digit", "show me a picture of it", "make an image of this", "write it by hand",
            "i want to see it",
        ),
        "test": ("draw this", "make a picture of it", "show me an image of this digit"),
    },
    "audio": {
        "train": (
            "dial it", "dial this digit", "press it on the phone", "make its tone", "how does it sound?",
            "play its key",
        ),
        "test": ("dial this", "play its tone", "press its key"),
    },
    "video": {
        "train": (
            "show it moving {d}", "make a video of it moving {d}", "film it as it moves {d}", "let it move {d}",
            "show me this digit as it moves {d}", "let this digit move {d}",
        ),
        "test": ("make a video of it as it moves {d}", "show this digit moving {d}", "film it moving {d}"),
    },
}  # fmt: skip
"""Of a digit that a medium shows, or that the request has named before."""
MOVING: Forms = {
    "train": (
        "which way does it move?", "where does the digit move?", "what way is it moving?", "where does it go?",
        "tell me which way it moves", "which way does this go?",
    ),
    "test": ("which way does the digit go?", "where is it moving?", "tell me where it moves"),
}  # fmt: skip
"""Asks for the direction, of a digit in a video."""
JOINT = " and "


def phrase(form_of: Forms, split: Split, unit: float, *, digit: str = "", move: str = "") -> str:
    """One of the forms.

    Args:
        unit: a number in [0, 1), which chooses.
    """
    forms = form_of[split]
    return forms[int(unit * len(forms))].format(n=digit, d=move)


def captions(digit: int, move: str) -> dict[Medium, str]:
    """What a text says that shows the same as a medium."""
    word = WORDS[digit]
    return {
        "image": f"a handwritten {word}",
        "audio": f"the tone of {word}",
        "video": f"a {word} moving {move}",
    }


def world_texts() -> Iterator[str]:
    """Texts that hold every word of requests, answers and captions."""
    for forms in (*NAMED.values(), *SHOWN.values(), MOVING):
        for split in forms.values():
            yield from (form.format(n="0", d="left") for form in split)
    yield from (*MOVES, *WORDS, *map(str, range(10)), JOINT)
    for digit in range(10):
        yield from captions(digit, "left").values()
