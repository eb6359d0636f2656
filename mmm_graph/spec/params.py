"""Typed params: declaring them, checking values, and putting values where `$params.x` stands."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Literal

from pydantic import Field, SecretStr, model_validator

from mmm_graph.errors import InputError, Place, Problem, did_you_mean, problem
from mmm_graph.spec.base import Items, Spec, param_name, refuse
from mmm_graph.spec.files import Path_, read_text
from mmm_graph.spec.scalars import describe, read_scalar

Type = Literal["int", "float", "bool", "str", "enum", "list", "kind", "path", "seed", "secret"]
PlaceOf = Callable[[Path_], "Place | None"]

_KIND = re.compile(r"[a-z_]\w*(\.\w+)+", re.ASCII)
_MAX_SEED = 2**64 - 1


class ParamSpec(Spec):
    """A typed value that a user may set. Without a default it must be given before it is used.

    Attributes:
        type: `seed` is an integer of 64 bits or a list of them; `kind` the name of a node type; `path` a file
            or folder; a `secret` has no default, is never written anywhere, and its value is a SecretStr.
        min, max, multiple_of: bounds of an int or float; min and max of a list bound its length.
        choices: the values of an enum.
        role: the role that a kind must have, such as "sampler".
    """

    type: Type
    default: Any = None
    min: float | None = None
    max: float | None = None
    multiple_of: float | None = Field(None, gt=0)
    choices: Items[Any] | None = None
    role: str | None = None
    help: str = ""

    @property
    def required(self) -> bool:
        """Whether it has no default."""
        return "default" not in self.model_fields_set

    @model_validator(mode="after")
    def _check(self) -> ParamSpec:
        for key, types in _KEYS.items():
            if getattr(self, key) is not None and self.type not in types:
                raise refuse("E303", f"a param of type {self.type} has no `{key}:`", "", (key,))
        if self.type == "enum" and not self.choices:
            raise refuse("E303", "a param of type enum needs `choices:`")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise refuse("E303", f"min {self.min:g} is above max {self.max:g}", "", ("min",))
        if self.type == "secret" and not self.required:
            raise refuse("E303", "a secret has no default", "give its value when running", ("default",))
        if not self.required:
            try:
                check_value(self, self.default)
            except ValueError as error:
                raise refuse("E302", f"the default {error}", "", ("default",)) from error
        return self


_NUMBERS = ("int", "float")
_KEYS = {
    "min": (*_NUMBERS, "list"), "max": (*_NUMBERS, "list"), "multiple_of": _NUMBERS,
    "choices": ("enum",), "role": ("kind",),
}  # fmt: skip


def check_value(spec: ParamSpec, value: Any) -> Any:
    """The value as the param's type: an integral float becomes an int, an int a float, a tuple a list.

    Raises:
        ValueError: "expects ..., got ...", without the name of the param.
    """
    value = _CHECKS[spec.type](spec, value)
    if spec.type in (*_NUMBERS, "list"):
        _check_bounds(spec, value)
    return value


def read_value(spec: ParamSpec, text: str) -> Any:
    """The value that a text from the command line stands for: text stays text where the type is text.

    Raises:
        ValueError: like check_value.
    """
    if spec.type in ("str", "kind", "path", "secret"):
        return check_value(spec, text)
    if spec.type == "enum" and text in (spec.choices or ()):
        return text
    return check_value(spec, parse_literal(text))


def parse_literal(text: str) -> Any:
    """A value written on the command line, in YAML: `3`, `true`, `[1, 2]`, `{a: 1}`, or plain text.

    Raises:
        ValueError: brackets that do not close, or an unreadable number.
    """
    if not text.strip().startswith(("[", "{", '"', "'")):
        return read_scalar(text.strip()) if text.strip() else text
    tree, problems = read_text(text, "value")
    if problems:
        raise ValueError(f"cannot be read: {problems[0].message}")
    return tree.value


def substitute(value: Any, values: Mapping[str, Any], place_of: PlaceOf | None = None) -> Any:
    """The value with every `$params.x` replaced, also inside lists and maps; never a part of a text.

    Args:
        value: what stands under `config:`, or any other value of a spec.
        values: `spec.values`.
        place_of: the keys that lead from `value` to a wrong `$params.x`, as a tuple -> its place.

    Raises:
        InputError: E301 for each unknown or missing param.
    """
    problems: list[Problem] = []
    result = _substitute(value, values, (), problems, place_of or (lambda path: None))
    if problems:
        raise InputError(problems)
    return result


def _substitute(
    value: Any,
    values: Mapping[str, Any],
    path: Path_,
    problems: list[Problem],
    place_of: PlaceOf,
) -> Any:
    if isinstance(value, Mapping):
        return {k: _substitute(v, values, (*path, k), problems, place_of) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_substitute(v, values, (*path, i), problems, place_of) for i, v in enumerate(value)]
    if not isinstance(value, str) or not value.startswith("$params"):
        return value
    name = param_name(value)
    if name is None:
        problems.append(
            problem("E301", f"{describe(value)} is not a param", place_of(path), "write $params.name")
        )
    elif name not in values:
        hint = did_you_mean(name, values) or "declare it under `params:`"
        problems.append(
            problem("E301", f"the param {name!r} is unknown or has no value", place_of(path), hint)
        )
    else:
        return values[name]
    return None


def _wrong(spec: ParamSpec, value: Any, expected: str = "") -> ValueError:
    return ValueError(f"expects {expected or _WORDS[spec.type]}, got {describe(value)}")


def _int(spec: ParamSpec, value: Any) -> int:
    if isinstance(value, float) and value.is_integer():  # neither infinite nor nan
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise _wrong(spec, value)
    if not -(2**63) <= value < 2**64:
        raise _wrong(spec, value, "an integer of 64 bits")
    return value


def _float(spec: ParamSpec, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise _wrong(spec, value)
    if abs(value) > 1e300 or value != value:
        raise _wrong(spec, value, "a finite number")
    return float(value)


def _bool(spec: ParamSpec, value: Any) -> bool:
    if not isinstance(value, bool):
        raise _wrong(spec, value)
    return value


def _text(spec: ParamSpec, value: Any) -> str:
    if not isinstance(value, str):
        raise _wrong(spec, value)
    return value


def _enum(spec: ParamSpec, value: Any) -> Any:
    choices = spec.choices or ()
    for choice in choices:
        if choice == value and isinstance(choice, bool) == isinstance(value, bool):
            return choice
    raise _wrong(spec, value, "one of " + ", ".join(describe(choice) for choice in choices))


def _list(spec: ParamSpec, value: Any) -> list[Any]:
    if not isinstance(value, (list, tuple)):
        raise _wrong(spec, value)
    return list(value)


def _kind(spec: ParamSpec, value: Any) -> str:
    if not isinstance(value, str) or not _KIND.fullmatch(value):
        raise _wrong(spec, value, f"a kind such as {spec.role or 'role'}.name")
    if spec.role and value.partition(".")[0] != spec.role:
        raise _wrong(spec, value, f"a kind of role {spec.role}")
    return value


def _path(spec: ParamSpec, value: Any) -> str:
    if not isinstance(value, str) or not value or "\0" in value:
        raise _wrong(spec, value)
    return value


def _seed(spec: ParamSpec, value: Any) -> int | list[int]:
    if isinstance(value, (list, tuple)) and value:
        return [_one_seed(spec, item) for item in value]
    return _one_seed(spec, value)


def _one_seed(spec: ParamSpec, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MAX_SEED:
        raise _wrong(spec, value)
    return value


def _secret(spec: ParamSpec, value: Any) -> SecretStr:
    if isinstance(value, SecretStr):
        return value
    if not isinstance(value, str) or not value:
        raise ValueError("expects a secret text")  # never says what it got
    return SecretStr(value)


_CHECKS: dict[str, Callable[[ParamSpec, Any], Any]] = {
    "int": _int, "float": _float, "bool": _bool, "str": _text, "enum": _enum, "list": _list, "kind": _kind,
    "path": _path, "seed": _seed, "secret": _secret,
}  # fmt: skip
_WORDS = {
    "int": "an integer", "float": "a number", "bool": "true or false", "str": "text", "list": "a list",
    "path": "a path", "seed": "a seed from 0 to 2^64 - 1, or a list of seeds",
}  # fmt: skip


def _check_bounds(spec: ParamSpec, value: Any) -> None:
    number, what = (len(value), "items") if isinstance(value, list) else (value, "")
    if spec.min is not None and number < spec.min:
        raise _wrong(spec, value, f"at least {spec.min:g} {what}".strip())
    if spec.max is not None and number > spec.max:
        raise _wrong(spec, value, f"at most {spec.max:g} {what}".strip())
    if spec.multiple_of is not None:
        ratio = number / spec.multiple_of
        if abs(ratio - round(ratio)) > 1e-9 * max(1.0, abs(ratio)):
            raise _wrong(spec, value, f"a multiple of {spec.multiple_of:g}")
