"""Files are read strictly, within bounds, and every value knows its place."""

from __future__ import annotations

import json
import os
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmm_graph.errors import InputError, Place
from mmm_graph.spec.files import (
    MAX_BYTES,
    MAX_DEPTH,
    MAX_PROBLEMS,
    load_tree,
    mark_key,
    parse_text,
    read_text,
)


def problems(text, file="f.yaml"):
    return [str(p) for p in read_text(text, file)[1]]


def test_values_and_places(tmp_path):
    path = tmp_path / "f.yaml"
    path.write_text("a: 1\nb:\n  - x\n  - {on: 12:30, no: 1e-3, yes: true}\n")
    tree = load_tree(path)
    assert tree.value == {"a": 1, "b": ["x", {"on": "12:30", "no": 0.001, "yes": True}]}
    assert tree.places["a",] == Place(str(path), 1, 4)
    assert tree.places[mark_key(("a",))] == Place(str(path), 1, 1)
    assert tree.places["b", 1, "no"] == Place(str(path), 4, 21)
    assert tree.places[mark_key(("b", 1, "no"))] == Place(str(path), 4, 17)
    assert tree.places[()] == Place(str(path), 1, 1)


def test_json_means_the_same_as_yaml(tmp_path):
    value = {"a": [1, 2.5, None, True], "b": {"c": "x", "d": "\U0001f600\t", "12": "on"}, "e": "1"}
    for indent in (None, 2, "\t"):
        path = tmp_path / "f.json"
        path.write_text(json.dumps(value, indent=indent))
        assert load_tree(path).value == value
    assert parse_text(json.dumps(value, ensure_ascii=False)).value == value


BAD = [
    ("", ["f.yaml error[E108] is empty\n    hint: a graph file starts with `mmm: 1`"]),
    ("# only a comment\n", ["f.yaml error[E108] is empty\n    hint: a graph file starts with `mmm: 1`"]),
    ("a: 1\na: 2\n", ["f.yaml:2:1 error[E103] the key 'a' is there twice; the first is at f.yaml:1:1"]),
    ("a: {b: 1, b: {c: [1]}}\n", ["f.yaml:1:11 error[E103] the key 'b' is there twice; the first is at f.yaml:1:5"]),
    ("a: 1\n---\nb: 1\n", ["f.yaml:2:1 error[E108] a second document starts here; a file holds one"]),
    ("a: &x 1\nb: *x\n", [
        "f.yaml:1:4 error[E104] a YAML anchor is not allowed\n    hint: write the value out",
        "f.yaml:2:4 error[E104] the alias *x is not allowed\n    hint: write the value out",
    ]),
    ("a: !!python/object:os.system x\n", [
        "f.yaml:1:4 error[E104] a YAML tag is not allowed\n    hint: quote text that starts with !",
    ]),
    ("a: ! x\n", ["f.yaml:1:4 error[E104] a YAML tag is not allowed\n    hint: quote text that starts with !"]),
    ("a:\n  <<: {b: 1}\n", ["f.yaml:2:3 error[E104] the merge key << is not allowed\n    hint: write the keys out"]),
    ("1: a\n", ["f.yaml:1:1 error[E105] a key must be text, found 1\n    hint: quote it: \"1\""]),
    ("true: a\n", ["f.yaml:1:1 error[E105] a key must be text, found true\n    hint: quote it: \"true\""]),
    ("? [a, b]\n: c\n", ["f.yaml:1:3 error[E105] a key must be text, found a list"]),
    ("? {a: b}\n: c\n", ["f.yaml:1:3 error[E105] a key must be text, found a mapping"]),
    ("*x : c\n", ["f.yaml:1:1 error[E105] a key must be text, found an alias"]),
    ("&k a: c\n", ["f.yaml:1:1 error[E104] a YAML anchor is not allowed"]),
    ("a: .inf\nb: 1e999\n", [
        "f.yaml:1:4 error[E107] .inf is not a finite number",
        "f.yaml:2:4 error[E107] 1e999 is too large for a number",
    ]),
    ("k" * 201 + ": 1\n", ["f.yaml:1:1 error[E106] a key has at most 200 characters, found 201"]),
    ("name: a\x07b\n", ["f.yaml:1:8 error[E102] the character U+0007 is not allowed"]),
    ("name: a\ud800b\n", ["f.yaml:1:8 error[E102] the character U+D800 is not allowed"]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), BAD, ids=[repr(text[:20]) for text, _ in BAD])
def test_what_is_not_allowed(text, expected):
    assert problems(text) == expected


