"""What users call values."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mmm_graph.errors import InputError
from mmm_graph.graph.graph import Ref
from mmm_graph.runtime.names import find_value
from tests.runtime.toys import toy_graph

GRAPH = replace(toy_graph(), aliases={"words.embeds": Ref("cond", "embeds")})


@pytest.mark.parametrize(
    ("name", "ref"),
    [
        ("image", Ref("image", "image")),
        ("words.embeds", Ref("cond", "embeds")),
        ("words", Ref("cond", "embeds")),
        ("start", Ref("start", "state")),
        ("start.t", Ref("start", "t")),
        ("denoise.x", Ref("denoise", "x")),
        ("$in.prompt", Ref("$in", "prompt")),
    ],
)
def test_known(name: str, ref: Ref) -> None:
    assert find_value(GRAPH, name) == ref


@pytest.mark.parametrize(
    ("name", "hint"), [("imgae", "image"), ("start.stat", "start.state"), ("word.embeds", "words.embeds")]
)
def test_unknown(name: str, hint: str) -> None:
    with pytest.raises(InputError) as caught:
        find_value(GRAPH, name)
    assert caught.value.problems[0].code == "E308" and hint in caught.value.problems[0].hint


def test_inside_a_loop() -> None:
    with pytest.raises(InputError) as caught:
        find_value(GRAPH, "denoise/step.x0")
    assert (
        caught.value.problems[0].code == "E309"
        and "`out:` or `collect:` of denoise" in caught.value.problems[0].hint
    )
