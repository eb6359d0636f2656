"""What the user changes from outside: `--set`, `--params FILE` and Python values, with the origin of each."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from mmm_graph.errors import Place, Problem, did_you_mean, problem
from mmm_graph.spec.chat import read_chat_text
from mmm_graph.spec.explain import dotted
from mmm_graph.spec.files import Path_, Tree, read_tree
from mmm_graph.spec.graph import GraphSpec
from mmm_graph.spec.params import check_value, parse_literal, read_value
from mmm_graph.spec.scalars import describe, shorten

SECTIONS = ("models", "graphs", "nodes", "outputs", "eval", "train", "parallel")
SET = "--set"
FILES = ("Image", "Audio", "Video")
"""Kinds of inputs that are given as files."""


@dataclass
class Given:
    """Values of params (defaults included) and of inputs, and where each came from."""

    params: dict[str, Any] = field(default_factory=dict)
    inputs: dict[str, Any] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)


def apply_sets(tree: Tree, sets: Mapping[str, str], problems: list[Problem]) -> tuple[Tree, list[str]]:
    """The tree with each `--set section.path=value` written into it, and those paths.

    A name that is a param or an input is not a path, even where it looks like one.
    """
    if not isinstance(tree.value, dict):
        return tree, []
    names = {name for key in ("params", "inputs") for name in as_mapping(tree.value.get(key))}
    paths = [key for key in sets if key not in names and key.partition(".")[0] in SECTIONS and "." in key]
    value = copy.deepcopy(tree.value) if paths else tree.value
    places = dict(tree.places)
    for key in paths:
        place = Place(f"{SET} {shorten(key)}")
        try:
            path = _write(value, key, parse_literal(sets[key]))
        except ValueError as error:
            problems.append(problem("E306", str(error), place))
            continue
        for old in [p for p in places if p[: len(path)] == path]:
            del places[old]
        places[path] = place
    return Tree(value, places), paths


def as_mapping(value: Any) -> Mapping[str, Any]:
    """The value if it is a mapping, else an empty one."""
    return value if isinstance(value, dict) else {}


def _write(tree: dict[str, Any], key: str, new: Any) -> Path_:
    """Write a value at a dotted path and return the path. Names may hold dots themselves (`sd.unet`).

    Raises:
        ValueError: the thing that the path leads into is not there, or is neither a mapping nor a list.
    """
    here: Any = tree
    path: Path_ = ()
    steps = key.split(".")
    while True:
        step, steps = _next_step(here, steps, path)
        is_new = isinstance(here, dict) and step not in here
        if is_new and steps and len(path) < 2:  # keys of a thing may be added, things may not
            hint = did_you_mean(str(step)[:60], list(here))
            raise ValueError(f"there is no {dotted((*path, step))}" + (f"; {hint}" if hint else ""))
        path = (*path, step)
        if not steps:
            here[step] = new
            return path
        if is_new:
            here[step] = {}
        here = here[step]


def _next_step(here: Any, steps: list[str], path: Path_) -> tuple[str | int, list[str]]:
    """The longest name that is there, or the next word, or the index into a list; and what is left."""
    if isinstance(here, dict):
        for n in range(len(steps), 0, -1):
            name = ".".join(steps[:n])
            if name in here:
                return name, steps[n:]
        return steps[0], steps[1:]
    if not isinstance(here, list):
        raise ValueError(f"{dotted(path)} is {describe(here)}, not a mapping")
    index = int(steps[0]) if steps[0].isdecimal() and len(steps[0]) < 7 else len(here)
    if index >= len(here):
        raise ValueError(
            f"{dotted(path)} is a list of {len(here)}; {describe(steps[0])} is not an index of it"
        )
    return index, steps[1:]


def resolve_values(
    spec: GraphSpec,
    sets: Mapping[str, str],
    params: Mapping[str, Any],
    params_file: str | Path | None,
    problems: list[Problem],
) -> Given:
    """Values by precedence: sets, params, the file, defaults. Each that does not fit is a problem."""
    given = Given({k: check_value(p, p.default) for k, p in spec.params.items() if not p.required})
    given.origins = dict.fromkeys(given.params, "default")
    if params_file is not None:
        tree, found = read_tree(params_file)
        problems += found
        if not found and not isinstance(tree.value, dict):
            message = f"expects a mapping of params to values, got {describe(tree.value)}"
            problems.append(problem("E302", message, Place(str(params_file))))
        read = _take(spec, given, as_mapping(tree.value), check_value, str(params_file))
        problems += [problem(code, text, tree.places.get((key,)), hint) for key, code, text, hint in read]
    take_values(spec, given, params, problems)
    wrong = _take(spec, given, sets, read_value, SET)
    problems += [problem(code, text, Place(f"{SET} {shorten(key)}"), hint) for key, code, text, hint in wrong]
    return given


def take_values(spec: GraphSpec, given: Given, params: Mapping[str, Any], problems: list[Problem]) -> None:
    """Put values from Python over those given so far."""
    wrong = _take(spec, given, params, check_value, "python")
    problems += [problem(code, text, Place(f"param {shorten(key)}"), hint) for key, code, text, hint in wrong]


def _take(
    spec: GraphSpec, given: Given, new: Mapping[str, Any], check: Callable[..., Any], origin: str
) -> list[tuple[str, str, str, str]]:
    """Put new values over those given so far; (key, code, message, hint) of what does not fit."""
    wrong: list[tuple[str, str, str, str]] = []
    for key, value in new.items():
        if key not in spec.params and key not in spec.inputs:
            known = [*spec.params, *spec.inputs][:1000]
            hint = did_you_mean(str(key)[:60], known) or "the file has neither params nor inputs"
            wrong.append((key, "E305", f"there is no param or input {describe(key)}", hint))
            continue
        try:
            if key in spec.params:
                given.params[key] = check(spec.params[key], value)
            else:
                given.inputs[key] = _read_input(spec.inputs[key].type, value) if origin == SET else value
            given.origins[key] = origin
        except ValueError as error:
            wrong.append((key, "E302", f"{key}: {error}", ""))
    return wrong


def _read_input(type_: str, text: str) -> Any:
    """An input from the command line. A text is taken as it is; `[a, b]` is a list of texts; chats: read_chat_text.

    A picture, sound or video is `@file`, or just the file.
    """
    if type_.lstrip().startswith("Chat"):
        return read_chat_text(text)
    if text.startswith("@") and type_.lstrip().startswith(FILES):
        return text[1:]
    if not type_.lstrip().startswith("Text"):
        return parse_literal(text)
    if not (text.startswith("[") and text.endswith("]")):
        return text
    try:
        items = yaml.load(text, yaml.BaseLoader)  # every scalar stays text: [3, no] is "3" and "no"
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(f"cannot be read as a list of texts: {shorten(text)}") from error
    if not items or not all(isinstance(item, str) for item in items):
        raise ValueError(f"expects a text or a list of texts such as [a, b], got {shorten(text)}")
    return items
