"""`models:` -> ModelNodes: kinds looked up, configs checked; and, after unification, what the links solved."""

from __future__ import annotations

from typing import Any

from mmm_graph.errors import InputError
from mmm_graph.graph.context import Context
from mmm_graph.graph.graph import ModelNode
from mmm_graph.graph.scope import Scope
from mmm_graph.registry import ModelType
from mmm_graph.spec.graph import ModelSpec
from mmm_graph.spec.params import substitute
from mmm_graph.spec.ports import Dim

LATER = ("attach", "quantize", "compile", "offload")


def resolve_models(ctx: Context) -> None:
    """Fill ctx.models; a refused model is None there, so that calls of it stay silent."""
    for name, spec in ctx.spec.models.items():
        ctx.models[name] = _resolve(ctx, name, spec)


def _resolve(ctx: Context, name: str, spec: ModelSpec) -> ModelNode | None:
    scope = Scope("", lambda *keys: ctx.spec.place("models", *keys))
    try:
        written = {"kind": spec.kind, "weights": spec.weights, "init": spec.init, "dtype": spec.dtype}
        known: dict[str, Any] = substitute(written, ctx.spec.values, lambda path: scope.place(name, *path))
    except InputError as error:
        ctx.problems.extend(error.problems)
        return None
    kind = ctx.lookup(known["kind"], "model kind", ctx.registry.models, scope.place(name, "kind"))
    if not isinstance(kind, ModelType):
        return None
    for key in LATER:
        if getattr(spec, key):
            message = f"{name}: `{key}:` is part of the format but this version cannot do it yet"
            ctx.report("E209", message, scope.place(name, key), "leave it out")
            return None
    config = ctx.config(kind.config, spec.config, scope, name, "config")
    if config is None:
        return None
    return ModelNode(
        name,
        kind.kind,
        config,
        known["weights"],
        known["init"],
        known["dtype"],
        spec.space,
        scope.place(name),
    )


def solve_configs(ctx: Context) -> set[tuple[str, str]]:
    """Put what the links determine into the configs; returns the (model, field) pairs that stay unknown."""
    unknown: set[tuple[str, str]] = set()
    for name, field in sorted(ctx.asked):
        model = ctx.models[name]
        assert model is not None
        size = ctx.unifier.dim(Dim(over=(f"@{name}:{field}",))).size
        if size is None:
            unknown.add((name, field))
            continue
        values = {k: getattr(model.config, k) for k in type(model.config).model_fields} | {field: size}
        try:
            config = type(model.config).model_validate(values)
        except ValueError as error:
            message = f"{name}: the links give {field} = {size}, which is refused: {error}"
            ctx.report("E210", message, model.place)
            continue
        ctx.models[name] = ModelNode(
            name, model.kind, config, model.weights, model.init, model.dtype, model.space, model.place
        )
    return unknown
