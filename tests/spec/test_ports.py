"""The grammar of port types."""

from __future__ import annotations

import time
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmm_graph.spec.ports import KINDS, Dim, PortType, cond, parse_dim, parse_port


@pytest.mark.parametrize(
    "text",
    ["Image[b,3,h,w]", "Latents[b,4,h/8,w/8]{sd15}?", "Image*[m,3,h,w]", "Text[b]", "Cond", "Any?",
        "Audio[r,1,n]{16000}?", "Audio[b,1,n]{$rate}",
     "Embeds[b,2*t,$width]", "Scalar[]", "Embeds[b,h*w/64]"],
)  # fmt: skip
def test_text_and_back(text):
    assert str(parse_port(str(parse_port(text)))) == str(parse_port(text))
    assert str(parse_port(text)) == text


def test_the_parts_of_a_type():
    port = parse_port(" Latents [ b , 4, h/8 ] {sd15} ? ")
    assert port == PortType(
        "Latents", (Dim(over=("b",)), Dim(Fraction(4)), Dim(Fraction(1, 8), ("h",))), "sd15", True
    )
    assert [d.size for d in port.dims] == [None, 4, None]
    assert parse_port(port) is port
    assert parse_port("Cond").dims is None
    assert parse_port("Scalar[]").dims == ()
    assert parse_port("Image*[m,3,h,w]").many


@pytest.mark.parametrize(
    ("text", "dim", "shown"),
    [
        ("64", Dim(Fraction(64)), "64"),
        ("h/8", Dim(Fraction(1, 8), ("h",)), "h/8"),
        ("2*t", Dim(Fraction(2), ("t",)), "2*t"),
        ("$width", Dim(over=("$width",)), "$width"),
        ("h/$patch", Dim(over=("h",), under=("$patch",)), "h/$patch"),
        ("4/8", Dim(Fraction(1, 2)), "1/2"),
        ("1/h", Dim(under=("h",)), "1/h"),
        ("6*h*w/4", Dim(Fraction(3, 2), ("h", "w")), "3*h*w/2"),
    ],
)
def test_dims(text, dim, shown):
    assert parse_dim(text) == dim
    assert str(dim) == shown
    assert parse_dim(shown) == dim


@pytest.mark.parametrize(
    "text", ["", "-1", "h+1", "h/0", "*", "h*", "h//8", "h-w", "9" * 13, "h w", "(h)", "1.5", "$"]
)
def test_bad_dims(text):
    with pytest.raises(ValueError, match=r"cannot read the dim|out of range"):
        parse_dim(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [("image", "cannot read the port type"), ("Image[b", "cannot read the port type"),
    ("Imge[b]", "unknown kind 'Imge'"),
     ("Image[b]]", "cannot read the port type"), ("", "cannot read the port type"),
     ("Image{a b}", "cannot read the port type"),
     ("Image[" + "b*" * 10_000 + "b]", "at most 200 characters")],
)  # fmt: skip
def test_bad_types(text, message):
    with pytest.raises(ValueError, match=message):
        parse_port(text)


def test_plugins_may_add_kinds():
    assert parse_port("Mesh[b]", KINDS | {"Mesh"}).kind == "Mesh"


def test_cond_is_a_record():
    port = cond(optional=True, embeds="Embeds[b,t,768]", mask="Mask[b,t]?")
    assert str(port) == "Cond{embeds: Embeds[b,t,768], mask: Mask[b,t]?}?"
    assert port.fields["mask"].optional
    hash(port)
    with pytest.raises(ValueError, match="no field 'text'"):
        cond(text="Text[b]")


def test_long_types_are_refused_fast():
    started = time.perf_counter()
    with pytest.raises(ValueError, match="at most"):
        parse_port("Image[" + "h*" * 2_000_000 + "]")
    assert time.perf_counter() - started < 0.1


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="Imagebhw[]{},*/?$. 0123", max_size=30))
def test_any_text_is_a_type_or_a_value_error(text):
    try:
        port = parse_port(text)
    except ValueError:
        return
    assert parse_port(str(port)) == port
