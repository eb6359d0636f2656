"""Chat templates, which come from strangers: the Jinja environment that they run in, and how much they may do."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from functools import wraps
from typing import Any

from jinja2 import Undefined, nodes
from jinja2.exceptions import SecurityError, TemplateError
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace, pass_context

MOST_SOURCE, MOST_STEPS, MOST_TEXT = 1 << 18, 1 << 19, 1 << 24
"""Characters of a template; in one rendering, items that it looks at or makes, and characters that it makes."""
TURN = 8
"""Items that a turn of a loop or a call of a macro counts as."""
MOST_BITS, MOST_WIDTH = 4096, 1000
BEGIN, END = "\ufdd0", "\ufdd1"
"""Around what the assistant says. These are no characters: no text may have them."""

BUDGET = "_budget"
FILTERS = (
    *(
        "abs",
        "capitalize",
        "count",
        "d",
        "default",
        "dictsort",
        "e",
        "escape",
        "first",
        "float",
        "groupby",
        "indent",
    ),
    *("int", "items", "join", "last", "length", "list", "lower", "map", "max", "min", "reject", "rejectattr"),
    *(
        "replace",
        "reverse",
        "safe",
        "select",
        "selectattr",
        "sort",
        "string",
        "sum",
        "title",
        "trim",
        "unique",
        "upper",
    ),
)
GROWING = ("indent", "join", "replace")
"""Filters, and methods of texts, whose result may be as long as the product of what they are given."""
REFUSED = frozenset(("center", "expandtabs", "format", "format_map", "ljust", "rjust", "translate", "zfill"))
"""Methods of texts whose result may be of any length."""


class Budget:
    """What one rendering has left.

    Raises:
        SecurityError: more than that is wanted.
    """

    def __init__(self) -> None:
        self.steps, self.text = MOST_STEPS, MOST_TEXT

    def step(self, text: int) -> None:
        """One turn of a loop, whose body writes so many characters of its own."""
        self.look(TURN)
        self.write(text)

    def look(self, items: int) -> None:
        """So many items are looked at or made."""
        self.steps -= items
        if self.steps < 0:
            raise SecurityError("it takes too long: its loops turn too often, or over too much")

    def write(self, text: int) -> None:
        """So many characters are made."""
        self.text -= text
        if self.text < 0:
            raise SecurityError(f"it makes more than {MOST_TEXT} characters")

    def pay(self, value: Any) -> Any:
        """The value, after what it holds was counted."""
        stack = [value]
        while stack:
            item = stack.pop()
            if isinstance(item, Mapping):
                stack += [*item.keys(), *item.values()]
            elif isinstance(item, list | tuple):
                stack += item
            elif isinstance(item, Namespace):
                stack.append(item._Namespace__attrs)  # it may hold itself; what it hides is printed
            self.look(1)
            self.write(len(item) if isinstance(item, str) else 0)
        return value


class Marked(Extension):
    """`{% generation %} ... {% endgeneration %}`: what is within comes out between BEGIN and END."""

    tags = {"generation"}  # noqa: RUF012 - as Jinja declares it

    def parse(self, parser: Parser) -> nodes.Node:
        """The block as Jinja's nodes."""
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        call = self.call_method("mark")
        return nodes.CallBlock(call, [], [], body).set_lineno(line)

    def mark(self, caller: Callable[[], str]) -> str:
        """The text within, marked."""
        return f"{BEGIN}{caller()}{END}"


