"""Ops that see the rows of all ranks in data-parallel training: what they are given is gathered first."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from torch import Tensor

from mmm_graph.errors import RunError, problem
from mmm_graph.plan.ops import At
from mmm_graph.registry.node_type import OpType
from mmm_graph.runtime.arguments import Values
from mmm_graph.runtime.bound import Function
from mmm_graph.runtime.values import Absent, truth

Gather = Callable[[Tensor | None], tuple[Tensor | None, slice]]
"""This rank's rows (None: it has none) -> those of all ranks in their order, and which are ours."""


def together(
    function: Function,
    kind: OpType,
    *,
    ports: Iterable[str],
    whens: tuple[str, ...],
    gather: Gather,
    tell: Callable[[slice], None],
) -> Function:
    """The function of a node as all ranks run it, with the rows of all.

    Ranks meet before one looks whether it has anything to give: where a branch has no rows on one of them, it joins
    with none, and computes the same from the rows of the others.

    Args:
        ports: the node's outputs, which are absent where no rank has rows.
        whens: keys of its conditions.
        tell: told which rows are ours, before the function runs.

    Raises (the function):
        RunError: E861, this rank lacks something else that the others have.
    """
    batched = [name for name, port in kind.inputs.items() if port.dims]
    required = [name for name, port in kind.inputs.items() if not port.optional]

    def run(args: Values, at: At) -> Mapping[str, Any]:
        reason = _reason([args.pop(key) for key in whens], {k: args[k] for k in required if k in args}, at)
        given = {k: None if type(v) is Absent else v for k, v in args.items()}
        for name in [name for name in batched if name in given]:
            rows, own = gather(given[name] if reason is None else None)
            given[name] = rows
            if rows is not None:
                tell(own)
        lacking = [name for name in required if given.get(name) is None and name in given]
        if not lacking:
            return function(given, at)
        if any(given.get(name) is not None for name in batched):
            what = f"{at.node} has rows of other ranks, but this one lacks {', '.join(lacking)}"
            hint = "what is no batch must not depend on a condition that only some ranks meet"
            raise RunError(problem("E861", what, hint=hint))
        assert reason is not None
        return dict.fromkeys(ports, reason)

    return run


def _reason(flags: list[Any], needed: Mapping[str, Any], at: At) -> Absent | None:
    """Why this rank has nothing to give."""
    for flag in flags:
        if type(flag) is Absent:
            return flag.after(at.node)
        if not truth(flag):
            return Absent(f"the condition of {at.node} is false")
    return next((value.after(at.node) for value in needed.values() if type(value) is Absent), None)
