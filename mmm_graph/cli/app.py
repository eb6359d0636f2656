"""What every verb shares: the registry made once, the environment, and how problems end the program."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from mmm_graph.errors import InputError, MmmError, Problem, problem
from mmm_graph.registry import Registry, load_registry


@dataclass
class App:
    """The program: plugin files given with --plugin, what the user typed, and the registry once it is needed."""

    extra: Sequence[Path] = ()
    words: Sequence[str] = ()
    _registry: list[Registry] = field(default_factory=list)

    def registry(self) -> Registry:
        """Load the plugins that MMM_PLUGINS allows.

        Raises:
            InputError: a file of --plugin is broken, or, with MMM_STRICT=1, any plugin.
        """
        if not self._registry:
            names = os.environ.get("MMM_PLUGINS")
            allow = None if names is None else [n.strip() for n in names.split(",") if n.strip()]
            strict = os.environ.get("MMM_STRICT", "") not in ("", "0")
            registry = load_registry(allow=allow, strict=strict, extra_files=self.extra)
            named = {path.stem for path in self.extra}
            broken = [info for info in registry.plugins if info.status == "FAILED" and info.name in named]
            if broken:
                raise InputError(problem("E401", f"plugin {i.name}: {i.cause}", i.place) for i in broken)
            self._registry.append(registry)
        return self._registry[0]


def emit(event: str, **fields: Any) -> None:
    """One line of --json output."""
    click.echo(json.dumps(_finite({"event": event, **fields}), default=str, allow_nan=False))


def report(error: MmmError, as_json: bool) -> int:
    """Print every problem; returns the exit status."""
    if as_json:
        emit("error", status=error.status, problems=[record(p) for p in error.problems])
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


def warn(found: Problem, as_json: bool) -> None:
    """Tell of a warning on the way."""
    if as_json:
        emit("warning", **record(found))
    else:
        print_problem(found)


def record(found: Problem) -> dict[str, Any]:
    """A problem for JSON."""
    place = found.place
    where = {"file": place.file, "line": place.line, "col": place.col} if place else None
    return {"code": found.code, "message": found.message, "hint": found.hint, "place": where}


def _finite(value: Any) -> Any:
    """JSON has no nan and no infinity: they become text."""
    if isinstance(value, Mapping):
        return {str(k): _finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