class Sandbox(ImmutableSandboxedEnvironment):
    """The environment of transformers' chat templates, with bounds; one may serve several threads.

    A template may not reach what is behind the values that it is given, change them, or read files; it may neither run
    nor grow without end.
    """

    intercepted_binops = frozenset(("+", "*", "**", "%"))

    def __init__(self) -> None:
        super().__init__(trim_blocks=True, lstrip_blocks=True, extensions=[Marked, loopcontrols])
        self.filters = {name: _bounded(name, self.filters[name]) for name in FILTERS}
        self.filters["tojson"] = _to_json
        self.globals = {"range": self.globals["range"], "dict": dict, "namespace": _namespace}
        self.globals |= {"raise_exception": _raise, "strftime_now": _now}
        self.finalize = _finalize

    def counted(self, source: str) -> nodes.Template:
        """A template whose loops, macros and literals spend the budget."""
        if len(source) > MOST_SOURCE:
            raise SecurityError(f"it is {len(source)} characters long, at most {MOST_SOURCE} are read")
        tree = self.parse(source)
        found: list[nodes.For | nodes.Macro | nodes.CallBlock] = [*tree.find_all(nodes.For)]
        found += [*tree.find_all(nodes.Macro), *tree.find_all(nodes.CallBlock)]
        for node in found:
            text = sum(len(data.data) for data in node.find_all(nodes.TemplateData))
            node.body.insert(0, nodes.ExprStmt(_call("step", nodes.Const(text))))
            if isinstance(node, nodes.For) and node.test is not None:
                node.test = nodes.And(_call("step", nodes.Const(0)), node.test)
        _wrap(tree)
        return tree

    def step(self, context: Context, text: int) -> bool:
        """See Budget.step."""
        context.parent[BUDGET].step(text)
        return True

    def pay(self, context: Context, value: Any) -> Any:
        """See Budget.pay."""
        return context.parent[BUDGET].pay(value)

    def look(self, context: Context, value: Any) -> Any:
        """The value, after the items that a filter will look at were counted."""
        context.parent[BUDGET].look(len(value) if isinstance(value, list | tuple | dict | range) else 1)
        return value

    def unsafe_undefined(self, obj: Any, attribute: str) -> Undefined:
        """Refuse at once."""
        raise SecurityError(f"it reads {attribute!r} of a {type(obj).__name__}, which it may not")

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """Nothing that is private, changes a value, or makes texts of any length."""
        return not (isinstance(obj, str) and attr in REFUSED) and super().is_safe_attribute(obj, attr, value)

    def wrap_str_format(self, value: Any) -> None:
        """`format` is refused as an attribute."""

    def call(self, context: Context, obj: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Call what may be called; what it makes is counted."""
        if getattr(obj, "__name__", "") in GROWING and isinstance(getattr(obj, "__self__", None), str):
            _check_product((obj.__self__, *args))
        found = super().call(context, obj, *args, **kwargs)
        return context.parent[BUDGET].pay(found) if isinstance(found, str | list | tuple | dict) else found

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Refuse what would be too large before it is made."""
        if operator == "%" and isinstance(left, str):
            _check_widths(left)
        numbers = [x for x in (left, right) if isinstance(x, int)]
        if operator == "*" and len(numbers) == 1:
            context.parent[BUDGET].write(_length(left) * _length(right))
        if operator in ("*", "**") and len(numbers) == 2:
            bits = left.bit_length() * right if operator == "**" else left.bit_length() + right.bit_length()
            if bits > MOST_BITS:
                raise SecurityError("a number in it is too large")
        if operator == "+" and not numbers:
            context.parent[BUDGET].write(_length(left) + _length(right))
        return super().call_binop(context, operator, left, right)


def _call(name: str, argument: nodes.Expr) -> nodes.Call:
    return nodes.Call(nodes.EnvironmentAttribute(name), [nodes.ContextReference(), argument], [], None, None)


def _wrap(node: nodes.Node) -> None:
    """Put `pay` around every literal collection and joined text that is read."""
    for name, value in node.iter_fields():
        if isinstance(value, list):
            setattr(node, name, [_wrapped(item) if isinstance(item, nodes.Node) else item for item in value])
        elif isinstance(value, nodes.Node):
            setattr(node, name, _wrapped(value))


def _wrapped(node: nodes.Node) -> nodes.Node:
    _wrap(node)
    if isinstance(node, nodes.Filter) and node.node is not None:
        node.node = _call("look", node.node)
    stored = isinstance(node, nodes.Tuple) and node.ctx != "load"
    if isinstance(node, nodes.List | nodes.Tuple | nodes.Dict | nodes.Concat) and not stored:
        return _call("pay", node)
    return node


def _bounded(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """A filter that refuses what would make too much of it."""
    if name not in GROWING:
        return function

    @wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        args = tuple(list(x) if isinstance(x, Iterator) else x for x in args)
        _check_product([x for x in (*args, *kwargs.values()) if isinstance(x, str | int | list | tuple)])
        return function(*args, **kwargs)

    return run


def _check_product(values: Any) -> None:
    product = 1
    for value in values:
        product *= max(1, value if isinstance(value, int) else _length(value))
    if product > MOST_TEXT:
        raise SecurityError("a text in it may become too long")


def _length(value: Any) -> int:
    return (
        max(0, value)
        if isinstance(value, int)
        else len(value)
        if isinstance(value, str | list | tuple)
        else 1
    )


def _check_widths(text: str) -> None:
    if "*" in text or any(int(number) > MOST_WIDTH for number in re.findall(r"\d+", text)):
        raise SecurityError(f"it formats to more than {MOST_WIDTH} characters")


def _namespace(*args: Any, **kwargs: Any) -> Namespace:
    return Namespace(*args, **kwargs)


@pass_context
def _finalize(context: Context, value: Any) -> Any:
    return context.parent[BUDGET].pay(value)


@pass_context
def _to_json(
    context: Context,
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """As JSON that is not escaped for HTML, as the templates of transformers expect it."""
    context.parent[BUDGET].pay(value)
    _check_product((indent or 1, MOST_WIDTH))
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def _raise(message: str) -> None:
    raise TemplateError(str(message))


def _now(form: str) -> str:
    _check_widths(form)
    return datetime.now().strftime(form)
