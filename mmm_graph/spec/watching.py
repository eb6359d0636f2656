"""What a stage keeps, shows and stops at, as written: `cache`, `samples` and `stop_if`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from mmm_graph.spec.base import Items, Name, Short, Spec, refuse

Where = Literal["memory", "disk"]
LIMITS_GB = {"memory": 4.0, "disk": 64.0}


class CacheSpec(Spec):
    """Where outputs of frozen models are kept, and at most how many gigabytes (default: 4 in memory, 64 on disk)."""

    where: Where = "memory"
    max_gb: float | None = Field(None, gt=0)

    @property
    def max_bytes(self) -> int:
        """The budget."""
        return int((self.max_gb or LIMITS_GB[self.where]) * 1e9)


def _lengthen_cache(value: Any) -> Any:
    if isinstance(value, bool):
        return {"where": "memory"} if value else None
    return {"where": value} if isinstance(value, str) else value


Cache = Annotated[
    CacheSpec | None,
    Short(_lengthen_cache, {"anyOf": [{"type": "boolean"}, {"enum": ["memory", "disk"]}]}),
]
"""`true` (in memory), `memory`, `disk`, or `{where, max_gb}`."""


class SamplesSpec(Spec):
    """Outputs of the top level (default: all that are saved), made every so many steps and at the end of the stage.

    `inputs` are values of the top level's inputs; what is left out has its default.
    """

    every: int = Field(ge=1)
    outputs: Items[Name] = ()
    inputs: dict[Name, Any] = Field(default_factory=dict)
    seed: int = Field(0, ge=0)


class StopSpec(Spec):
    """When a loss has exploded: it is above a number, or above so many times its running median."""

    loss_above: float | None = None
    times_median: float | None = Field(None, gt=1)

    @model_validator(mode="after")
    def _check(self) -> StopSpec:
        if self.loss_above is None and self.times_median is None:
            raise refuse("E810", "`stop_if` says nothing", "write `loss_above:` or `times_median:`")
        return self
