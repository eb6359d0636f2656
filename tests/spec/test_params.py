"""Typed params: what each type takes, from Python and from the command line, and where values go."""

from __future__ import annotations

import pytest
from pydantic import SecretStr, ValidationError

from mmm_graph.errors import InputError, Place
from mmm_graph.spec.params import ParamSpec, check_value, parse_literal, read_value, substitute


def param(**keys):
    return ParamSpec.model_validate(keys)


GOOD = [
    ({"type": "int"}, 3, 3), ({"type": "int"}, 3.0, 3), ({"type": "int", "min": 1, "max": 3}, 3, 3),
    ({"type": "float"}, 3, 3.0), ({"type": "float", "multiple_of": 0.1}, 0.3, 0.3), ({"type": "bool"}, False, False),
    ({"type": "str"}, "", ""), ({"type": "enum", "choices": ["a", 1, True]}, 1, 1),
    ({"type": "list"}, (1, [2]), [1, [2]]), ({"type": "list", "min": 1, "max": 2}, ["a"], ["a"]),
    ({"type": "kind", "role": "sampler"}, "sampler.ddim", "sampler.ddim"), ({"type": "kind"}, "a.b.c", "a.b.c"),
    ({"type": "path"}, "file:x", "file:x"), ({"type": "seed"}, 2**64 - 1, 2**64 - 1),
    ({"type": "seed"}, [1, 2], [1, 2]),
]  # fmt: skip


@pytest.mark.parametrize(("keys", "value", "checked"), GOOD)
def test_values_that_fit(keys, value, checked):
    result = check_value(param(**keys), value)
    assert result == checked
    assert type(result) is type(checked)


BAD = [
    ({"type": "int"}, "3", "expects an integer, got '3'"), ({"type": "int"}, True, "expects an integer, got true"),
    ({"type": "int"}, 1.5, "expects an integer, got 1.5"),
    ({"type": "int"}, float("inf"), "expects an integer, got a huge"),
    ({"type": "int"}, 1e200, "expects an integer of 64 bits, got"),
    ({"type": "int"}, 10**400, "expects an integer of 64 bits"),
    ({"type": "int"}, None, "expects an integer, got nothing"),
    ({"type": "int", "min": 1}, 0, "expects at least 1, got 0"),
    ({"type": "float", "max": 1}, 2, "expects at most 1, got 2.0"),
    ({"type": "float"}, float("nan"), "expects a finite number"),
    ({"type": "float"}, 10**400, "expects a finite number, got a huge number"),
    ({"type": "float"}, False, "expects a number, got false"), ({"type": "bool"}, 1, "expects true or false, got 1"),
    ({"type": "str"}, 3, "expects text, got 3"),
    ({"type": "enum", "choices": ["a", 1]}, True, "expects one of 'a', 1, got true"),
    ({"type": "list"}, "a", "expects a list, got 'a'"),
    ({"type": "list", "min": 1}, [], "expects at least 1 items, got a list"),
    ({"type": "int", "multiple_of": 8}, 9, "expects a multiple of 8, got 9"),
    ({"type": "kind"}, "ddim", "expects a kind such as role.name, got 'ddim'"),
    ({"type": "kind", "role": "sampler"}, "guidance.cfg", "expects a kind of role sampler, got 'guidance.cfg'"),
    ({"type": "path"}, "", "expects a path, got ''"), ({"type": "seed"}, -1, "expects a seed from 0"),
    ({"type": "seed"}, [], "expects a seed"),
    ({"type": "seed"}, [1, "a"], "expects a seed from 0 to 2^64 - 1, or a list of seeds, got 'a'"),
]  # fmt: skip


@pytest.mark.parametrize(("keys", "value", "message"), BAD)
def test_values_that_do_not_fit(keys, value, message):
    with pytest.raises(ValueError) as found:
        check_value(param(**keys), value)
    assert str(found.value).startswith(message)