@pytest.mark.parametrize(
    ("text", "place"),
    [("a: [1\n", "f.yaml:2:1"), ("a: b: c\n", "f.yaml:1:5"), ("a:\n\t- 1\n", "f.yaml:2:1"), ("a: @x\n", "f.yaml:1:4"),
     ("{a: Image[b,3]}\n", "f.yaml:1:10"), ("a: 'x\n", "f.yaml:2:1"), ("%YAML 9.9\n---\na: 1\n", "f.yaml:1:1")],
)  # fmt: skip
def test_broken_yaml_says_where(text, place):
    (found,) = problems(text)
    assert found.startswith(f"{place} error[E102] is not YAML: ")
    assert "\n    hint: " in found


def test_one_bad_value_does_not_hide_the_rest():
    tree, found = read_text("a: .nan\nb: {c: *x, c: 2, 3: 4, d: 5}\ne: 6\n", "f.yaml")
    assert [(p.code, p.place.col) for p in found] == [("E107", 4), ("E104", 8), ("E103", 12), ("E105", 18)]
    assert tree.value == {"a": None, "b": {"c": None, "d": 5}, "e": 6}


def test_nothing_is_guessed_after_a_break():
    tree, found = read_text("mmm: 1\nmodels: {a: {kind: x.y}}\nnodes: {\n", "f.yaml")
    assert (tree.value, len(found)) == (None, 1)


@pytest.mark.parametrize("start", ["[", "{a: ", "- ", "? ", "{? ", "[{", "[[1,", '{"a":'])
@pytest.mark.parametrize("file", ["f.yaml", "f.json"])
def test_deep_nesting_is_refused_fast(start, file):
    text = start * 100_000
    started = time.perf_counter()
    found = problems(text, file)
    assert time.perf_counter() - started < 1
    assert len(found) <= 2  # a mapping as a key is wrong too
    assert f"nested more than {MAX_DEPTH} deep" in found[-1] or "error[E102]" in found[-1]


def test_deep_nesting_at_the_limit():
    assert parse_text("[" * MAX_DEPTH + "]" * MAX_DEPTH).value
    assert problems("[" * (MAX_DEPTH + 2) + "]" * (MAX_DEPTH + 2)) == [
        f"f.yaml:1:{MAX_DEPTH + 2} error[E106] is nested more than {MAX_DEPTH} deep"
    ]


def test_too_many_values_or_bytes_are_refused():
    assert "more than 100000 values" in problems("[" + "a," * 250_000 + "]")[0]
    assert problems("a" * (MAX_BYTES + 1)) == ["f.yaml error[E106] is larger than 4 MB"]


def test_problems_are_bounded():
    assert len(problems("a: 1\n" * 5000)) == MAX_PROBLEMS


def test_files_that_cannot_be_read(tmp_path):
    def message(path):
        with pytest.raises(InputError) as found:
            load_tree(path)
        return str(found.value)

    assert message(tmp_path / "no.yaml") == f"{tmp_path}/no.yaml error[E101] there is no such file"
    assert message(tmp_path) == f"{tmp_path} error[E101] expected a file, found a directory"
    os.mkfifo(tmp_path / "pipe")
    assert "found not a regular file" in message(tmp_path / "pipe")
    assert "error[E101]" in message("a\0b")
    assert "error[E101]" in message("x" * 5000)
    (tmp_path / "latin.yaml").write_bytes("a: 1\nb: caf\xe9\n".encode("latin-1"))
    assert f"{tmp_path}/latin.yaml:2:7 error[E101] is not UTF-8 text" in message(tmp_path / "latin.yaml")
    (tmp_path / "wide.yaml").write_bytes("mmm: 1\n".encode("utf-16"))
    assert "error[E101] is not UTF-8 text" in message(tmp_path / "wide.yaml")
    with (tmp_path / "big.yaml").open("wb") as big:
        big.truncate(3 * MAX_BYTES)
    assert "error[E106] is larger than 4 MB" in message(tmp_path / "big.yaml")


def test_a_byte_order_mark_is_fine(tmp_path):
    (tmp_path / "f.yaml").write_bytes(b"\xef\xbb\xbfmmm: 1\r\n")
    assert load_tree(tmp_path / "f.yaml").value == {"mmm": 1}


@settings(max_examples=300, deadline=None)
@given(
    st.text(alphabet=st.sampled_from("ab01 \n\t:-{}[],&*!|>'\"%@`?#.~é\U0001f600"), max_size=60),
    st.booleans(),
)
def test_no_text_makes_a_traceback(text, is_json):
    tree, found = read_text(text, "f.json" if is_json else "f.yaml")
    assert found or tree.places
    assert all(p.code.startswith("E1") and p.place for p in found)
