"""Any noun -> plain JSON values, the same on every run: what golden files and `--json` hold."""

from __future__ import annotations

import json
from collections.abc import Mapping, Set
from dataclasses import MISSING, Field, fields, is_dataclass
from enum import Enum
from fractions import Fraction
from pathlib import PurePath
from typing import Any

from pydantic import BaseModel

from mmm_graph.errors import Place
from mmm_graph.graph.graph import Ref
from mmm_graph.spec.ports import Dim, PortType


def to_json(noun: object) -> Any:
    """GraphSpec, Graph, Plan, instructions, or anything made of dataclasses, pydantic models and containers.

    A dataclass or named tuple becomes a mapping that begins with `is`, its class; fields at their defaults are left
    out, so that a new field with a default changes no golden file. Port types and refs become their text. Places in
    files are left out: they change with every blank line.

    Raises:
        TypeError: the noun holds something that has no plain form, such as a tensor.
    """
    if noun is None or isinstance(noun, bool | int | float | str):
        return noun
    if isinstance(noun, PortType | Ref | Dim | Fraction):
        return str(noun)
    if isinstance(noun, PurePath):
        return noun.as_posix()
    if isinstance(noun, Enum):
        return to_json(noun.value)
    if isinstance(noun, BaseModel):
        return noun.model_dump(mode="json", by_alias=True)
    if is_dataclass(noun) and not isinstance(noun, type):
        values = {f.name: getattr(noun, f.name) for f in fields(noun) if f.repr}
        return _record(noun, values, {f.name: _default(f) for f in fields(noun)})
    if isinstance(noun, Mapping):
        return _mapping(noun)
    if isinstance(noun, Set):
        return sorted((to_json(x) for x in noun), key=str)
    if isinstance(noun, tuple) and hasattr(noun, "_asdict"):
        return _record(noun, noun._asdict(), getattr(noun, "_field_defaults", {}))
    if isinstance(noun, list | tuple):
        return [to_json(x) for x in noun]
    if callable(noun):
        return f"{noun.__module__}:{getattr(noun, '__qualname__', type(noun).__name__)}"
    raise TypeError(f"{type(noun).__module__}.{type(noun).__qualname__} has no plain JSON form")


def dump_json(noun: object) -> str:
    """The text of `to_json(noun)`, indented, with a final newline."""
    return json.dumps(to_json(noun), indent=2, ensure_ascii=False) + "\n"


def _mapping(values: Mapping[Any, Any]) -> dict[str, Any]:
    return {str(k): to_json(v) for k, v in values.items() if not isinstance(v, Place)}


def _record(noun: object, values: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    shown = {k: v for k, v in values.items() if not (k in defaults and _same(v, defaults[k]))}
    return {"is": type(noun).__name__} | _mapping(shown)


def _default(field: Field[Any]) -> Any:
    return field.default_factory() if field.default_factory is not MISSING else field.default


def _same(value: object, default: object) -> bool:
    """Equal and of one type: 0 is not False."""
    return value is default or (type(value) is type(default) and bool(value == default))
