"""`train:` as written: stages that extend one another, data, losses, what is trained, optimisers."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Discriminator, Field, Tag, model_validator

from mmm_graph.errors import did_you_mean
from mmm_graph.spec.base import DottedName, Dtype, Items, Link, Name, Short, Spec, refuse, short_form
from mmm_graph.spec.node import NodeSpec
from mmm_graph.spec.scalars import describe
from mmm_graph.spec.watching import Cache, SamplesSpec, StopSpec


class DataSpec(Spec):
    """A source of samples. `each` names a subgraph run per sample; `weight` is its share among several.

    `pack`: samples are laid end to end in rows of at most so many tokens.
    """

    op: str
    config: dict[str, Any] = Field(default_factory=dict)
    each: DottedName | None = None
    weight: float = Field(1.0, gt=0)
    pack: int | None = Field(None, ge=2)


class GroupSpec(Spec):
    """Batches of samples alike in a column (its length, size or absence); `batches` are sorted together."""

    by: DottedName
    batches: int = Field(16, ge=2)


def _form_of_data(value: Any) -> str:
    return (
        "<one>" if isinstance(value, DataSpec) or not isinstance(value, dict) or "op" in value else "<many>"
    )


Data = Annotated[
    Annotated[DataSpec, Tag("<one>")] | Annotated[dict[Name, DataSpec], Tag("<many>")],
    Discriminator(_form_of_data),
]
"""One source (`$data.image`), or several by name (`$data.laion.image`)."""


class LossSpec(Spec):
    """A term of the loss. `balance`: a part whose gradients set the weight; `after`: the first step."""

    from_: Link = Field(alias="from")
    weight: float = 1.0
    balance: str | None = None
    after: int = Field(0, ge=0)


class LoraSpec(Spec):
    """Low-rank adaptors on the layers whose names match `targets` (empty: the model's own choice)."""

    rank: int = Field(ge=1)
    targets: Items[str] = ()
    alpha: float | None = Field(None, gt=0)
    dropout: float = Field(0.0, ge=0, lt=1)


RowNumber = Annotated[int, Field(ge=0, strict=True)]

_HOW = "expects one of full, {lora: ...}, {rows: [...]}, {parts: [...]}"


class TrainEntry(Spec):
    """How a model is trained: exactly one of all of it, LoRA, rows of its embedding, or parts by pattern.

    Rows are tokens, numbers, or ranges `first:end` without the end.
    """

    full: bool = False
    lora: LoraSpec | None = None
    rows: Items[RowNumber | str] | None = None
    parts: Items[str] | None = None

    @model_validator(mode="after")
    def _check(self) -> TrainEntry:
        given = [x for x in (self.full or None, self.lora, self.rows, self.parts) if x is not None]
        if len(given) != 1:
            raise refuse(
                "E801", "a model is trained by one of full, {lora: ...}, {rows: [...]}, {parts: [...]}"
            )
        return self


def _lengthen_entries(value: Any) -> Any:
    entries = value if isinstance(value, (list, tuple)) else [value]
    for entry in entries:
        if entry != "full" and not isinstance(entry, (dict, TrainEntry)):
            raise refuse("E801", f"{_HOW}, got {describe(entry)}")
    if not entries:
        raise refuse("E801", f"{_HOW}, got an empty list", "leave the model out to keep it frozen")
    return tuple({"full": True} if entry == "full" else entry for entry in entries)


Entries = Annotated[
    tuple[TrainEntry, ...],
    Short(_lengthen_entries, {"anyOf": [{"const": "full"}, {"$ref": "#/$defs/TrainEntry"}]}),
]
"""`full`, one entry, or a list of entries."""


def _lengthen_recompute(value: Any) -> Any:
    if isinstance(value, bool):
        return {"*": ("*",)} if value else {}
    if not isinstance(value, dict):
        hint = "write `true`, or which parts of which models: {llm: ['block*']}"
        raise refuse(
            "E801", f"recompute expects true, or models and patterns of parts, got {describe(value)}", hint
        )
    return value


Recompute = Annotated[
    dict[str, Items[str]], Short(_lengthen_recompute, {"anyOf": [{"type": "boolean"}, {"type": "object"}]})
]
"""`true`, or patterns of parts by model: what these parts keep for the backward pass is computed again instead."""


class OptimSpec(Spec):
    """An optimiser and its schedule. `warmup`: steps, or below 1 a share of all; `clip`: the largest norm.

    `floor`: the share of the learning rate at which the schedule ends.
    """

    op: str
    config: dict[str, Any] = Field(default_factory=dict)
    groups: dict[DottedName, dict[str, Any]] = Field(default_factory=dict)
    schedule: str = "constant"
    warmup: float = Field(0, ge=0)
    floor: float = Field(0, ge=0, le=1)
    clip: float | None = Field(None, gt=0)


class EmaSpec(Spec):
    """An exponential moving average of the trained weights, started after so many steps."""

    decay: float = Field(gt=0, lt=1)
    after: int = Field(0, ge=0)


class StageEval(Spec):
    """Which evaluations run during a stage, and how often (steps; none: at its end)."""

    names: Items[Name]
    every: int | None = Field(None, ge=1)


_NAMES = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}


