"""A saved picture -> the session that made it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmm_graph.api.origin import Origin, read_origin
from mmm_graph.api.session import Session
from mmm_graph.errors import InputError, Problem, problem


def session_of_image(path: Path, options: Mapping[str, Any]) -> tuple[Session, Any, list[str] | None]:
    """The session, seed and outputs of the run that saved this picture.

    Raises:
        InputError: no origin in the file, its weights are not found, or are not the same any more.
    """
    origin = read_origin(path)
    base = _find_base(path, origin)
    session = Session(origin.graph, name=origin.file, params=_values(path, origin), base=base, **options)
    session.expect(origin.weights)
    outputs = None if origin.outputs is None else list(origin.outputs)
    return session, origin.seed, outputs


def _values(path: Path, origin: Origin) -> dict[str, Any]:
    lost = [k for k, v in origin.values.items() if isinstance(v, dict) and "sha256" in v]
    if lost:
        message = f"{path}: {', '.join(lost)} was given as a tensor, which the file does not carry"
        raise InputError(problem("E104", message, hint="run the graph from Python with the same tensor"))
    return dict(origin.values)


def _find_base(path: Path, origin: Origin) -> Path:
    """The folder of the graph file: from here, else from a folder that the picture lies in."""
    named = Path(origin.file)
    tried = [Path.cwd() / named, *(parent / named for parent in path.resolve().parents)]
    for candidate in tried:
        if candidate.parent.is_dir() and (candidate.exists() or not origin.weights):
            return candidate.parent
    message = f"{path} was made by {origin.file}, which is not found from here or from the picture's folder"
    found: Problem = problem("E104", message, hint="start `mmm run` in the folder where it was started then")
    raise InputError(found)
