"""The plugin API: node types as frozen values. Builders and functions are strings, imported at first use."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple

from mmm_graph.config import Config, Empty
from mmm_graph.registry.layout import Layout
from mmm_graph.registry.part import Part, Sharding
from mmm_graph.spec.ports import PortType, parse_port

Ports = Mapping[str, PortType]
Facts = Mapping[str, Any]

ROLES = frozenset(
    (
        *("tokenizer", "encoder", "adaptor", "llm", "projector", "vae", "denoiser"),
        *("scheduler", "sampler", "guidance", "vocoder", "control", "classifier"),
    )
)


class SamplerConfig(Config):
    """Base of sampler configs: what the planner must know without torch."""

    def evaluations(self, steps: int) -> int:
        """Denoiser evaluations for that many steps of the schedule."""
        return steps

    def check(self, prediction: str, *, signal: bool = True) -> None:
        """Refuse times that this step rule cannot follow, when the graph is compiled.

        Args:
            prediction: epsilon, v, sample or flow.
            signal: the first level has signal left (false under a zero-terminal-SNR law that starts at its end).

        Raises:
            ValueError: with a sampler that could.
        """

    def pointwise(self) -> bool:
        """Whether a patch may be stepped without the others: what the sampler's class says as `pointwise`."""
        return True


class GuidanceConfig(Config):
    """Base of guidance configs: which conditions are evaluated each step, in the order of `combine`."""

    def branches(self) -> tuple[str, ...]:
        """Names of the Cond inputs of the denoising composite, such as ("cond", "uncond")."""
        return ("cond",)

    def pointwise(self) -> bool:
        """Whether patches of the predictions may be combined without the rest."""
        return True


class Used(NamedTuple):
    """A model handed to a composite by `use:`; its methods as they are with what stands between its blocks."""

    name: str
    kind: str
    config: Config
    methods: Mapping[str, Method] = MappingProxyType({})


@dataclass(frozen=True)
class Method:
    """What a model can be called for. Make one with `method(...)`."""

    inputs: Ports
    returns: Ports
    config: type[Config] = Empty
    path: Callable[[Any, Any], Sequence[str]] | None = None
    noise: bool = False
    facts: Callable[[Any, Any, Facts], Facts] | None = None
    attribute: str = ""
    doc: str = ""
    rowwise: bool = False
    alone: tuple[str, ...] = ()


def method(  # noqa: PLR0913 - one call declares a whole method, by keyword
    *,
    returns: Mapping[str, str | PortType],
    config: type[Config] = Empty,
    path: Callable[[Any, Any], Sequence[str]] | None = None,
    noise: bool = False,
    facts: Callable[[Any, Any, Facts], Facts] | None = None,
    attribute: str = "",
    doc: str = "",
    rowwise: bool = False,
    alone: tuple[str, ...] = (),
    ports: Mapping[str, str | PortType] | None = None,
    **inputs: str | PortType,
) -> Method:
    """Declare a method of a model.

    Args:
        returns: output ports in order; the first is what a bare `node` link means.
        config: what a node may put under `config:`; the method gets it as keyword `config` if it has fields.
        path: (model config, node config) -> names of the parts it runs, in order. Ports are then state keys:
            the state starts with the inputs and the outputs are read from it. None: the Python method
            `attribute` of the built object is called with the inputs as keywords; it returns the value of the
            only port, or a dict.
        noise: the Python method also gets keyword `noise`, an `nn.noise.Noise` keyed by seed, node, element. A fact
            `noise: False` says that a call does not draw from it.
        facts: (model config, node config, facts of the inputs) -> facts of the outputs: torch-free knowledge
            such as the number of evaluations or the prediction type, keyed `port.name`; a bare `name` is a fact
            of the node itself, such as `rowwise`. `port.dims` of an input are its lengths, None where they are
            not known yet. Raise ValueError to refuse.
        attribute: name of the Python method; default: the method's own name, `forward` being `__call__`.
        rowwise: rows of image-shaped inputs give the same rows of its outputs, so that it may run on a piece of an
            image; noise is drawn for the whole and cut. A fact `rowwise: False` takes it back.
        alone: inputs that it has only where nothing stands between the blocks of the model.
        ports: inputs whose names clash with a keyword of this function.
        inputs: ports as `name="Kind[dims]"`. `$x` in a dim is a field or property of the node's config or the model's,
            or a method of the node's config that takes the model's, for what depends on both; None = not known.
    """
    merged = {**(ports or {}), **inputs}
    return Method(
        {k: parse_port(v) for k, v in merged.items()},
        {k: parse_port(v) for k, v in returns.items()},
        config,
        path,
        noise,
        facts,
        attribute,
        doc,
        rowwise,
        alone,
    )


