"""YAML or JSON text -> one lazy stream of events with positions."""

from __future__ import annotations

import bisect
import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import yaml

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_JSON_TOKEN = re.compile(
    r'(?P<mark>[{}\[\],:])|"(?P<text>[^"\\\x00-\x1f]*(?:\\.[^"\\\x00-\x1f]*)*)"'
    r"|(?P<plain>-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][-+]?\d+)?(?![\w.])|true\b|false\b|null\b)"
)
_JSON_SPACE = re.compile(r"[ \t\r\n]*")


class Event(NamedTuple):
    """One step through a document.

    Attributes:
        kind: "map", "list" (both closed by "end"), "scalar", "alias", or "document" for the start of one.
        text: of a scalar or alias.
        plain: a scalar without quotes, to be read as a number, Boolean or null where it looks like one.
        extra: "anchor" or "tag" when the value carries one.
    """

    kind: str
    line: int
    col: int
    text: str = ""
    plain: bool = False
    extra: str = ""


class SyntaxProblem(Exception):
    """The text is not YAML or JSON; `line` and `col` count from 1."""

    def __init__(self, message: str, line: int, col: int) -> None:
        super().__init__(message)
        self.message, self.line, self.col = message, line, col


def yaml_events(text: str) -> Iterator[Event]:
    """Events of all documents in a YAML text.

    Raises:
        SyntaxProblem: while iterating, where the text stops being YAML.
    """
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            made = _from_yaml(event)
            if made is not None:
                yield made
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        message = " ".join(part for part in (error.context, error.problem) if part)
        line, col = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        raise SyntaxProblem(message, line, col) from error
    except yaml.YAMLError as error:
        raise SyntaxProblem(str(error).splitlines()[0], 1, 1) from error


def _from_yaml(event: Any) -> Event | None:
    line, col = event.start_mark.line + 1, event.start_mark.column + 1
    if isinstance(event, yaml.AliasEvent):
        return Event("alias", line, col, str(event.anchor))
    if isinstance(event, yaml.DocumentStartEvent):
        return Event("document", line, col)
    if isinstance(event, yaml.CollectionEndEvent):
        return Event("end", line, col)
    if not isinstance(event, yaml.NodeEvent):
        return None
    extra = "anchor" if event.anchor is not None else "tag" if getattr(event, "tag", None) is not None else ""
    if isinstance(event, yaml.ScalarEvent):
        return Event("scalar", line, col, event.value, event.style in (None, ""), extra)
    return Event("map" if isinstance(event, yaml.MappingStartEvent) else "list", line, col, extra=extra)


def json_events(text: str) -> Iterator[Event]:
    """Events of a JSON text (RFC 8259).

    Raises:
        SyntaxProblem: while iterating, where the text stops being JSON.
    """
    tokens = _Tokens(text)
    if not tokens.at_end():
        yield Event("document", 1, 1)
        yield from _json_value(tokens)
        if not tokens.at_end():
            tokens.fail("expected the end of the file")


class _Tokens:
    """The tokens of a JSON text, one ahead."""

    def __init__(self, text: str) -> None:
        self.text, self.offset = text, 0
        self.starts = [0, *(m.end() for m in re.finditer(r"\n", text))]

    def at_end(self) -> bool:
        space = _JSON_SPACE.match(self.text, self.offset)
        self.offset = space.end() if space else self.offset
        return self.offset == len(self.text)

    def peek(self) -> str:
        return "" if self.at_end() else self.text[self.offset]

    def place(self) -> tuple[int, int]:
        line = bisect.bisect_right(self.starts, self.offset)
        return line, self.offset - self.starts[line - 1] + 1

    def take(self, expected: str) -> re.Match[str]:
        match = None if self.at_end() else _JSON_TOKEN.match(self.text, self.offset)
        if not match:
            self.fail(f"expected {expected}")
        assert match is not None
        self.offset = match.end()
        return match

    def mark(self, marks: str) -> str:
        if self.peek() not in tuple(marks):
            self.fail("expected " + " or ".join(repr(m) for m in marks))
        return self.take("a mark")["mark"]

    def fail(self, message: str) -> None:
        found = self.peek()
        raise SyntaxProblem(
            f"{message}, found {found!r}" if found else f"{message}, found the end", *self.place()
        )


def _json_value(tokens: _Tokens) -> Iterator[Event]:
    first = tokens.peek()
    line, col = tokens.place()
    if first in ("{", "["):
        tokens.mark(first)
        yield Event("map" if first == "{" else "list", line, col)
        yield from _json_items(tokens, "}" if first == "{" else "]")
    else:
        yield _json_scalar(tokens)


def _json_items(tokens: _Tokens, close: str) -> Iterator[Event]:
    if tokens.peek() != close:
        while True:
            if close == "}":
                if tokens.peek() != '"':
                    tokens.fail("expected a key in double quotes")
                yield _json_scalar(tokens)
                tokens.mark(":")
            yield from _json_value(tokens)
            if tokens.peek() != ",":
                break
            tokens.mark(",")
    if tokens.peek() != close:
        tokens.fail(f"expected ',' or {close!r}")
    line, col = tokens.place()
    tokens.mark(close)
    yield Event("end", line, col)


def _json_scalar(tokens: _Tokens) -> Event:
    if tokens.peek() in tuple("{}[],:"):
        tokens.fail("expected a value")
    line, col = tokens.place()
    match = tokens.take("a value")
    if match["plain"] is not None:
        return Event("scalar", line, col, match["plain"], True)
    try:
        text = json.loads(match[0])
        text.encode("utf-8")
    except ValueError as error:
        raise SyntaxProblem(f"the text has a bad escape ({error})", line, col) from error
    return Event("scalar", line, col, text)