def _lengthen_eval(value: Any) -> Any:
    names = [value] if isinstance(value, str) else value
    return {"names": names} if isinstance(names, (list, tuple)) else names


Losses = dict[Name, Annotated[LossSpec, short_form("from")]]


class UpdateSpec(Spec):
    """A player of a stage: its loss, models and optimiser; it joins at step `after`, in every n-th step."""

    loss: Losses
    train: dict[DottedName, Entries]
    optim: OptimSpec
    after: int = Field(0, ge=0)
    every: int = Field(1, ge=1)


class StageSpec(Spec):
    """A training stage as written; `TrainSpec.stage(name)` merges what it extends."""

    extends: Name | None = None
    init_from: str | None = None
    data: Data | None = None
    group: Annotated[GroupSpec, short_form("by")] | None = None
    workers: int = Field(0, ge=0, le=256)
    bad_limit: float = Field(0.01, ge=0)
    nodes: dict[Name, NodeSpec] = Field(default_factory=dict)
    loss: Losses = Field(default_factory=dict)
    train: dict[DottedName, Entries] = Field(default_factory=dict)
    optim: OptimSpec | None = None
    updates: dict[Name, UpdateSpec] = Field(default_factory=dict)
    steps: int | None = Field(None, ge=1)
    epochs: float | None = Field(None, gt=0)
    accumulate: int = Field(1, ge=1)
    precision: Dtype | None = None
    recompute: Recompute = Field(default_factory=dict)
    ema: Annotated[EmaSpec, short_form("decay", float)] | None = None
    eval: Annotated[StageEval, Short(_lengthen_eval, _NAMES)] | None = None
    save_every: int | None = Field(None, ge=1)
    cache: Cache = None
    samples: SamplesSpec | None = None
    stop_if: StopSpec | None = None
    shard: bool = False
    microbatches: int = Field(1, ge=1)
    plan: Name | None = None

    @model_validator(mode="after")
    def _check(self) -> StageSpec:
        if self.steps is not None and self.epochs is not None:
            raise refuse("E802", "a stage has `steps:` or `epochs:`, not both", "", ("epochs",))
        owners: dict[str, str] = {}
        for player, update in self.updates.items():
            for model in update.train:
                if owners.setdefault(model, player) != player:
                    what = f"{model} is trained by {owners[model]} and by {player}; it has one player"
                    raise refuse("E803", what, "leave it out of one of them", ("updates", player, "train"))
        for key in ("loss", "train", "optim"):
            if self.updates and key in self.model_fields_set:
                hint = "each player under `updates:` has its own"
                raise refuse("E803", f"a stage with `updates:` has no `{key}:` of its own", hint, (key,))
        return self

    @property
    def terms(self) -> dict[str, LossSpec]:
        """Terms of the loss; those of players as `player.term`."""
        own = {
            f"{player}.{k}": term
            for player, update in self.updates.items()
            for k, term in update.loss.items()
        }
        return {**self.loss, **own}

    @property
    def trained(self) -> dict[str, Entries]:
        """What is trained, by the stage or by a player of it."""
        return {**self.train, **{k: v for update in self.updates.values() for k, v in update.train.items()}}


MERGED = ("nodes", "loss", "updates")


class TrainSpec(Spec):
    """The stages of training, by name, in order."""

    stages: dict[Name, StageSpec]

    @model_validator(mode="after")
    def _check(self) -> TrainSpec:
        for name, stage in self.stages.items():
            if stage.extends is not None and stage.extends not in self.stages:
                hint = did_you_mean(stage.extends, self.stages)
                raise refuse(
                    "E804", f"there is no stage {stage.extends!r}", hint, ("stages", name, "extends")
                )
            if name in self.ancestors(name):
                raise refuse("E804", f"the stage {name!r} extends itself", "", ("stages", name, "extends"))
        return self

    def ancestors(self, name: str) -> list[str]:
        """What a stage extends, nearest first; a cycle is walked once."""
        found: list[str] = []
        base = self.stages[name].extends
        while base is not None and base in self.stages and base not in found:
            found.append(base)
            base = self.stages[base].extends
        return found

    def stage(self, name: str) -> StageSpec:
        """The stage with what it extends: nodes, losses and players merge by name, other keys are replaced.

        Raises:
            KeyError: there is no such stage.
        """
        line = [name, *self.ancestors(name)]
        stage = self.stages[line.pop()]
        for child in reversed(line):
            stage = _merge(stage, self.stages[child])
        return stage


def _merge(base: StageSpec, stage: StageSpec) -> StageSpec:
    own = {key: getattr(stage, key) for key in stage.model_fields_set}
    inherited = {
        key: getattr(base, key) for key in base.model_fields_set if key not in ("extends", "init_from")
    }
    if "steps" in own or "epochs" in own:
        inherited.pop("steps", None)
        inherited.pop("epochs", None)
    alone = ("loss", "train", "optim")
    replaced = alone if "updates" in own else ("updates",) if any(key in own for key in alone) else ()
    inherited = {key: value for key, value in inherited.items() if key not in replaced}
    both = {key: {**inherited[key], **own[key]} for key in MERGED if key in own and key in inherited}
    return StageSpec.model_construct(_fields_set=set(inherited) | set(own), **{**inherited, **own, **both})
