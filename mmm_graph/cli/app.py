"""What every verb shares: the registry made once, the environment, and how problems end the program."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from mmm_graph.errors import MmmError, Problem
from mmm_graph.registry import Registry, load_registry


@dataclass
class App:
    """The program: plugin files given with --plugin, and the registry once it is needed."""

    extra: Sequence[Path] = ()
    _registry: list[Registry] = field(default_factory=list)

    def registry(self) -> Registry:
        """Load the plugins that MMM_PLUGINS allows; MMM_STRICT=1 makes a broken one fatal."""
        if not self._registry:
            names = os.environ.get("MMM_PLUGINS")
            allow = None if names is None else [n.strip() for n in names.split(",") if n.strip()]
            strict = os.environ.get("MMM_STRICT", "") not in ("", "0")
            self._registry.append(load_registry(allow=allow, strict=strict, extra_files=self.extra))
        return self._registry[0]


def emit(event: str, **fields: Any) -> None:
    """One line of --json output."""
    click.echo(json.dumps({"event": event, **fields}, default=str))


def report(error: MmmError, as_json: bool) -> int:
    """Print every problem; returns the exit status."""
    if as_json:
        emit("error", status=error.status, problems=[_record(p) for p in error.problems])
    else:
        for found in error.problems:
            print_problem(found)
    return error.status


def print_problem(found: Problem) -> None:
    """A problem on stderr, in colour on a terminal."""
    colour = "yellow" if found.severity == "warning" else "red"
    label = f"{found.severity}[{found.code}]"
    text = str(found)
    click.echo(text.replace(label, click.style(label, fg=colour, bold=True), 1), file=sys.stderr)


def _record(found: Problem) -> dict[str, Any]:
    place = found.place
    where = {"file": place.file, "line": place.line, "col": place.col} if place else None
    return {"code": found.code, "message": found.message, "hint": found.hint, "place": where}