@pytest.mark.parametrize(
    ("keys", "text", "value"),
    [
        ({"type": "int"}, " 30 ", 30), ({"type": "int"}, "1e3", 1000), ({"type": "float"}, "1e-3", 0.001),
        ({"type": "bool"}, "true", True), ({"type": "str"}, "30", "30"), ({"type": "str"}, "true", "true"),
        ({"type": "str"}, "[a", "[a"), ({"type": "enum", "choices": ["1", "on"]}, "1", "1"),
        ({"type": "enum", "choices": [1, 2]}, "2", 2), ({"type": "list"}, "[a, 1, 'x y']", ["a", 1, "x y"]),
        ({"type": "seed"}, "[1, 2]", [1, 2]), ({"type": "path"}, "a/b", "a/b"), ({"type": "kind"}, "a.b", "a.b"),
    ],
)  # fmt: skip
def test_reading_from_the_command_line(keys, text, value):
    assert read_value(param(**keys), text) == value


@pytest.mark.parametrize(
    ("kind", "text"), [("int", "x"), ("list", "[1"), ("list", "a,b"), ("bool", "yes"), ("int", "9" * 5000)]
)
def test_command_line_text_that_does_not_fit(kind, text):
    with pytest.raises(ValueError):
        read_value(param(type=kind), text)


def test_literals():
    assert parse_literal("{a: [1, null], b: 'x: y'}") == {"a": [1, None], "b": "x: y"}
    assert (parse_literal("a: b"), parse_literal('"3"'), parse_literal(""), parse_literal(" ")) == (
        "a: b",
        "3",
        "",
        " ",
    )
    with pytest.raises(ValueError, match="alias"):
        parse_literal("[*a]")


def test_a_secret_shows_nowhere():
    secret = param(type="secret", help="a token")
    value = read_value(secret, "hunter2")
    assert isinstance(value, SecretStr)
    assert value.get_secret_value() == "hunter2"
    assert "hunter2" not in repr(value) + str(value)
    assert check_value(secret, value) is value
    with pytest.raises(ValueError, match=r"^expects a secret text$"):
        check_value(secret, 12345)


@pytest.mark.parametrize(
    "keys",
    [
        {}, {"type": "integer"}, {"type": "int", "choices": [1]}, {"type": "str", "min": 1},
            {"type": "str", "role": "a"},
        {"type": "enum"}, {"type": "enum", "choices": []}, {"type": "int", "min": 2, "max": 1},
            {"type": "int", "default": "x"},
        {"type": "int", "default": None}, {"type": "secret", "default": "x"}, {"type": "int", "multiple_of": 0},
        {"type": "int", "defualt": 3},
    ],
)  # fmt: skip
def test_bad_declarations(keys):
    with pytest.raises(ValidationError):
        param(**keys)


def test_required():
    assert param(type="int").required
    assert not param(type="int", default=0).required


def test_substitute_reaches_everywhere_but_into_texts():
    value = {
        "a": "$params.n",
        "b": ["$params.l", ("$params.sd.n",)],
        "c": "x $params.n",
        "d": {"$params.n": 1},
        "e": None,
    }
    values = {"n": 1, "l": [1, 2], "sd.n": 3}
    assert substitute(value, values) == {
        "a": 1,
        "b": [[1, 2], [3]],
        "c": "x $params.n",
        "d": {"$params.n": 1},
        "e": None,
    }
    assert substitute("$params.n", values) == 1


def test_substitute_reports_all_with_places():
    seen = []

    def place_of(path):
        seen.append(path)
        return Place("f.yaml", 3, 4)

    with pytest.raises(InputError) as found:
        substitute({"a": ["$params.stps", "$params"]}, {"steps": 1}, place_of)
    assert [str(p) for p in found.value.problems] == [
        "f.yaml:3:4 error[E301] the param 'stps' is unknown or has no value\n    hint: did you mean steps?",
        "f.yaml:3:4 error[E301] '$params' is not a param\n    hint: write $params.name",
    ]
    assert seen == [("a", 0), ("a", 1)]
