"""Graphs from Python: the same nouns as a file, written by calls; `spec()` is what the file would say."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from mmm_graph.errors import InputError, Place, problem
from mmm_graph.spec import GraphSpec, load_spec, to_yaml


@dataclass(frozen=True)
class LinkText:
    """A value of the graph being built; `value.port` names one of its ports."""

    text: str

    def __getattr__(self, port: str) -> LinkText:
        if port.startswith("_"):
            raise AttributeError(port)
        return LinkText(f"{self.text}.{port}")


@dataclass(frozen=True)
class MethodText:
    """A method of a model of the graph being built."""

    text: str


@dataclass(frozen=True)
class ModelText:
    """A model of the graph being built; `model.method` is what `call` takes."""

    name: str

    def __getattr__(self, method: str) -> MethodText:
        if method.startswith("_"):
            raise AttributeError(method)
        return MethodText(f"{self.name}.{method}")


class Graph:
    """A graph file under construction.

    g = mmm.Graph("clip")
    vision = g.model("vision", "encoder.clip_vit", weights="file:...")
    x = g.call(vision.pooled, image=g.input("image", "Image[b,3,h,w]"))
    g.output("embeds", x.embeds)
    g.dump("clip.yaml")
    """

    def __init__(self, name: str) -> None:
        self._tree: dict[str, Any] = {"mmm": 1, "name": name}

    def param(self, name: str, type_: str, default: Any, **bounds: Any) -> str:
        """Declare a param; returns `$params.name`, to be put into configs."""
        self._section("params", name)[name] = {"type": type_, "default": default, **bounds}
        return f"$params.{name}"

    def input(self, name: str, type_: str, **default: Any) -> LinkText:
        """Declare an input, such as input("prompt", "Text[b]", default="")."""
        self._section("inputs", name)[name] = {"type": type_, **default} if default else type_
        return LinkText(f"$in.{name}")

    def model(self, name: str, kind: str, **keys: Any) -> ModelText:
        """Declare a model; keys are those of the file: weights, config, init, dtype, space."""
        self._section("models", name)[name] = {"kind": kind, **keys}
        return ModelText(name)

    def call(
        self,
        method: MethodText | ModelText,
        *,
        node: str = "",
        config: Mapping[str, Any] | None = None,
        when: LinkText | str | None = None,
        **inputs: Any,
    ) -> LinkText:
        """Add a call of a model's method; `node` names it (default: model and method)."""
        text = method.text if isinstance(method, MethodText) else method.name
        keys = {"config": config, "when": when}
        return self._node(node, text.replace(".", "_"), {"call": text}, inputs, keys)

    def op(
        self,
        kind: str,
        *,
        node: str = "",
        config: Mapping[str, Any] | None = None,
        use: Mapping[str, ModelText] | None = None,
        when: LinkText | str | None = None,
        **inputs: Any,
    ) -> LinkText:
        """Add an op or a composite."""
        roles = {k: v.name for k, v in (use or {}).items()} or None
        keys = {"config": config, "use": roles, "when": when}
        return self._node(node, kind.rpartition(".")[2], {"op": kind}, inputs, keys)

    def output(self, name: str, value: LinkText, **keys: Any) -> None:
        """Declare an output; keys are `type` and `save`."""
        if not isinstance(value, LinkText):
            raise TypeError(f"output {name} expects a value of the graph, got {value!r}")
        self._section("outputs", name)[name] = {"from": value.text, **keys} if keys else value.text

    def text(self) -> str:
        """The graph file."""
        return to_yaml(self._tree)

    def spec(self) -> GraphSpec:
        """The checked spec.

        Raises:
            InputError: what was written is not a graph file.
        """
        return load_spec(self.text())

    def dump(self, path: str | Path) -> None:
        """Write the graph file, whole or not at all.

        Raises:
            InputError: E101, it cannot be written.
        """
        target = Path(path)
        partial = target.with_name(f".{target.name}.{os.getpid()}")
        try:
            partial.write_text(self.text(), encoding="utf-8")
            partial.replace(target)
        except OSError as error:
            raise InputError(problem("E101", f"cannot be written: {error}", Place(str(target)))) from error

    def _node(
        self,
        name: str,
        default: str,
        form: dict[str, Any],
        inputs: Mapping[str, Any],
        keys: Mapping[str, Any],
    ) -> LinkText:
        nodes = self._section("nodes", name)
        free = name or next(n for n in _numbered(default) if n not in nodes)
        plain = {k: _plain(v) for k, v in keys.items() if v}
        nodes[free] = {**form, **plain, "in": {k: _plain(v) for k, v in inputs.items()}}
        return LinkText(free)

    def _section(self, section: str, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self._tree.setdefault(section, {})
        if name in found:
            raise InputError(problem("E113", f"{section} has {name!r} already"))
        return found


def _numbered(name: str) -> Iterator[str]:
    yield name
    yield from (f"{name}{number}" for number in count(2))


def _plain(value: Any) -> Any:
    if isinstance(value, LinkText):
        return value.text
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return value
