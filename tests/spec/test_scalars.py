"""Plain scalars are read by the rules of YAML 1.2 core, whatever they look like."""

from __future__ import annotations

import math

import pytest

from mmm_graph.spec.scalars import describe, read_scalar, shorten


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("30", 30), ("-7", -7), ("+7", 7), ("007", 7), ("0x1F", 31), ("0o17", 15), ("0", 0), ("-0", 0),
        ("1e-3", 0.001), ("1E3", 1000.0), ("1.", 1.0), (".5", 0.5), ("-1.5e+2", -150.0), ("6.02e23", 6.02e23),
        ("true", True), ("True", True), ("false", False), ("FALSE", False),
        ("null", None), ("~", None), ("", None), ("NULL", None),
        ("18446744073709551615", 2**64 - 1), ("-9223372036854775808", -(2**63)),
    ],
)  # fmt: skip
def test_numbers_booleans_and_null(text, value):
    read = read_scalar(text)
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(
    "text",
    ["on", "off", "yes", "no", "y", "n", "12:30", "12:30:45", "1_000", "0b11", "1e", "e3", ".", "-", "0x", "0o8",
        "tRue",
     "2020-01-01", "=", "nan", "inf", "--1", "1.2.3", "+", "٣"],
)  # fmt: skip
def test_what_looks_like_a_number_elsewhere_is_text(text):
    assert read_scalar(text) == text


@pytest.mark.parametrize(
    "text", [".inf", "-.INF", "+.Inf", ".nan", ".NaN", "1e999", "-1e999", "9" * 10_000,
        "0x" + "f" * 50, str(2**64), str(-(2**63) - 1)]
)  # fmt: skip
def test_what_does_not_fit_is_refused(text):
    with pytest.raises(ValueError, match=r"finite|too large|64 bits"):
        read_scalar(text)


def test_many_leading_zeros_are_no_problem():
    assert read_scalar("0" * 10_000 + "1") == 1


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "nothing"), (True, "true"), (3, "3"), (1.5, "1.5"), ("a", "'a'"), ([], "a list"), ((), "a list"),
        ({}, "a mapping"), (object(), "a object"), (math.inf, "a huge number"), (10**400, "a huge number"),
    ],
)  # fmt: skip
def test_describe(value, text):
    assert describe(value) == text


def test_long_text_is_shortened():
    assert shorten("a" * 100, 10) == "aaaaaaa..."
    assert len(describe("a" * 10_000)) < 100
