"""Pydantic's errors -> Problems in the words of the file, each with its place."""

from __future__ import annotations

import typing
from collections.abc import Iterable, Mapping
from types import UnionType
from typing import Any, Union

from pydantic import BaseModel, ValidationError

from mmm_graph.errors import Place, Problem, did_you_mean, problem
from mmm_graph.spec.files import MAX_PROBLEMS, Path_, mark_key
from mmm_graph.spec.scalars import describe, shorten

_EXPECTS = {
    "string_type": "text", "int_type": "an integer", "int_from_float": "an integer", "float_type": "a number",
    "bool_type": "true or false", "dict_type": "a mapping", "model_type": "a mapping",
    "model_attributes_type": "a mapping", "tuple_type": "a list", "union_tag_not_found": "a link",
}  # fmt: skip
_BOUNDS = {
    "greater_than": ("gt", "more than"), "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"), "less_than_equal": ("le", "at most"),
    "too_short": ("min_length", "a list of at least"),
}  # fmt: skip
_KEY_MARK = "[key]"
Item = dict[str, Any]


def explain(
    error: ValidationError, model: type[BaseModel], value: Any, places: Mapping[Path_, Place]
) -> list[Problem]:
    """One Problem per wrong value of `value`, which was validated as `model`, in the order of the file."""
    found: dict[Path_ | str, Problem] = {}
    wanted: dict[Path_, list[str]] = {}
    for item in error.errors(include_url=False)[: 3 * MAX_PROBLEMS]:
        path = _in_file(item["loc"], value)
        if item["type"] in _SPECIAL:
            one = _SPECIAL[item["type"]](dict(item), model, value, places)
            found.setdefault(str(one), one)
            continue
        # each alternative of a union reports: their wishes are joined
        wishes = wanted.setdefault(path, [])
        wishes += [wish for wish in [_wish(dict(item))] if wish not in wishes]
        message = f"{_prefix(path)}expects {' or '.join(wishes)}, got {describe(item['input'])}"
        found[path] = problem("E112", message, nearest(path, places))
    return in_order(found.values())


def in_order(problems: Iterable[Problem]) -> list[Problem]:
    """By file (in order of appearance), line and column."""
    listed = list(problems)
    files = list(dict.fromkeys(p.place.file if p.place else "" for p in listed))

    def rank(p: Problem) -> tuple[int, int, int]:
        return (files.index(p.place.file), p.place.line, p.place.col) if p.place else (files.index(""), 0, 0)

    return sorted(listed, key=rank)


def dotted(path: Iterable[str | int]) -> str:
    """`models.unet.attach.0`, shortened where a key is huge."""
    return ".".join(shorten(str(step)) for step in path)


def nearest(path: Path_, places: Mapping[Path_, Place]) -> Place | None:
    """The place of the path, or of the nearest thing around it."""
    return next((places[path[:n]] for n in range(len(path), -1, -1) if path[:n] in places), None)


def _prefix(path: Path_) -> str:
    return f"{dotted(path)}: " if path else ""


def _unknown_key(item: Item, model: type[BaseModel], value: Any, places: Mapping[Path_, Place]) -> Problem:
    path, key = _in_file(item["loc"], value), item["loc"][-1]
    around = f" in {dotted(path[:-1])}" if path[:-1] else ""
    hint = did_you_mean(str(key)[:60], _keys_at(model, item["loc"][:-1]))
    place = places.get(mark_key(path)) or nearest(path, places)
    return problem("E110", f"unknown key {describe(key)}{around}", place, hint)


def _missing_key(item: Item, model: type[BaseModel], value: Any, places: Mapping[Path_, Place]) -> Problem:
    path, key = _in_file(item["loc"], value), item["loc"][-1]
    hint = "a graph file starts with `mmm: 1`" if key == "mmm" else ""
    return problem("E111", f"{_prefix(path)}the key `{key}:` is missing", nearest(path, places), hint)


def _refused(item: Item, model: type[BaseModel], value: Any, places: Mapping[Path_, Place]) -> Problem:
    context = item["ctx"]
    path = _in_file((*item["loc"], *context.get("at", ())), value)
    place = places.get(mark_key(path)) if _KEY_MARK in item["loc"] else None
    message = _prefix(path) + (context.get("message") or item["msg"])
    return problem(context["code"], message, place or nearest(path, places), context.get("hint", ""))


_SPECIAL = {"extra_forbidden": _unknown_key, "missing": _missing_key, "refused": _refused}


def _wish(item: Item) -> str:
    """What pydantic expected, in words that follow "expects"."""
    kind, context = item["type"], item.get("ctx", {})
    if kind in _EXPECTS:
        return _EXPECTS[kind]
    if kind in _BOUNDS:
        key, words = _BOUNDS[kind]
        return f"{words} {context[key]}"
    return (
        str(context["expected"])
        if kind == "literal_error"
        else str(item["msg"]).removeprefix("Input should be ")
    )


def _in_file(loc: Iterable[str | int], value: Any) -> Path_:
    """The steps of `loc` that are keys and indices of the file; pydantic adds tags and field names."""
    path: list[str | int] = []
    for step in loc:
        inside = (isinstance(value, dict) and step in value) or (
            isinstance(value, (list, tuple)) and isinstance(step, int) and step < len(value)
        )
        if inside:
            path.append(step)
            value = value[step]
    return tuple(path)


def _keys_at(model: type[BaseModel], loc: Iterable[str | int]) -> set[str]:
    """The keys that the models at this place know."""
    types = _flatten(model)
    for step in loc:
        types = [inner for kind in types for inner in _inside(kind, step)] or types  # a tag: stay
    return {f.alias or name for kind in _models(types) for name, f in kind.model_fields.items()}


def _models(types: Iterable[Any]) -> list[type[BaseModel]]:
    return [t for t in types if isinstance(t, type) and issubclass(t, BaseModel)]


def _flatten(annotation: Any) -> list[Any]:
    """The alternatives of a type, without Annotated and Optional."""
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        return _flatten(typing.get_args(annotation)[0])
    if origin in (Union, UnionType):
        return [inner for option in typing.get_args(annotation) for inner in _flatten(option)]
    return [annotation]


def _inside(kind: Any, step: str | int) -> list[Any]:
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin is dict:
        return _flatten(args[1]) if isinstance(step, str) and not step.startswith("<") else []
    if origin is tuple:
        return _flatten(args[0]) if isinstance(step, int) else []
    for model in _models([kind]):
        for name, info in model.model_fields.items():
            if step == (info.alias or name):
                return _flatten(info.annotation)
    return []
