"""`parallel:` as written: named plans of stages, axes and loops. What is legal is for plan/ to say."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from mmm_graph.spec.base import DottedName, Items, Name, Spec, refuse, short_form
from mmm_graph.spec.offload import Offloads
from mmm_graph.spec.scalars import describe

Axis = Literal["data", "cfg", "patch", "ulysses", "ring", "tensor"]

_PLACED = re.compile(
    r"(?P<model>[a-z_]\w*(\.[a-z_]\w*)*)(\[(?P<start>\d{0,9}):(?P<stop>\d{0,9})\])?", re.ASCII
)


def _check_placed(text: str) -> str:
    if not _PLACED.fullmatch(text):
        hint = "write a model, `unet`, or a slice of its blocks, `dit[:14]`"
        raise refuse("E501", f"{describe(text)} is not a model or a slice of one", hint)
    return text


class AxisSpec(Spec):
    """One way a model is split over ranks."""

    size: int = Field(ge=1)
    mode: Literal["sync", "displaced"] = "sync"
    group_norm: Literal["sync", "stale", "corrected", "separate"] = "sync"


class StagePlace(Spec):
    """A group of ranks and the models, or slices of models, that live there."""

    ranks: Items[Annotated[int, Field(ge=0)]] = Field(min_length=1)
    place: Items[Annotated[str, AfterValidator(_check_placed)]]


class LoopPlan(Spec):
    """How a loop runs: `patches` in flight, how many synchronous evaluations lead, what ranks do in those."""

    patches: int = Field(1, ge=1)
    warmup: Annotated[int, Field(ge=0)] | Literal["all"] = 1
    warm: Literal["streams", "rows"] = "streams"


class PlanSpec(Spec):
    """One placement: `pipe:` cuts models by cost (short form), `stages:` says it all (long form)."""

    ranks: int = Field(ge=1)
    pipe: dict[DottedName, Annotated[int, Field(ge=1)]] = Field(default_factory=dict)
    stages: Items[StagePlace] = ()
    axes: dict[DottedName, dict[Axis, Annotated[AxisSpec, short_form("size", int)]]] = Field(
        default_factory=dict
    )
    loops: dict[Name, LoopPlan] = Field(default_factory=dict)
    offload: Offloads | None = None
    microbatches: int = Field(1, ge=1)
    in_flight: int | None = Field(None, ge=1)
    shard: str | None = None

    @model_validator(mode="after")
    def _check(self) -> PlanSpec:
        if self.pipe and self.stages:
            raise refuse("E502", "a plan has `pipe:` or `stages:`, not both", "", ("pipe",))
        for i, stage in enumerate(self.stages):
            for j, rank in enumerate(stage.ranks):
                at = ("stages", i, "ranks", j)
                if rank >= self.ranks:
                    raise refuse(
                        "E503", f"there is no rank {rank}; the plan has ranks 0 to {self.ranks - 1}", "", at
                    )
                if rank in stage.ranks[:j]:
                    raise refuse("E503", f"rank {rank} is there twice", "", at)
        return self


class ParallelSpec(Spec):
    """The placements of a graph, by name."""

    plans: dict[Name, PlanSpec]


def split_placed(text: str) -> tuple[str, int | None, int | None]:
    """`"dit[:14]"` -> ("dit", None, 14); `"vae"` -> ("vae", None, None)."""
    match = _PLACED.fullmatch(text)
    assert match is not None, text
    start, stop = match["start"], match["stop"]
    return match["model"], int(start) if start else None, int(stop) if stop else None
