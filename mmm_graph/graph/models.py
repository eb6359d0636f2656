"""`models:` -> ModelNodes: kinds looked up, configs checked; and, after unification, what the links solved."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from mmm_graph.errors import InputError
from mmm_graph.graph.attach import attach_models
from mmm_graph.graph.context import Context
from mmm_graph.graph.graph import Lora, ModelNode
from mmm_graph.graph.offload import cannot_offload, hint_of
from mmm_graph.graph.quantize import cannot_quantize
from mmm_graph.graph.scope import Scope
from mmm_graph.graph.weights import read_model_config
from mmm_graph.registry import ModelType
from mmm_graph.spec.graph import AttachSpec, ModelSpec
from mmm_graph.spec.offload import OffloadSpec, offload_of
from mmm_graph.spec.params import substitute
from mmm_graph.spec.ports import Dim


def resolve_models(ctx: Context) -> None:
    """Fill ctx.models; a refused model is None there, so that calls of it stay silent."""
    for name, spec in ctx.spec.models.items():
        ctx.models[name] = _resolve(ctx, name, spec)
    attach_models(ctx)


def _resolve(ctx: Context, name: str, spec: ModelSpec) -> ModelNode | None:
    scope = Scope("", lambda *keys: ctx.spec.place("models", *keys))
    try:
        written = {key: getattr(spec, key) for key in ("kind", "weights", "init", "dtype", "quantize")}
        known: dict[str, Any] = substitute(written, ctx.spec.values, lambda path: scope.place(name, *path))
    except InputError as error:
        ctx.problems.extend(error.problems)
        return None
    kind = ctx.lookup(known["kind"], "model kind", ctx.registry.models, scope.place(name, "kind"))
    if not isinstance(kind, ModelType):
        return None
    if known["weights"] is not None and not isinstance(known["weights"], str):
        message = f"{name}: weights expects a text, got {known['weights']!r}"
        ctx.report("E210", message, scope.place(name, "weights"))
        return None
    config = read_model_config(ctx, name, kind, known["weights"], init=known["init"] is not None)
    attach = _attached(ctx, name, spec, kind, scope)
    offload = offload_of(spec.offload)
    mode = ("default" if spec.compile is True else spec.compile) or None
    if config is None or attach is None or not _can_offload(ctx, name, offload, kind, attach):
        return None
    if mode and not kind.weights:
        message = f"{name}: {kind.kind} has no weights, so there is nothing to compile"
        ctx.report("E210", message, scope.place(name, "compile"), "leave it out")
        return None
    if refused := cannot_quantize(name, spec, kind, known["quantize"]):
        ctx.report("E634", refused[0], scope.place(name, "quantize"), refused[1])
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
        attach,
        offload,
        mode,
        quantize=known["quantize"],
    )


def _can_offload(
    ctx: Context, name: str, offload: OffloadSpec | None, kind: ModelType, attach: tuple[Lora, ...]
) -> bool:
    if offload is None:
        return True
    merged, quantized = any(lora.merge for lora in attach), ctx.spec.models[name].quantize is not None
    refused = cannot_offload(name, kind, offload, merged=merged, quantized=quantized)
    if refused:
        ctx.report("E525", refused, ctx.spec.place("models", name, "offload"), hint_of(offload, kind))
    return not refused


def _attached(
    ctx: Context, name: str, spec: ModelSpec, kind: ModelType, scope: Scope
) -> tuple[Lora, ...] | None:
    """The LoRA weights of a model; None after reporting what is wrong with them."""
    items = [(i, item) for i, item in enumerate(spec.attach) if item.model is None]
    found = [_lora(ctx, name, i, item, kind, scope) for i, item in items]
    return tuple(lora for lora in found if lora is not None) if None not in found else None


def _lora(
    ctx: Context, name: str, index: int, item: AttachSpec, kind: ModelType, scope: Scope
) -> Lora | None:
    keys = (name, "attach", index)
    if not kind.weights:
        message = f"{name}: {kind.kind} has no weights that LoRA weights could be added to"
        ctx.report("E209", message, scope.place(*keys, "lora"), "leave it out")
        return None
    written = {"lora": item.lora, "scale": item.scale}
    try:
        known: dict[str, Any] = substitute(written, ctx.spec.values, lambda path: scope.place(*keys, *path))
    except InputError as error:
        ctx.problems.extend(error.problems)
        return None
    source, scale = known["lora"], known["scale"]
    if not isinstance(source, str):
        ctx.report("E210", f"{name}: lora expects a text, got {source!r}", scope.place(*keys, "lora"))
        return None
    if isinstance(scale, bool) or not isinstance(scale, int | float) or not math.isfinite(scale):
        message = f"{name}: the scale of {source} expects a number, got {scale!r}"
        ctx.report("E210", message, scope.place(*keys, "scale"))
        return None
    return Lora(source, float(scale), item.merge, scope.place(*keys))


def solve_configs(ctx: Context) -> set[tuple[str, str]]:
    """Put what the links determine into the configs; returns the (model, field) pairs that stay unknown."""
    unknown: set[tuple[str, str]] = set()
    for name, field in sorted(ctx.asked):
        model = ctx.models[name]
        if model is None:  # attached to something, and refused later
            continue
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
        ctx.models[name] = replace(model, config=config)
    return unknown
