"""`config:` and `weights:` of a model -> its config: what the file says goes before what the weights say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from mmm_graph.config import Config
from mmm_graph.errors import InputError, MmmError, Problem, RunError, problem, warning
from mmm_graph.graph.context import Context
from mmm_graph.graph.scope import Scope
from mmm_graph.registry import ModelType, Registry
from mmm_graph.registry.source import Source, resolve_source
from mmm_graph.registry.weights_config import DAMAGED, REFUSED, read_weights_config, reads_configs
from mmm_graph.spec.graph import GraphSpec
from mmm_graph.spec.params import substitute

ABSENT, USELESS = "W615", "W619"
LOCAL = ("file", "pkg", "hf")
"""Schemes that are looked up when a graph is compiled; those of plugins may fetch, and are asked when it runs."""
WRITE = (
    "write its sizes under models.{name}.config: `mmm nodes describe {kind}` shows them; {{}} is the defaults"
)
Said = dict[str, Any]


def read_model_config(
    ctx: Context, name: str, kind: ModelType, weights: str | None, *, init: bool
) -> Config | None:
    """The config of a model; None when it was refused (reported).

    Args:
        init: it can be made without its weights, which training will write.
    """
    scope = Scope("", lambda *keys: ctx.spec.place("models", *keys))
    written = ctx.spec.models[name].config
    base, found = _read(ctx, name, kind, weights, init=init)
    if found is not None and found.severity == "error":
        ctx.problems.append(found)
        return None
    if found is not None:
        ctx.warnings.append(found)
    return ctx.config(kind.config, written, scope, name, "config", base=base)


def _read(
    ctx: Context, name: str, kind: ModelType, weights: str | None, *, init: bool
) -> tuple[Said, Problem | None]:
    """(what the weights say, what is to be said of that).

    A config that the file gives stands, with a warning, where the weights' own is of no use; without it that is an
    error. A config.json that is damaged always is.
    """
    if weights is None or not kind.layouts:
        return {}, None
    written = "config" in ctx.spec.models[name].model_fields_set  # `config: {}` says: the defaults
    place, hint = ctx.spec.place("models", name, "weights"), WRITE.format(name=name, kind=kind.kind)
    silent = written or init or not reads_configs(kind)
    defaults = f"so all of its config is the default of {kind.kind}"
    source = _found(ctx, name, weights)
    if source is None:
        message = f"{name}: {weights} is not on this machine, {defaults}"
        return {}, None if silent else warning(ABSENT, message, place, hint)
    try:
        said = read_weights_config(kind, source, ctx.registry, ctx.wholes)
        if said is not None and not written:
            _check(kind, said, source.path)
    except MmmError as error:
        first = error.problems[0]
        found = replace(first, message=f"{name}: {first.message}", place=place, hint=first.hint or hint)
        useless = written and isinstance(error, InputError) and first.code != DAMAGED
        return {}, _as_warning(found) if useless else found
    if said is None and source.path.is_dir() and not silent:
        message = f"{name}: {source.path} has no config.json, or no weights, {defaults}"
        return {}, warning(ABSENT, message, place, hint)
    return said or {}, None


def _found(ctx: Context, name: str, weights: str) -> Source | None:
    if weights.partition(":")[0] not in LOCAL:
        return None
    try:
        return resolve_source(weights, base=ctx.spec.base, what=name)
    except RunError:  # a run says why
        return None


def _check(kind: ModelType, said: Mapping[str, Any], path: Any) -> None:
    try:
        kind.config.model_validate(said)
    except ValidationError as error:
        refused = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise InputError(problem(REFUSED, f"the config in {path} is refused: {refused}")) from error


def _as_warning(found: Problem) -> Problem:
    message = f"{found.message}; what its `config:` leaves out is the default of the kind"
    return warning(USELESS, message, found.place)


def configs_of_weights(spec: GraphSpec, registry: Registry, names: Iterable[str]) -> dict[str, Said]:
    """What a file has to say of models whose weights will stand elsewhere: `config:` of each, as plain values.

    Only fields that the weights said, and the file did not.
    """
    ctx, found = Context(spec, registry), {}
    for name in names:
        model = spec.models[name]
        known = substitute({"kind": model.kind, "weights": model.weights}, spec.values, lambda *path: None)
        kind = registry.models[known["kind"]]
        said, _ = _read(ctx, name, kind, known["weights"], init=True)
        own = {k: v for k, v in said.items() if k not in model.config}
        config = (
            ctx.config(kind.config, model.config, Scope("", lambda *keys: None), base=said) if own else None
        )
        if config is not None:
            plain = config.model_dump(mode="json", include=set(own), exclude_defaults=True)
            found[name] = plain
    return {name: plain for name, plain in found.items() if plain}
