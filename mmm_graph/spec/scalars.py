"""Plain scalars of YAML 1.2 core -> Python values, and Python values -> short text for messages."""

from __future__ import annotations

import math
import re
from typing import Any

_NULL = frozenset(("", "~", "null", "Null", "NULL"))
_BOOL = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_MAX_DIGITS = 20


def read_scalar(text: str) -> Any:
    """`30` -> 30, `1e-3` -> 0.001, `true` -> True, `~` -> None; all else, such as `12:30` or `on`, is text.

    Raises:
        ValueError: infinite, not a number, or an integer of more than 64 bits.
    """
    if text in _NULL:
        return None
    if text in _BOOL:
        return _BOOL[text]
    if _INT.fullmatch(text):
        return _read_int(text)
    if _NOT_FINITE.fullmatch(text):
        raise ValueError(f"{text} is not a finite number")
    if _FLOAT.fullmatch(text):
        number = float(text)
        if not math.isfinite(number):
            raise ValueError(f"{shorten(text)} is too large for a number")
        return number
    return text


def _read_int(text: str) -> int:
    base = {"0o": 8, "0x": 16}.get(text[:2], 10)
    digits = text[2:] if base != 10 else text.lstrip("+-")
    significant = digits.lstrip("0") or "0"
    if len(significant) <= _MAX_DIGITS + 2:  # checked first: int() refuses thousands of digits
        number = -int(significant, base) if text[0] == "-" else int(significant, base)
        if -(2**63) <= number < 2**64:
            return number
    raise ValueError(f"the integer {shorten(text)} does not fit 64 bits")


def shorten(text: str, limit: int = 60) -> str:
    """The text itself, or its beginning and three dots."""
    return text if len(text) <= limit else text[: limit - 3] + "..."


def describe(value: Any) -> str:
    """What a message says that it found: `30`, `'abc'`, `true`, `nothing`, `a list`, `a mapping`."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return repr(shorten(value))
    if isinstance(value, (int, float)):
        return shorten(repr(value)) if abs(value) < 1e300 else "a huge number"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, (list, tuple)):
        return "a list"
    return f"a {type(value).__name__}"
