"""The sections of a file that have nodes: the top level, training stages, evaluations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mmm_graph.errors import InputError, did_you_mean, problem
from mmm_graph.graph.context import Context
from mmm_graph.spec.graph import DataSpec, NodeSpec

GROUPS = "$by"
"""The output of an evaluation that says of each row what its group is."""


@dataclass(frozen=True)
class Section:
    """What is compiled together: nodes, where their inputs come from, and outputs as (link, type, save)."""

    name: str
    source: str
    where: tuple[str, ...]
    nodes: Mapping[str, NodeSpec]
    outputs: Mapping[str, tuple[str, str | None, Mapping[str, Any] | None]]
    outputs_at: tuple[str, ...]
    data: Mapping[str, DataSpec]


def find_section(ctx: Context, name: str) -> Section:
    """The section of that name.

    Raises:
        InputError: the file has no such section.
    """
    spec = ctx.spec
    word, _, key = name.partition(".")
    if name == "main":
        outputs = {k: (o.from_, o.type, o.save) for k, o in spec.outputs.items()}
        if not outputs:
            ctx.report(
                "E203", "the graph has no outputs", spec.place("outputs") or spec.place(), "add `outputs:`"
            )
        return Section(name, "$in", (), spec.nodes, outputs, ("outputs",), {})
    if word == "train":
        if spec.train is None or key not in spec.train.stages:
            raise _missing(ctx, "training stage", key, spec.train.stages if spec.train else {})
        stage = spec.train.stage(key)
        terms = {k: (t.from_, None, None) for k, t in stage.terms.items()}
        where = ("train", "stages", key)
        written = (*where, "updates" if stage.updates else "loss")
        return Section(name, "$data", where, stage.nodes, terms, written, _sources(ctx, where, stage.data))
    if word == "eval":
        if key not in spec.eval:
            raise _missing(ctx, "evaluation", key, spec.eval)
        item = spec.eval[key]
        metrics = {k: (link, None, None) for k, link in item.metrics.items()}
        if item.by is not None:
            metrics[GROUPS] = (item.by, None, None)
        return Section(
            name,
            "$data",
            ("eval", key),
            item.nodes,
            metrics,
            ("eval", key, "metrics"),
            _sources(ctx, ("eval", key), item.data),
        )
    raise InputError(problem("E203", f"there is no section {name!r}", hint="main, train.STAGE or eval.NAME"))


def _sources(
    ctx: Context, where: tuple[str, ...], data: DataSpec | Mapping[str, DataSpec] | None
) -> dict[str, DataSpec]:
    """Sources by name; a single source has the name ""."""
    if data is None:
        ctx.report("E203", f"{'.'.join(where)}: there is no data", ctx.spec.place(*where), "add `data:`")
        return {}
    sources = {"": data} if isinstance(data, DataSpec) else dict(data)
    if isinstance(data, DataSpec) and data.weight != 1.0:
        place = ctx.spec.place(*where, "data", "weight")
        ctx.report("E209", "`weight:` is the share of one source among several; here is only one", place)
    return sources


def _missing(ctx: Context, what: str, name: str, known: Mapping[str, Any]) -> InputError:
    return InputError(
        problem("E203", f"the file has no {what} {name!r}", ctx.spec.place(), did_you_mean(name, known))
    )
