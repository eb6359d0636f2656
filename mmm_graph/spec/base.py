"""What all spec models share: strict fields, names, links, short forms, refusals with a code and a hint."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    Tag,
    WithJsonSchema,
)
from pydantic_core import CoreSchema, PydanticCustomError
from pydantic_core.core_schema import no_info_before_validator_function

from mmm_graph.config import Config
from mmm_graph.spec.ports import KINDS, parse_port
from mmm_graph.spec.scalars import describe

DTYPES = ("f64", "f32", "f16", "bf16")
QUANTIZED = ("int8", "int4")
RESERVED = frozenset(("in", "data", "carry", "each", "params"))

NAME_PATTERN = r"[a-z_][A-Za-z0-9_]*"
DOTTED_PATTERN = rf"{NAME_PATTERN}(\.{NAME_PATTERN})*"
PARAM_PATTERN = r"\$params\.([A-Za-z_]\w*(\.[A-Za-z_]\w*)*)"
LINK_PATTERN = r"(\$(in|data|carry|each)|[a-z_]\w*(/[a-z_]\w*)*)(\.\w+)*"

T = TypeVar("T")


_NAME = re.compile(NAME_PATTERN)
_PORT = re.compile(r"[A-Za-z_]\w*(\.\w+)*", re.ASCII)
_LINK = re.compile(LINK_PATTERN, re.ASCII)
_PARAM = re.compile(PARAM_PATTERN, re.ASCII)


class Spec(Config):
    """Base of what is read from a graph file: no value is converted to another type."""

    model_config = ConfigDict(strict=True)


def refuse(code: str, message: str, hint: str = "", at: tuple[str | int, ...] = ()) -> PydanticCustomError:
    """An error for pydantic to collect; `at` leads from the validated value to the wrong one."""
    context = {"code": code, "message": message, "hint": hint, "at": at}
    return PydanticCustomError("refused", "{message}", context)


def _check_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        hint = "a name is letters, digits and _, and starts with a small letter or _"
        raise refuse("E113", f"{describe(name)} is not a name", hint)
    if name in RESERVED:
        raise refuse("E113", f"the name {name!r} is reserved", "reserved: " + ", ".join(sorted(RESERVED)))
    return name


def _check_dotted(name: str) -> str:
    for part in name.split("."):
        _check_name(part)
    return name


def _check_port(name: str) -> str:
    if not _PORT.fullmatch(name):
        raise refuse("E113", f"{describe(name)} is not the name of a port")
    return name


def _check_type(text: str) -> str:
    kind = text.strip().partition("[")[0].partition("{")[0].rstrip("*? ")
    try:
        parse_port(text, KINDS | {kind})  # plugins add kinds; an unknown one is found when compiled
    except ValueError as error:
        raise refuse("E117", str(error)) from error
    return text


def _check_link(text: str) -> str:
    if _LINK.fullmatch(text):
        return text
    if text.startswith("$params"):
        raise refuse("E116", f"{describe(text)} is a param, not a link", "params go under `config:`")
    hint = "a link is node, node.port, $in.x, $data.x, $carry.x or $each.x; literals go under `config:`"
    raise refuse("E116", f"{describe(text)} is not a link", hint)


def _check_dtype(text: str) -> str:
    if text in DTYPES or param_name(text):
        return text
    raise refuse("E112", f"expects {', '.join(DTYPES)} or $params.x, got {describe(text)}")


def _check_quantized(text: str) -> str:
    if text in QUANTIZED or param_name(text):
        return text
    raise refuse("E112", f"expects {' or '.join(QUANTIZED)} or $params.x, got {describe(text)}")


def _check_when(text: str) -> str:
    return text if param_name(text) else _check_link(text)


def is_name(name: str) -> bool:
    """Whether it may name a node or an include."""
    return bool(_NAME.fullmatch(name)) and name not in RESERVED


def param_name(value: Any) -> str | None:
    """`"$params.steps"` -> "steps"; None for any other value."""
    match = _PARAM.fullmatch(value) if isinstance(value, str) else None
    return match[1] if match else None


def _check_count(value: Any) -> Any:
    if param_name(value) or (isinstance(value, int) and not isinstance(value, bool) and value > 0):
        return value
    raise refuse("E112", f"expects a positive integer or $params.x, got {describe(value)}")


def _as_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


@dataclass(frozen=True, eq=False)  # hashed by identity: typing hashes what stands in Annotated
class Short:
    """Marks a type that may be written shorter: `lengthen` turns the short form into the long one.

    `schema` is the JSON Schema of the short form.
    """

    lengthen: Callable[[Any], Any]
    schema: Mapping[str, Any]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return no_info_before_validator_function(self.lengthen, handler(source))

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"anyOf": [dict(self.schema), handler(core)]}


def short_form(key: str, kind: type = str) -> Short:
    """Lets a bare value (text, unless said otherwise) stand for the mapping `{key: value}`."""
    names = {str: "string", int: "integer", float: "number"}
    kinds = (int, float) if kind is float else kind
    return Short(lambda value: {key: value} if isinstance(value, kinds) else value, {"type": names[kind]})


def _form_of_link(value: Any) -> str | None:
    forms = {str: "<link>", list: "<list>", tuple: "<list>", dict: "<map>"}
    return next((tag for kind, tag in forms.items() if isinstance(value, kind)), None)


def _pattern(pattern: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": f"^{pattern}$"})


Name = Annotated[str, AfterValidator(_check_name), _pattern(NAME_PATTERN)]
"""Name of a node, input, output, stage or plan: [a-z_][A-Za-z0-9_]*, not reserved."""

DottedName = Annotated[str, AfterValidator(_check_dotted), _pattern(DOTTED_PATTERN)]
"""Name of a model, subgraph or param; an include puts `prefix.` before it."""

PortName = Annotated[str, AfterValidator(_check_port)]

Link = Annotated[str, AfterValidator(_check_link), _pattern(LINK_PATTERN)]
"""`node.port`, `node`, `$in.x`, `$data.x`, `$carry.x`, `$each.x`."""

TypeText = Annotated[str, AfterValidator(_check_type)]
"""A port type such as `Image[b,3,h,w]`; its grammar is checked here, its kind when compiled."""

When = Annotated[str, AfterValidator(_check_when), _pattern(f"({LINK_PATTERN}|{PARAM_PATTERN})")]
"""What stands under `when:`: a link to a Bool, or a bool param, `$params.x`."""

Dtype = Annotated[str, AfterValidator(_check_dtype), _pattern(f"({'|'.join(DTYPES)}|{PARAM_PATTERN})")]
"""A floating-point type of DTYPES, or `$params.x`."""

Quantized = Annotated[
    str, AfterValidator(_check_quantized), _pattern(f"({'|'.join(QUANTIZED)}|{PARAM_PATTERN})")
]
"""How weights are kept, one of QUANTIZED, or `$params.x`."""

Items = Annotated[tuple[T, ...], BeforeValidator(_as_tuple)]
"""A list of the file, kept as a tuple."""

Count = Annotated[
    Any,
    AfterValidator(_check_count),
    WithJsonSchema(
        {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "string", "pattern": f"^{PARAM_PATTERN}$"}]}
    ),
]
"""A positive integer, or `$params.x`."""

InLink = Annotated[
    Annotated[Link, Tag("<link>")]
    | Annotated[Items[Link], Tag("<list>")]
    | Annotated[dict[PortName, Link], Tag("<map>")],
    Discriminator(
        _form_of_link,
        custom_error_type="refused",
        custom_error_message="expects a link, a list or a mapping of links; literals go under `config:`",
        custom_error_context={"code": "E116"},
    ),
]
"""What stands under `in:`: one link, a list (variadic ports), or a mapping (a Cond)."""
