"""Who learns in a stage: one optimiser with its losses and models; a stage has one, or several by `updates:`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from mmm_graph.config import Config
from mmm_graph.errors import InputError, Place, Problem, did_you_mean, problem
from mmm_graph.graph.graph import Graph
from mmm_graph.registry import OptimType, Registry
from mmm_graph.spec import GraphSpec, StageSpec, substitute
from mmm_graph.spec.training import LossSpec, OptimSpec, UpdateSpec
from mmm_graph.train.configs import read_config
from mmm_graph.train.learns import Learns, find_learns
from mmm_graph.train.reach import part_names
from mmm_graph.train.schedule import SCHEDULES, warmup_steps
from mmm_graph.train.terms import check_terms


@dataclass(frozen=True)
class Term:
    """A term of the loss: its weight, and the step from which it counts.

    Attributes:
        balance: (model, part) whose gradients set the weight, so that this term weighs as much as those without.
    """

    weight: float = 1.0
    after: int = 0
    balance: tuple[str, str] | None = None


@dataclass(frozen=True)
class Player:
    """One that learns.

    Attributes:
        name: "" where the stage has no other.
        learns: what is trained of which model.
        terms: of its loss, by the name of the graph's output.
        optim, config, groups: the optimiser, and what differs for single models.
        schedule, warmup, floor: of the learning rate; warm-up in steps, the end as a share.
        clip: largest norm of the gradient.
        after, every: the first step it takes part in, and how many steps lie between two.
    """

    name: str
    learns: Mapping[str, Learns]
    terms: Mapping[str, Term]
    optim: OptimType
    config: Config
    groups: Mapping[str, Mapping[str, object]]
    schedule: str
    warmup: int
    clip: float | None
    after: int = 0
    every: int = 1
    floor: float = 0.0

    def plays(self, step: int) -> bool:
        """Whether it takes part in a step."""
        return step >= self.after and (step - self.after) % self.every == 0

    def identity(self) -> str:
        """Its optimiser, as text."""
        turn = f" in every {self.every} from {self.after}" if self.name else ""
        return f"{self.optim.kind} {self.config.model_dump_json()} {dict(self.groups)}{turn}"


class Written(NamedTuple):
    """A player as the file has it.

    Attributes:
        where: keys that lead to it.
        prefix: of its terms among the graph's outputs.
    """

    name: str
    update: UpdateSpec
    where: tuple[str, ...]

    @property
    def prefix(self) -> str:
        """Of its terms among the graph's outputs."""
        return f"{self.name}." if self.name else ""


def written_players(spec: GraphSpec, written: StageSpec, where: tuple[str, ...]) -> list[Written]:
    """The players of a stage whose keys are all there, with `$params.x` replaced where a name may be a param."""
    if written.updates:
        found = [Written(name, update, (*where, "updates", name)) for name, update in written.updates.items()]
    else:
        assert written.optim is not None
        update = UpdateSpec.model_construct(
            loss=written.loss, train=written.train, optim=written.optim, after=0, every=1
        )
        found = [Written("", update, where)]
    return [one._replace(update=_with_params(spec, one)) for one in found]


def _with_params(spec: GraphSpec, written: Written) -> UpdateSpec:
    optim = written.update.optim
    known = {
        key: substitute(getattr(optim, key), spec.values, lambda *_, key=key: spec.place(*written.where, "optim", key))
        for key in ("op", "schedule")
    }  # fmt: skip
    return written.update.model_copy(update={"optim": optim.model_copy(update=known)})


def wrong_names(spec: GraphSpec, registry: Registry, written: Written, stage: str) -> Iterator[Problem]:
    """Names of a player that mean nothing."""
    update, models = written.update, written.update.train
    names: list[tuple[str, str, tuple[str, ...], Mapping[str, object]]] = []
    names += [("model", n, ("train", n), spec.models) for n in models]
    names += [("optimiser", update.optim.op, ("optim", "op"), registry.optims)]
    names += [("schedule", update.optim.schedule, ("optim", "schedule"), SCHEDULES)]
    names += [
        ("trained model", n, ("optim", "groups", n), models)
        for n in update.optim.groups
        if not any(n.startswith(f"{model}.") for model in models)
    ]
    for what, name, keys, known in names:
        if name not in known:
            message = f"stage {stage}: there is no {what} {name!r}"
            yield problem("E811", message, spec.place(*written.where, *keys), did_you_mean(name, known))