@dataclass(frozen=True)
class ModelType:
    """A thing with a config and methods, with or without weights. Make one with `model_type(...)`."""

    kind: str
    config: type[Config]
    builder: str
    methods: Mapping[str, Method]
    parts: Callable[[Any], Sequence[Part]] | None = None
    state: Mapping[str, PortType] = field(default_factory=dict)
    weights: bool = True
    doc: str = ""
    source: str = ""
    sharding: Callable[[Any], Sharding] | None = None
    layouts: tuple[Layout, ...] = ()
    attaches: str = ""


def model_type(  # noqa: PLR0913 - one call declares a whole type, by keyword
    kind: str,
    config: type[Config],
    builder: str,
    *,
    methods: Mapping[str, Method],
    parts: Callable[[Any], Sequence[Part]] | None = None,
    state: Mapping[str, str | PortType] | None = None,
    weights: bool = True,
    doc: str = "",
    source: str = "",
    sharding: Callable[[Any], Sharding] | None = None,
    layouts: Sequence[Layout] = (),
    attaches: str = "",
) -> ModelType:
    """Declare a model kind `role.name`.

    Args:
        kind: `role.name`; the roles are in ROLES.
        config: pydantic class of its `config:`. A field that a port names as `$field` and whose value is None
            is solved from the links.
        builder: "package.module:Class"; called as Class(config) on the meta device when it has weights.
        methods: the first is the default one, meant by `call: model`.
        parts: config -> table of parts in order, torch-free. None: the model is one part.
        state: kind and dims of each state key that parts exchange.
        weights: False for tokenizers, schedulers, samplers, guidance: nothing is loaded or initialised. A
            `weights:` source may still be given; the builder then gets `path`, the resolved file or folder, if no
            layout reads the config out of it.
        doc: one paragraph for `mmm nodes describe`.
        source: the paper or reference implementation.
        sharding: config -> how ranks may share one call; None: they cannot.
        layouts: of checkpoints that others write; a file in our own layout is always read. The first is what
            `mmm export` writes. Where one has `read_config`, a graph that says where the weights are need not say
            the config.
        attaches: the method whose path is put between the blocks of another model by `attach: [{model: ...}]`. The one
            name that is an input and an output of it is a state key of that model (`h`); its other inputs become
            inputs of that model's methods. A key `cache.PART` that part PART writes is a key of each copy.

    Raises:
        ValueError: the kind is not `role.name`, or there is no method for a role that needs one.
    """
    role = kind.partition(".")[0]
    if role not in ROLES or not kind.partition(".")[2]:
        raise ValueError(f"model kind {kind!r} must be role.name with a role of {', '.join(sorted(ROLES))}")
    ports = {k: parse_port(v) for k, v in (state or {}).items()}
    return ModelType(
        *(kind, config, builder, dict(methods), parts, ports, weights, doc, source, sharding),
        layouts=tuple(layouts),
        attaches=attaches,
    )


def sampler_type(
    kind: str, config: type[Config], builder: str, *, doc: str = "", source: str = ""
) -> ModelType:
    """Declare a sampler: a state machine that ops get by `use: {sampler: name}`; see mmm_graph.nn.sampler."""
    return model_type(kind, config, builder, methods={}, weights=False, doc=doc, source=source)


@dataclass(frozen=True)
class OpType:
    """An operation without weights. Make one with `op_type(...)`."""

    kind: str
    function: str
    inputs: Ports
    returns: Ports
    config: type[Config] = Empty
    uses: Mapping[str, str] = field(default_factory=dict)
    noise: bool = False
    pure: bool = True
    facts: Callable[[Any, Mapping[str, Config], Facts], Facts] | None = None
    accumulation: str = "mean"
    gather: str = ""
    count: str = ""
    doc: str = ""
    source: str = ""
    rowwise: bool = False


