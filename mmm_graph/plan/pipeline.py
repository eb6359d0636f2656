"""What a plan means for each loop that ranks share: warm-up, patches, and the streams that flow through its stages."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from mmm_graph.graph.graph import Call, Loop
from mmm_graph.plan.block import Blocks
from mmm_graph.spec.plan import LoopPlan


@dataclass(frozen=True)
class Pipeline:
    """How one loop runs.

    Attributes:
        evaluations: turns; None: until a flag is true.
        stages: of the model with most.
        branches: calls of one model in a turn, on each rank of the `cfg` axis.
        parts: of a batch, one after the other.
        exact: nothing stale is read.
        steady: what is done after the warm-up.
    """

    loop: str
    evaluations: int | None
    stages: int
    branches: int
    parts: int
    requests: int
    patches: int
    warmup: int | str
    warm: str
    exact: bool
    steady: str

    @property
    def streams(self) -> int:
        """What flows through the stages side by side."""
        return self.branches * self.parts * self.requests

    def dump(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {**asdict(self), "streams": self.streams}

    def lines(self) -> Iterator[str]:
        """In words."""
        turns = (
            "turns until its flag is true"
            if self.evaluations is None
            else _num(self.evaluations, "evaluation")
        )
        yield f"{turns}, {'exact' if self.exact else 'approximate'}"
        if self.steady:
            yield f"warm-up: {self._warmup()}; then {self.steady}"
        factors = f"{_num(self.branches, 'branch')} x {_num(self.parts, 'part')} of a batch x "
        factors += _num(self.requests, "request")
        if self.stages > 1:
            yield f"{_num(self.streams, 'stream')} ({factors}) flow through {self.stages} stages"

    def _warmup(self) -> str:
        if self.warmup == 0:
            return "none, the first evaluation reads zeros for what it has not seen"
        num = "all evaluations" if self.warmup == "all" else _num(int(self.warmup), "evaluation")
        rows = ", whose rows the ranks of all stages share" if self.warm == "rows" and self.stages > 1 else ""
        return f"{num} on whole images{rows}"


def pipelines(blocks: Blocks, requests: int = 1) -> list[Pipeline]:
    """The loops whose models are on several ranks, or that have a warm-up, in the order of the graph."""
    found = []
    for node in blocks.graph.walk():
        if isinstance(node, Loop) and node.path in blocks.needs.ports:
            made = _pipeline(blocks, node, requests)
            found += [made] if made is not None else []
    return found


def _pipeline(blocks: Blocks, loop: Loop, requests: int) -> Pipeline | None:
    plan = blocks.plan
    calls = [
        n
        for n in loop.body
        if isinstance(n, Call) and n.path in blocks.needs.ports and n.model in plan.models
    ]
    shared = [n for n in calls if len({r for s in plan.models[n.model] for r in s.ranks}) > 1]
    if not shared and loop.path not in plan.loops:
        return None
    said = plan.loops.get(loop.path, LoopPlan())
    models = {n.model for n in calls}
    displaced = any(plan.axes_of(m).displaced for m in models)
    stages = max((len(plan.models[m]) for m in models), default=1)
    in_turn = [n for n in calls if n.path not in blocks.batches]
    branches = max(
        (len([n for n in in_turn if n.model == m]) // plan.axes_of(m)["cfg"] for m in models), default=1
    )
    steady = f"{said.patches} patches, those to come one evaluation old" if said.patches > 1 else ""
    steady = steady or ("what other ranks hold is one evaluation old" if displaced else "")
    stale = bool(steady) and not (loop.count is not None and _covers(said, loop.count))
    in_flight = min(requests, plan.in_flight or requests)
    return Pipeline(
        loop.path, loop.count, stages, max(1, branches), plan.microbatches, in_flight, said.patches, said.warmup,
        said.warm, not stale, steady,
    )  # fmt: skip


def _covers(said: LoopPlan, evaluations: int) -> bool:
    return said.warmup == "all" or said.warmup >= evaluations


def _num(number: int, word: str) -> str:
    plural = f"{word}es" if word.endswith("ch") else f"{word}s"
    return f"{number} {word if number == 1 else plural}"