def make_player(
    spec: GraphSpec, registry: Registry, graph: Graph, written: Written, *, steps: int, stage: str
) -> Player:
    """Resolve and check one.

    Raises:
        InputError: E811 to E819, what cannot be trained; E210, a wrong config of the optimiser.
    """
    update, where = written.update, written.where
    learns = find_learns(spec, registry, graph, update.train, (*where, "train"), stage)
    places = {f"{written.prefix}{term}": spec.place(*where, "loss", term) for term in update.loss}
    losses = {f"{written.prefix}{name}": loss for name, loss in update.loss.items()}
    check_terms(graph, losses, frozenset(learns), stage, places)
    if all(loss.balance for loss in losses.values()):
        what = (
            f"stage {stage}: every term has `balance:`, so there is nothing that it could be balanced against"
        )
        raise InputError(problem("E810", what, spec.place(*where, "loss"), "leave it out of one"))
    kind = registry.optims[update.optim.op]
    config = read_config(spec, registry, kind.config, update.optim.config, (*where, "optim", "config"))
    return Player(
        name=written.name,
        learns=learns,
        terms={k: _term(loss, learns, graph, registry, places[k], stage) for k, loss in losses.items()},
        optim=kind,
        config=config,
        groups=_groups(
            spec, registry, update.optim, (kind, config), (*where, "optim", "groups"), learns, stage
        ),
        schedule=update.optim.schedule,
        warmup=warmup_steps(update.optim.warmup, steps),
        floor=update.optim.floor,
        clip=update.optim.clip,
        after=update.after,
        every=update.every,
    )


def _term(
    loss: LossSpec,
    learns: Mapping[str, Learns],
    graph: Graph,
    registry: Registry,
    place: Place | None,
    stage: str,
) -> Term:
    if loss.balance is None:
        return Term(loss.weight, loss.after)
    model, _, part = loss.balance.partition(".")
    known = {
        f"{m}.{p}".rstrip(".")
        for m, own in learns.items()
        for p in own.parts or part_names(graph, registry, m)
    }
    if loss.balance not in known:
        what = f"stage {stage}: `balance:` names a trained part, as model.part; found {loss.balance!r}"
        raise InputError(problem("E811", what, place, did_you_mean(loss.balance, sorted(known))))
    return Term(loss.weight, loss.after, (model, part))


def _groups(
    spec: GraphSpec,
    registry: Registry,
    written: OptimSpec,
    optim: tuple[OptimType, Config],
    where: tuple[str, ...],
    learns: Mapping[str, Learns],
    stage: str,
) -> dict[str, dict[str, object]]:
    """What the optimiser does differently for models or some weights of them, checked with its own config class."""
    kind, config = optim
    base = {key: getattr(config, key) for key in config.model_fields_set}
    groups: dict[str, dict[str, object]] = {}
    for model, own in written.groups.items():
        _check_group(model, learns, spec.place(*where, model), stage)
        checked = read_config(spec, registry, kind.config, {**base, **own}, where)
        groups[model] = {key: getattr(checked, key) for key in own}
    return groups


def _check_group(key: str, learns: Mapping[str, Learns], place: Place | None, stage: str) -> None:
    """`model.what` must be something of the model that is trained; models were looked at before."""
    known = [f"{model}.{what}" for model, own in learns.items() for what in own.whats]
    if key not in learns and key not in known:
        what = f"stage {stage}: nothing that is trained is {key!r}"
        raise InputError(problem("E811", what, place, did_you_mean(key, [*learns, *known])))
