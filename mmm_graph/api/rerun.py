"""A saved picture -> the session that made it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

import mmm_graph
from mmm_graph.api.origin import LOST, Origin, hash_of, read_origin
from mmm_graph.api.session import Session
from mmm_graph.errors import InputError, Place, Problem, problem, warning
from mmm_graph.spec import load_spec
from mmm_graph.spec.plan_file import read_plan

HERE = ("hf:", "pkg:")
"""Sources of weights that are the same from every folder."""


def session_of_image(
    path: Path, options: Mapping[str, Any], sets: Mapping[str, str] | None = None
) -> tuple[Session, Any, list[str] | None]:
    """The session, seed and outputs of the run that saved this picture.

    Args:
        options: those of Session that say how to run, such as device and registry.
        sets: secrets, which the picture does not carry.

    Raises:
        InputError: no origin in the file, its weights are not found, or are not the same any more.
    """
    origin, sets = read_origin(path), sets or {}
    spec = load_spec(origin.graph + "\n")
    for name in sets:
        if name not in spec.params or spec.params[name].type != "secret":
            hint = "run the graph file to change something"
            message = f"is run again exactly as it was, without --set {name}"
            raise InputError(problem("E109", message, Place(str(path)), hint))
    sources = [m.weights for m in spec.models.values() if m.weights]
    sources += [a.lora for m in spec.models.values() for a in m.attach if a.lora]
    base = _find_base(path, origin) if any(not s.startswith(HERE) for s in sources) else Path()
    values = {k: _value(path, k, v) for k, v in origin.values.items()}
    plan = None if origin.plan is None else read_plan(origin.plan, Place(str(path)))
    where = {"name": origin.file, "base": base, "plan": plan}
    session = Session(origin.graph + "\n", params=values, sets=sets, **where, **options)
    session.repeat(origin)
    return session, origin.seed, None if origin.outputs is None else list(origin.outputs)


def differences(path: Path, session: Session) -> tuple[Problem, ...]:
    """Warnings: what is not as it was when the picture was made, so that the bits may differ."""
    origin, place = read_origin(path), Place(str(path))
    pairs = {
        "mmm_graph": (origin.version, mmm_graph.__version__),
        "torch": (origin.torch, torch.__version__),
        "the set of plugins": (origin.plugins[:12], session.registry.digest()[:12]),
    }
    return tuple(
        warning("W109", f"was made with {what} {then}, this is {now}: it may not come out the same", place)
        for what, (then, now) in pairs.items()
        if then != now
    )


def _value(path: Path, name: str, value: Any) -> Any:
    """A value as the origin has it -> as the session takes it; image files are found and compared."""
    if isinstance(value, list):
        return [_value(path, name, item) for item in value]
    if not isinstance(value, dict):
        return value
    if LOST in value:
        message = f"{name} was given as {value[LOST]}, which the file does not carry"
        hint = "run the graph from Python with the same value"
        raise InputError(problem("E109", message, Place(str(path)), hint))
    if set(value) == {"file", "sha256"}:
        return _find_image(path, name, value)
    return {k: _value(path, name, v) for k, v in value.items()}


def _find_image(path: Path, name: str, value: Mapping[str, Any]) -> str:
    found = [c for c in _candidates(path, Path(str(value["file"]))) if c.is_file()]
    for candidate in found:
        if hash_of(candidate) == value["sha256"]:
            return str(candidate)
    what = "is not the same any more" if found else "is not found"
    message = f"{name} was the file {value['file']}, which {what}"
    raise InputError(problem("E109", message, Place(str(path)), "put it where it was"))


def _find_base(path: Path, origin: Origin) -> Path:
    """The folder of the graph file."""
    for candidate in _candidates(path, Path(origin.file)):
        if candidate.is_file():
            return candidate.parent
    message = f"was made by {origin.file}, which is found neither from here nor from the picture's folder"
    hint = "start `mmm run` in the folder where it was started then; the weights are beside that file"
    raise InputError(problem("E109", message, Place(str(path)), hint))


def _candidates(path: Path, named: Path) -> Iterator[Path]:
    """Where a file may be that was named when the picture was made: from here, else above the picture."""
    folders = [Path(), *path.resolve().parents]
    yield from (folder / named for folder in folders)
    yield from (folder / named.name for folder in folders)