def op_type(  # noqa: PLR0913 - one call declares a whole type, by keyword
    kind: str,
    function: str,
    *,
    returns: Mapping[str, str | PortType],
    config: type[Config] = Empty,
    uses: Mapping[str, str] | None = None,
    noise: bool = False,
    pure: bool = True,
    facts: Callable[[Any, Mapping[str, Config], Facts], Facts] | None = None,
    accumulation: str = "mean",
    gather: str = "",
    count: str = "",
    doc: str = "",
    source: str = "",
    rowwise: bool = False,
    ports: Mapping[str, str | PortType] | None = None,
    **inputs: str | PortType,
) -> OpType:
    """Declare an op: `function(**inputs)` -> the value of the only port, or a dict of all.

    Args:
        kind: `family.name`.
        function: "package.module:function". It gets each input port as a keyword (an absent optional one as
            None; a port declared `many` or linked to a list as a list), `config` if the config class has
            fields, each role of `uses` as the built model, and `noise` if declared.
        uses: role in `use:` -> role of model kinds it accepts, such as {"sampler": "sampler"}; "tokenizer?" may be
            left out, and the function then does not get that keyword.
        noise: it draws random numbers, through keyword `noise` only.
        pure: same inputs give the same outputs, so results may be kept in the cache.
        facts: (node config, config of each used model, facts of the inputs) -> facts of the outputs;
            ValueError refuses.
        accumulation: for losses, how micro-batches add up: "mean" or "feature_cache".
        gather: "data" = in training on several ranks it gets the rows of all of them in every input with a batch axis;
            a keyword `own`, if it has one, is the slice of this rank's rows (None = all are).
        count: for losses that are a mean over something else than samples: "package.module:function", which gets some
            of the inputs by name and returns over how many it is, such as the labels that are not masked.
        rowwise: see `method`.
    """
    merged = {**(ports or {}), **inputs}
    return OpType(
        kind,
        function,
        {k: parse_port(v) for k, v in merged.items()},
        {k: parse_port(v) for k, v in returns.items()},
        config,
        dict(uses or {}),
        noise,
        pure,
        facts,
        accumulation,
        gather,
        count,
        doc,
        source,
        rowwise,
    )


@dataclass(frozen=True)
class CompositeType:
    """An op standing for a subgraph: `expand(config, uses, inputs)` is what a file says under `graphs:`."""

    kind: str
    expand: Callable[[Any, Mapping[str, Used], frozenset[str]], Mapping[str, Any]]
    inputs: Ports
    config: type[Config] = Empty
    uses: Mapping[str, str] = field(default_factory=dict)
    doc: str = ""
    source: str = ""


def composite_type(
    kind: str,
    expand: Callable[[Any, Mapping[str, Used], frozenset[str]], Mapping[str, Any]],
    *,
    config: type[Config] = Empty,
    uses: Mapping[str, str] | None = None,
    doc: str = "",
    source: str = "",
    ports: Mapping[str, str | PortType] | None = None,
    **inputs: str | PortType,
) -> CompositeType:
    """Declare a composite.

    Args:
        expand: (config, {role: the used model}, names of the inputs that are linked) -> {"nodes": {...},
            "out": {...}} in the words of the graph file; links to its own inputs are written `$in.x`.
    """
    merged = {**(ports or {}), **inputs}
    ports_ = {k: parse_port(v) for k, v in merged.items()}
    return CompositeType(kind, expand, ports_, config, dict(uses or {}), doc, source)


@dataclass(frozen=True)
class DataType:
    """A dataset kind `data.name`. `columns(config)` -> port type of each column, batched (torch-free)."""

    kind: str
    config: type[Config]
    builder: str
    columns: Callable[[Any], Mapping[str, str]]
    doc: str = ""
    source: str = ""


def data_type(
    kind: str,
    config: type[Config],
    builder: str,
    *,
    columns: Callable[[Any], Mapping[str, str]],
    doc: str = "",
    source: str = "",
) -> DataType:
    """Declare a dataset: builder(config) has `__len__` and `__getitem__(i) -> {column: value without batch}`.

    The config class must have a field `batch: int`. The engine owns shuffling, batching and resume.
    """
    return DataType(kind, config, builder, columns, doc, source)


@dataclass(frozen=True)
class OptimType:
    """An optimiser kind `optim.name`. builder(parameter groups, config) -> torch.optim.Optimizer."""

    kind: str
    config: type[Config]
    builder: str
    doc: str = ""
    source: str = ""


def optim_type(
    kind: str, config: type[Config], builder: str, *, doc: str = "", source: str = ""
) -> OptimType:
    """Declare an optimiser; its config class must have a field `lr: float`."""
    return OptimType(kind, config, builder, doc, source)


@dataclass(frozen=True)
class Saver:
    """Writes values of one port kind: function(value, path, options, metadata: dict[str, str]) -> paths."""

    format: str
    port_kind: str
    function: str
    doc: str = ""


NodeType = ModelType | OpType | CompositeType | DataType | OptimType


def resolve(reference: str) -> Any:
    """`"package.module:name"` -> the object. Only here is a string made Python, and only plugin code's.

    Raises:
        ImportError, AttributeError: as Python reports them; the caller names the node type.
    """
    module, _, name = reference.partition(":")
    return getattr(importlib.import_module(module), name)
