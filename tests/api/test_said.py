"""What was said, as segments: words where words stood, signals where signals stood."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from mmm_graph.api.said import said

RUNS = {"image": (7, 8), "audio": (9,)}
IMAGE, AUDIO = ({"type": "signal", "signal": kind} for kind in RUNS)


def words(ids: Sequence[int]) -> str:
    return "".join("abcdef"[i] for i in ids if i < 6)


def text(said: str) -> dict[str, str]:
    return {"type": "text", "text": said}


@pytest.mark.parametrize(
    ("ids", "segments"),
    [
        ([], []),
        ([0, 1], [text("ab")]),
        ([7, 8], [IMAGE]),
        ([0, 7, 8, 9, 1, 6], [text("a"), IMAGE, AUDIO, text("b")]),
        ([7, 8, 7, 8], [IMAGE, IMAGE]),
        ([7, 0, 8, 8, 7], [text("a")]),  # parts, and the wrong order
        ([7, 7, 8], [IMAGE]),
    ],
)
def test_signals_stay_where_they_stood(ids: list[int], segments: list[Any]) -> None:
    assert said(ids, RUNS, words) == segments
