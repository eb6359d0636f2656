"""YAML and JSON give the same events; JSON is read strictly."""

from __future__ import annotations

import json

import pytest

from mmm_graph.spec.events import Event, SyntaxProblem, json_events, yaml_events

JSON = '{"a": [1, "x"],\n "b": {"c": null}}'


def test_json_and_yaml_give_the_same_events():
    of_json, of_yaml = list(json_events(JSON)), list(yaml_events(JSON))
    assert [(e.kind, e.text, e.plain) for e in of_json] == [(e.kind, e.text, e.plain) for e in of_yaml]
    assert [(e.line, e.col) for e in of_json[1:-1]] == [(e.line, e.col) for e in of_yaml[1:-1]]
    assert of_json[1] == Event("map", 1, 1)
    assert next(e for e in of_json if e.text == "b") == Event("scalar", 2, 2, "b")


def test_anchors_and_tags_are_marked():
    events = list(yaml_events("a: &x 1\nb: !!str 2\nc: *x\n"))
    assert [e.extra for e in events if e.extra] == ["anchor", "tag"]
    assert [e.text for e in events if e.kind == "alias"] == ["x"]


@pytest.mark.parametrize(
    ("text", "message", "line", "col"),
    [
        ("{", "expected a key in double quotes, found the end", 1, 2),
        ("[1,\n]", "expected a value, found ']'", 2, 1),
        ('{"a" 1}', "expected ':', found '1'", 1, 6),
        ("[1 2]", "expected ',' or ']', found '2'", 1, 4),
        ("{a: 1}", "expected a key in double quotes, found 'a'", 1, 2),
        ("[01]", "expected a value, found '0'", 1, 2),
        ("[+1]", "expected a value, found '+'", 1, 2),
        ("[NaN]", "expected a value, found 'N'", 1, 2),
        ("[truex]", "expected a value, found 't'", 1, 2),
        ("['a']", 'expected a value, found "\'"', 1, 2),
        ('["a\nb"]', "expected a value, found '\"'", 1, 2),
        ('["\\ud800"]', "the text has a bad escape", 1, 2),
        ('["\\q"]', "the text has a bad escape", 1, 2),
        ("{} x", "expected the end of the file, found 'x'", 1, 4),
        ("[1] // no", "expected the end of the file, found '/'", 1, 5),
    ],
)
def test_what_is_not_json(text, message, line, col):
    with pytest.raises(SyntaxProblem) as found:
        list(json_events(text))
    assert found.value.message.startswith(message)
    assert (found.value.line, found.value.col) == (line, col)


def test_json_texts_are_those_of_the_standard_library():
    texts = ["\U0001f600", "tab\t", 'quote"', "back\\slash", "/", "\u2028", "é", ""]
    events = list(json_events(json.dumps(texts)))
    assert [e.text for e in events if e.kind == "scalar"] == texts
    assert not any(e.plain for e in events)


def test_events_are_lazy():
    events = json_events("[" * 1_000_000)
    assert [next(events).kind for _ in range(5)] == ["document", "list", "list", "list", "list"]
