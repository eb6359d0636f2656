"""A YAML or JSON file -> Tree: plain values and the place of each. Strict, bounded, all problems at once."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmm_graph.errors import InputError, Place, Problem, problem
from mmm_graph.spec.events import Event, SyntaxProblem, json_events, yaml_events
from mmm_graph.spec.scalars import describe, read_scalar, shorten

MAX_BYTES = 4 * 2**20
MAX_DEPTH = 40
MAX_VALUES = 100_000
MAX_KEY = 200
MAX_PROBLEMS = 100

Path_ = tuple["str | int", ...]
_FORBIDDEN = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_LINE = re.compile("\r\n|\r|\n")


@dataclass(frozen=True)
class Tree:
    """A parsed file. `places[path]` is where a value starts, `places[(*path, "@key")]` where its key does."""

    value: Any
    places: Mapping[Path_, Place] = field(default_factory=dict)


def mark_key(path: Path_) -> Path_:
    """The path under which the place of a key is kept."""
    return (*path, "@key")


def load_tree(path: str | Path) -> Tree:
    """Read a YAML file (JSON if its name ends in .json); both mean the same.

    Raises:
        InputError: with every problem that was found (E101 to E108).
    """
    tree, problems = read_tree(path)
    if problems:
        raise InputError(problems)
    return tree


def parse_text(text: str, file: str = "<text>") -> Tree:
    """Like `load_tree`, from memory; `file` is the name in messages, and .json at its end means JSON.

    Raises:
        InputError: with every problem that was found.
    """
    tree, problems = read_text(text, file)
    if problems:
        raise InputError(problems)
    return tree


def read_tree(path: str | Path) -> tuple[Tree, list[Problem]]:
    """What could be read of a file, and its problems; a value that could not be read is None (or all of it)."""
    place = Place(str(path))
    try:
        if not Path(path).exists():
            return Tree(None), [problem("E101", "there is no such file", place)]
        if not Path(path).is_file():
            what = "a directory" if Path(path).is_dir() else "not a regular file"
            return Tree(None), [problem("E101", f"expected a file, found {what}", place)]
        with Path(path).open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        return Tree(None), [problem("E101", f"cannot be read: {reason}", place)]
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if len(data) <= MAX_BYTES:
            where = _place_at(data[: error.start].decode("utf-8-sig", "replace"), str(path))
            return Tree(None), [
                problem("E101", "is not UTF-8 text", where, "save the file in the encoding UTF-8")
            ]
        text = data.decode("utf-8-sig", "replace")
    return read_text(text, str(path))


def read_text(text: str, file: str) -> tuple[Tree, list[Problem]]:
    """What could be read of a text, and its problems."""
    if len(text) > MAX_BYTES:
        return Tree(None), [problem("E106", f"is larger than {MAX_BYTES // 2**20} MB", Place(file))]
    bad = _FORBIDDEN.search(text)
    if bad:
        where = _place_at(text[: bad.start()], file)
        return Tree(None), [problem("E102", f"the character U+{ord(bad[0]):04X} is not allowed", where)]
    events = json_events(text) if file.lower().endswith(".json") else yaml_events(text)
    reader = _Reader(events, file)
    value = reader.document()
    return Tree(value, reader.places), reader.problems


def _place_at(before: str, file: str) -> Place:
    lines = _LINE.split(before)
    return Place(file, len(lines), len(lines[-1]) + 1)


class _Stop(Exception):
    """Nothing more can be read."""


class _Reader:
    """Builds the values from events, at most MAX_DEPTH deep, and collects problems."""

    def __init__(self, events: Iterator[Event], file: str) -> None:
        self.events, self.file = events, file
        self.places: dict[Path_, Place] = {}
        self.problems: list[Problem] = []

    def document(self) -> Any:
        value = None
        try:
            if next(self.events, None) is None:
                self.report("E108", "is empty", None, "a graph file starts with `mmm: 1`")
                return None
            value = self.value(self.next(), ())
            more = next(self.events, None)
            if more is not None:
                self.report("E108", "a second document starts here; a file holds one", more)
        except _Stop:
            pass
        except SyntaxProblem as error:
            place = Place(self.file, error.line, error.col)
            kind = "JSON" if self.file.lower().endswith(".json") else "YAML"
            tabs = "indent with spaces, not tabs" if "cannot start any token" in error.message else ""
            hint = tabs or "quote text that holds {, }, [, ], comma, colon or #" if kind == "YAML" else ""
            self.problems.append(
                problem("E102", f"is not {kind}: {shorten(error.message, 200)}", place, hint)
            )
        return value

    def next(self) -> Event:
        event = next(self.events, None)
        if event is None:
            raise _Stop
        return event

    def report(self, code: str, message: str, event: Event | None, hint: str = "") -> None:
        place = Place(self.file, event.line, event.col) if event else Place(self.file)
        self.problems.append(problem(code, message, place, hint))
        if len(self.problems) >= MAX_PROBLEMS:
            raise _Stop

    def value(self, event: Event, path: Path_) -> Any:
        self.places[path] = Place(self.file, event.line, event.col)
        if len(path) > MAX_DEPTH:
            self.report("E106", f"is nested more than {MAX_DEPTH} deep", event)
            raise _Stop
        if len(self.places) > 2 * MAX_VALUES:
            self.report("E106", f"holds more than {MAX_VALUES} values", event)
            raise _Stop
        if event.kind == "alias":
            self.report(
                "E104", f"the alias *{shorten(event.text)} is not allowed", event, "write the value out"
            )
            return None
        if event.extra:
            hint = "write the value out" if event.extra == "anchor" else "quote text that starts with !"
            self.report("E104", f"a YAML {event.extra} is not allowed", event, hint)
        if event.kind == "map":
            return self.mapping(path)
        if event.kind == "list":
            return self.items(path)
        return self.scalar(event)

    def scalar(self, event: Event) -> Any:
        if not event.plain:
            return event.text
        try:
            return read_scalar(event.text)
        except ValueError as error:
            self.report("E107", str(error), event)
            return None

    def items(self, path: Path_) -> list[Any]:
        values: list[Any] = []
        while (event := self.next()).kind != "end":
            values.append(self.value(event, (*path, len(values))))
        return values

    def mapping(self, path: Path_) -> dict[str, Any]:
        values: dict[str, Any] = {}
        while (event := self.next()).kind != "end":
            key = self.key(event, path)
            if key is None:
                self.skip()
            elif key in values:
                first = self.places[mark_key((*path, key))]
                self.report("E103", f"the key {describe(key)} is there twice; the first is at {first}", event)
                self.skip()
            else:
                self.places[mark_key((*path, key))] = Place(self.file, event.line, event.col)
                values[key] = self.value(self.next(), (*path, key))
        return values

    def key(self, event: Event, path: Path_) -> str | None:
        if event.kind != "scalar":
            self.report("E105", f"a key must be text, found {_NOT_TEXT.get(event.kind, event.kind)}", event)
            self.skip(event)
            return None
        if event.extra:
            self.report("E104", f"a YAML {event.extra} is not allowed", event)
        if len(event.text) > MAX_KEY:
            self.report("E106", f"a key has at most {MAX_KEY} characters, found {len(event.text)}", event)
            return None
        if event.plain and event.text == "<<":
            self.report("E104", "the merge key << is not allowed", event, "write the keys out")
            return None
        key = self.scalar(event)
        if not isinstance(key, str):
            self.report(
                "E105", f"a key must be text, found {describe(key)}", event, f'quote it: "{event.text[:40]}"'
            )
            return None
        return key

    def skip(self, event: Event | None = None) -> None:
        """Read over one value without keeping it."""
        depth = 0
        while True:
            event = event or self.next()
            depth += {"map": 1, "list": 1, "end": -1}.get(event.kind, 0)
            if depth > MAX_DEPTH:
                self.report("E106", f"is nested more than {MAX_DEPTH} deep", event)
                raise _Stop
            if depth == 0:
                return
            event = None


_NOT_TEXT = {"map": "a mapping", "list": "a list", "alias": "an alias"}
