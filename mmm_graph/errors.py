"""What can go wrong, as values: a Problem has a code and a place in a file; an error carries all of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Literal


@dataclass(frozen=True, order=True)
class Place:
    """A position in a file; line and column count from 1, 0 = unknown."""

    file: str
    line: int = 0
    col: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.col}" if self.line else self.file


@dataclass(frozen=True)
class Problem:
    """One finding: what was found, what was expected, and (`hint`) what to do.

    Codes: E1xx file syntax, E2xx meaning of the graph, E3xx params and inputs, E4xx plugins,
    E5xx plans, E6xx weights, E7xx running, E8xx training; W for warnings.
    """

    code: str
    message: str
    place: Place | None = None
    hint: str = ""
    severity: Literal["error", "warning"] = "error"

    def __str__(self) -> str:
        where = f"{self.place} " if self.place else ""
        hint = f"\n    hint: {self.hint}" if self.hint else ""
        return f"{where}{self.severity}[{self.code}] {self.message}{hint}"


class MmmError(Exception):
    """Base of every error meant for a user; `status` is the exit status of the command line."""

    status: ClassVar[int] = 1

    def __init__(self, problems: Problem | Iterable[Problem]) -> None:
        self.problems = (problems,) if isinstance(problems, Problem) else tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


class InputError(MmmError):
    """The file, the params, the plugins or the plan are wrong: nothing has run (exit status 2)."""

    status = 2


class RunError(MmmError):
    """Something failed while running or training (exit status 1)."""


class Cancelled(MmmError):
    """The user stopped it (exit status 130)."""

    status = 130


def problem(code: str, message: str, place: Place | None = None, hint: str = "") -> Problem:
    """An error-level Problem."""
    return Problem(code, message, place, hint)


def warning(code: str, message: str, place: Place | None = None, hint: str = "") -> Problem:
    """A warning: reported, never fatal."""
    return Problem(code, message, place, hint, "warning")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Hint naming the closest known names, or all of them when there are few; "" if none."""
    from difflib import get_close_matches

    names = sorted(set(known))
    close = get_close_matches(name, names, n=3, cutoff=0.6)
    if close:
        return "did you mean " + " or ".join(close) + "?"
    return "known: " + ", ".join(names[:12]) + (" ..." if len(names) > 12 else "") if names else ""
