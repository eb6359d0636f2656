"""The graph file as frozen values: params, inputs, models, graphs, nodes, outputs, eval, train, parallel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PrivateAttr, model_validator

from mmm_graph.errors import Place
from mmm_graph.spec.base import (
    DottedName,
    Dtype,
    Items,
    Link,
    Name,
    PortName,
    Quantized,
    Spec,
    TypeText,
    refuse,
    short_form,
)
from mmm_graph.spec.files import mark_key
from mmm_graph.spec.node import CollectSpec, LoopSpec, NodeSpec, PreviewSpec, SubgraphSpec
from mmm_graph.spec.offload import Offload
from mmm_graph.spec.params import ParamSpec
from mmm_graph.spec.plan import ParallelSpec
from mmm_graph.spec.scalars import describe
from mmm_graph.spec.training import Data, DataSpec, StageSpec, TrainSpec

__all__ = [
    "AttachSpec", "CollectSpec", "DataSpec", "EvalSpec", "GraphSpec", "InputSpec", "LoopSpec",
    "ModelSpec", "NodeSpec", "OutputSpec", "ParallelSpec", "ParamSpec", "PreviewSpec", "StageSpec",
    "SubgraphSpec", "TrainSpec",
]  # fmt: skip


def _check_version(value: Any) -> Any:
    if value != 1 or type(value) is not int:
        is_newer = type(value) is int and value > 1
        hint = "the file may be for a newer version of this program" if is_newer else ""
        raise refuse("E112", f"expects 1, the version of the format, got {describe(value)}", hint)
    return value


class InputSpec(Spec):
    """An input of the graph; without a default it must be given."""

    type: TypeText
    default: Any = None

    @property
    def required(self) -> bool:
        """Whether a run without it is refused (an optional type `Kind?` is not required)."""
        return "default" not in self.model_fields_set and not self.type.rstrip().endswith("?")


class AttachSpec(Spec):
    """Parts added to a model: another model, copied to every place, or LoRA weights (live, or merged when loaded)."""

    model: DottedName | None = None
    lora: str | None = None
    at: str | None = None
    every: int = Field(1, ge=1)
    offset: int = Field(0, ge=0)
    side: Literal["before", "after"] = "before"
    scale: Any = 1.0
    merge: bool = False

    @model_validator(mode="after")
    def _check(self) -> AttachSpec:
        if (self.model is None) == (self.lora is None):
            raise refuse("E118", "attach takes exactly one of `model:` and `lora:`")
        form, others = ("lora", _OF_MODEL) if self.model is None else ("model", _OF_LORA)
        for key in others:
            if key in self.model_fields_set:
                raise refuse("E118", f"attach with `{form}:` has no `{key}:`", "leave it out", (key,))
        return self


_OF_MODEL, _OF_LORA = ("at", "every", "offset", "side"), ("scale", "merge")


CompileMode = Literal["default", "reduce-overhead", "max-autotune"]


class ModelSpec(Spec):
    """A thing with a config and methods. Any text may be `$params.x`."""

    kind: str
    weights: str | None = None
    config: dict[str, Any] = Field(default_factory=dict)
    dtype: Dtype | None = None
    init: str | None = None
    space: str | None = None
    attach: Items[AttachSpec] = ()
    use: dict[PortName, DottedName] = Field(default_factory=dict)
    quantize: Quantized | None = None
    compile: bool | CompileMode = False
    offload: Offload = False


class OutputSpec(Spec):
    """A value that leaves the graph, its declared type, and how it is saved."""

    from_: Link = Field(alias="from")
    type: TypeText | None = None
    save: dict[str, Any] | None = None


class EvalSpec(Spec):
    """An evaluation: its data, nodes of its own, the metrics they end in, and what groups rows."""

    data: Data | None = None
    nodes: dict[Name, NodeSpec]
    metrics: dict[Name, Link]
    by: Link | None = None


@dataclass(frozen=True)
class Source:
    """Where a spec came from; not part of its meaning."""

    file: str = "<memory>"
    base: Path = Path()
    places: Mapping[tuple[str | int, ...], Place] = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)
    given: Mapping[str, Any] = field(default_factory=dict)
    origins: Mapping[str, str] = field(default_factory=dict)


class GraphSpec(Spec):
    """A graph file with its includes merged. Specs are equal when they say the same, wherever they stand."""

    schema_: str | None = Field(None, alias="$schema")
    mmm: Annotated[Literal[1], BeforeValidator(_check_version)]
    name: str | None = None
    description: str | None = None
    requires: dict[str, str] = Field(default_factory=dict)
    params: dict[DottedName, ParamSpec] = Field(default_factory=dict)
    inputs: dict[Name, Annotated[InputSpec, short_form("type")]] = Field(default_factory=dict)
    include: dict[Name, str] = Field(default_factory=dict)
    models: dict[DottedName, ModelSpec] = Field(default_factory=dict)
    graphs: dict[DottedName, SubgraphSpec] = Field(default_factory=dict)
    nodes: dict[Name, NodeSpec] = Field(default_factory=dict)
    outputs: dict[Name, Annotated[OutputSpec, short_form("from")]] = Field(default_factory=dict)
    eval: dict[Name, EvalSpec] = Field(default_factory=dict)
    train: TrainSpec | None = None
    parallel: ParallelSpec | None = None

    _source: Source = PrivateAttr(default_factory=Source)

    @property
    def file(self) -> str:
        """The file's name as it was given, or `<text>`."""
        return self._source.file

    @property
    def base(self) -> Path:
        """The folder that `file:` sources are relative to."""
        return self._source.base

    @property
    def values(self) -> Mapping[str, Any]:
        """The params after overrides; one that has neither a default nor a given value is missing here."""
        return self._source.values

    @property
    def given(self) -> Mapping[str, Any]:
        """Values of inputs given by --set, --params or Python."""
        return self._source.given

    @property
    def origins(self) -> Mapping[str, str]:
        """Where each param, given input and changed key got its value: default, --set, a file or python."""
        return self._source.origins

    def place(self, *path: str | int) -> Place | None:
        """Where the file says this: the place of the key's value, or of the nearest thing around it.

        What a training stage inherits is found in the stage that says it.
        """
        places = self._source.places
        if path[:2] == ("train", "stages") and len(path) > 4 and self.train and path[2] in self.train.stages:
            stages = (path[2], *self.train.ancestors(str(path[2])))
            path = next(
                ((*path[:2], s, *path[3:]) for s in stages if (*path[:2], s, *path[3:5]) in places), path
            )
        for length in range(len(path), -1, -1):
            if path[:length] in places:
                return places[path[:length]]
        return None

    def key_place(self, *path: str | int) -> Place | None:
        """Where the key of that path stands, or the nearest thing around it."""
        return self._source.places.get(mark_key(path)) or self.place(*path)

    def with_source(self, source: Source) -> GraphSpec:
        """The same spec, with that source."""
        copy = self.model_copy()
        copy._source = source
        return copy

    def with_values(
        self, values: Mapping[str, Any], given: Mapping[str, Any], origins: Mapping[str, str]
    ) -> GraphSpec:
        """The same spec, with other values of its params and inputs."""
        return self.with_source(replace(self._source, values=values, given=given, origins=origins))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, GraphSpec) and self.__dict__ == other.__dict__

    def __hash__(self) -> int:
        return hash((self.name, tuple(self.models), tuple(self.nodes)))
