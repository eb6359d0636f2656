"""`parallel:` of a graph file: the names in its plans must exist. Which degrees are legal is for plan/ to say."""

from __future__ import annotations

from mmm_graph.errors import did_you_mean
from mmm_graph.graph.context import Context
from mmm_graph.spec.plan import split_placed


def check_plans(ctx: Context) -> None:
    """Report models that the file does not have; a name may be the prefix of an included file."""
    known = {*ctx.models, *(name.partition(".")[0] for name in ctx.models if "." in name)}
    plans = ctx.spec.parallel.plans if ctx.spec.parallel else {}
    for name, plan in plans.items():
        at = ("parallel", "plans", name)
        found: list[tuple[str, tuple[str | int, ...]]] = [(m, (*at, "pipe", m)) for m in plan.pipe]
        found += [(m, (*at, "axes", m)) for m in plan.axes]
        for i, stage in enumerate(plan.stages):
            placed = enumerate(stage.place)
            found += [(split_placed(text)[0], (*at, "stages", i, "place", j)) for j, text in placed]
        if isinstance(plan.offload, tuple):
            found += [(m, (*at, "offload", j)) for j, m in enumerate(plan.offload)]
        elif isinstance(plan.offload, dict):
            found += [(m, (*at, "offload", m)) for m in plan.offload]
        for model, where in found:
            if model not in known:
                hint = did_you_mean(model, known)
                ctx.report(
                    "E215", f"plan {name}: there is no model {model!r}", ctx.spec.place(*where, "@key"), hint
                )
