"""`--requests`: a file of JSON lines -> requests; a line that is wrong fails alone."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmm_graph.errors import InputError, Place, problem

_ID = re.compile(r"[\w-][\w.-]*")


@dataclass(frozen=True)
class Line:
    """One request: what it gives, or why it cannot be read.

    Attributes:
        id: what its files are named by; default: the number of the request, from 0.
        item: inputs and params by name, `id` and `seed` among them.
    """

    id: str
    item: dict[str, Any] = field(default_factory=dict)
    error: InputError | None = None


def read_requests(source: Path, seed: int | Sequence[int] = 0) -> list[Line]:
    """The requests of a file, or of stdin for `-`. Empty lines are passed over.

    Args:
        seed: of requests that have none.

    Raises:
        InputError: E101, the file cannot be read.
    """
    place = Place("stdin" if str(source) == "-" else str(source))
    try:
        text = sys.stdin.read() if str(source) == "-" else source.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise InputError(problem("E101", "there is no such file", place)) from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(problem("E101", f"cannot be read: {error}", place)) from error
    found: dict[str, Line] = {}
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            one = _read(line, str(len(found)), Place(place.file, number, 1), found.keys(), seed)
            found[one.id] = one
    return list(found.values())


def _read(line: str, default: str, place: Place, taken: Any, seed: int | Sequence[int]) -> Line:
    free = default if default not in taken else f"line{place.line}"
    try:
        item = json.loads(line)
    except (ValueError, RecursionError) as error:
        return Line(free, error=InputError(problem("E102", f"is not JSON: {error}", place)))
    if not isinstance(item, dict):
        hint = 'a line is an object such as {"prompt": "a cat", "seed": 7}'
        return Line(
            free, error=InputError(problem("E102", f"expects an object, got {line:.60}", place, hint))
        )
    name = item.get("id", free)
    if not isinstance(name, str | int) or not _ID.fullmatch(str(name)):
        message = f"an id names files: letters, digits, - _ . are allowed, got {name!r:.60}"
        return Line(free, error=InputError(problem("E102", message, place)))
    if str(name) in taken:
        return Line(free, error=InputError(problem("E102", f"the id {name!r} is used twice", place)))
    return Line(str(name), {"seed": seed, **item, "id": str(name)})
