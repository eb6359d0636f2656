"""Names, links and short forms."""

from __future__ import annotations

from typing import Annotated

import pytest
from pydantic import TypeAdapter, ValidationError

from mmm_graph.spec.base import Count, DottedName, InLink, Items, Link, Name, When, param_name, short_form


def accepts(kind, value):
    try:
        TypeAdapter(kind).validate_python(value, strict=True)
    except ValidationError:
        return False
    return True


@pytest.mark.parametrize("name", ["a", "_x", "unet2", "toImage", "params_", "inner"])
def test_names(name):
    assert accepts(Name, name)
    assert accepts(DottedName, f"sd.{name}")


@pytest.mark.parametrize(
    "name", ["", "A", "2a", "a-b", "a.b", "a b", "in", "data", "carry", "each", "params", "é", "a\n"]
)
def test_bad_names(name):
    assert not accepts(Name, name)


@pytest.mark.parametrize("name", ["", ".", "a.", ".a", "a..b", "a.in", "A.b"])
def test_bad_dotted_names(name):
    assert not accepts(DottedName, name)


@pytest.mark.parametrize(
    "link", ["node", "node.port", "$in.x", "$in", "$data.laion.image", "$carry.x", "$each.i", "cond/enc.embeds",
        "a.b.c", "z.0"]
)  # fmt: skip
def test_links(link):
    assert accepts(Link, link)
    assert accepts(InLink, link)
    assert accepts(InLink, [link, link])
    assert accepts(InLink, {"embeds": link})


@pytest.mark.parametrize(
    "link", ["", "a b", "$params.x", "$out.x", "3", "a..b", "/a", "a/", "in*", "$", "A.b", 3, None, 1.5, True]
)
def test_bad_links(link):
    assert not accepts(Link, link)
    assert not accepts(InLink, link)
    assert not accepts(InLink, [link])
    assert not accepts(InLink, {"embeds": link})


def test_when_is_a_link_or_a_param():
    assert accepts(When, "ask.flag")
    assert accepts(When, "$params.upscale")
    assert not accepts(When, True)


def test_counts():
    assert accepts(Count, 3)
    assert accepts(Count, "$params.steps")
    assert not any(accepts(Count, x) for x in (0, -1, 1.0, True, None, "3", "$in.n", []))


def test_param_name():
    assert param_name("$params.sd.steps") == "sd.steps"
    assert [
        param_name(x) for x in ("$params", "$params.", "$params.a b", "x $params.a", "$in.a", 3, None)
    ] == [None] * 7


def test_items_and_short_forms():
    assert TypeAdapter(Items[int]).validate_python([1, 2], strict=True) == (1, 2)
    kind = Annotated[dict[str, int], short_form("size", int)]
    assert TypeAdapter(kind).validate_python(3, strict=True) == {"size": 3}
    assert TypeAdapter(kind).json_schema()["anyOf"][0] == {"type": "integer"}
