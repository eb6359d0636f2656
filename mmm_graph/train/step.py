"""One step: micro-batches, the turn of each player, the average of the weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from mmm_graph.errors import RunError, problem
from mmm_graph.nn.drawing import Draws
from mmm_graph.registry import Registry
from mmm_graph.runtime import Engine, Request
from mmm_graph.train.cache import FrozenCache
from mmm_graph.train.ema import Ema
from mmm_graph.train.loader import Batch, Loader
from mmm_graph.train.micro import Micro, Runner
from mmm_graph.train.optimiser import BESIDE, split_roles
from mmm_graph.train.precision import autocast
from mmm_graph.train.ranks import ALONE, Ranks
from mmm_graph.train.seeds import derive_seed
from mmm_graph.train.skips import idle_models
from mmm_graph.train.stage import Stage
from mmm_graph.train.supervised import Supervised
from mmm_graph.train.token_count import TokenCount, token_values
from mmm_graph.train.turn import Turn


@dataclass(frozen=True)
class Measured:
    """What a step found, still on the device.

    Attributes:
        values: the shares of what is supervised; the loss terms without their weights, in order; the loss; the
            gradient's norm before clipping.
        arrived: passes when a copy of `values` on its way to the host is complete.
    """

    step: int
    values: Tensor
    batches: tuple[Batch, ...]
    arrived: torch.Event | None = None


class Stepper:
    """Trains the weights of a stage, one step at a time.

    Args:
        stage: what to do.
        engine: runs the stage's graph.
        turns: of its players, whose weights are set free.
        loader: the samples.
        ema: the average of the weights, if it is kept.
        frozen: what frozen models have made of samples, if it is kept.
        seed: of the run; noise is keyed by (seed, stage, step) and the sample's place in the whole batch.
        ranks: which of them this one is.
    """

    def __init__(  # noqa: PLR0913 - all that a step touches, by keyword
        self,
        stage: Stage,
        engine: Engine,
        turns: Sequence[Turn],
        loader: Loader,
        ema: Ema | None,
        *,
        seed: int,
        device: torch.device,
        frozen: FrozenCache | None = None,
        ranks: Ranks = ALONE,
    ) -> None:
        self.stage, self.turns, self.loader, self.ema, self.ranks = stage, turns, loader, ema, ranks
        self._seed, self._device, self._frozen = seed, device, frozen
        self.tokens = TokenCount(token_values(stage.graph, stage.cached))
        self._supervised = Supervised(stage, ranks, device)
        self._registry = engine.registry
        models = {name: module for turn in turns for name, module in turn.models.items()}
        precision = partial(autocast, stage.precision, device)
        runner = Runner(engine, stage.graph, frozenset(), device, precision, Draws(models))
        for i, turn in enumerate(turns):
            # What is watched is the same in every turn: it is looked at in the first one.
            watched = () if i else (*self._supervised.names, *self.tokens.names)
            turn.begin(runner, watched, self._watch if not i else lambda values: None)

    def step(self, number: int) -> Measured:
        """Do step `number`, from 0. The losses are not looked at here; Meter does."""
        stage = self.stage
        seed = derive_seed(self._seed, stage.name, number)
        self._seed_global(seed)
        micros = [self._micro(number, seed, micro) for micro in range(stage.accumulate)]
        terms: list[Tensor] = []
        loss, norm = torch.zeros(2, device=self._device)
        supervised: Tensor | None = None
        for turn in self.turns:
            if not turn.player.plays(number):
                terms.append(torch.zeros(len(turn.player.terms), device=self._device))
                continue
            found, own_norm = turn.take(micros, number, partial(self._check, turn, number))
            if supervised is None:
                supervised = self._supervised.take(number)
            terms.append(found[:-1])
            loss = loss + found[-1]
            norm = torch.stack([norm, own_norm.to(norm.dtype)]).norm() if len(self.turns) > 1 else own_norm
        if self.ema is not None:
            self._average(self.ema, number)
        if supervised is None:
            supervised = self._supervised.take(number)
        losses = self.ranks.total(torch.cat([*terms, loss[None]])) / self.ranks.size
        values = torch.cat([supervised, losses, norm.to(losses.dtype)[None]])
        return Measured(number, values, tuple(m.batch for m in micros))

    def _watch(self, values: Mapping[str, Any]) -> None:
        self.tokens.add(values)
        self._supervised.add(values)

    def _check(self, turn: Turn, number: int) -> None:
        if number == turn.player.after:
            check_gradients(self.stage, turn.models, self._registry)

    def _seed_global(self, seed: int) -> None:
        """No layer may draw from the global generator; one that does (a dropout) is at least repeatable."""
        torch.default_generator.manual_seed(seed)
        if self._device.type == "cuda":
            torch.cuda.manual_seed(seed)

    def _micro(self, number: int, seed: int, micro: int) -> Micro:
        """This rank's share of a micro-batch."""
        stage = self.stage
        first, last = self.ranks.share(stage.batch)
        batch = self.loader.at((number * stage.accumulate + micro) * stage.batch + first, last - first)
        values = {k: to_device(v, self._device) for k, v in batch.values.items() if v is not None}
        elements = tuple(range(micro * stage.batch + first, micro * stage.batch + last))
        kept = self._frozen.supply(batch) if self._frozen else {}
        supply = {k: to_device(v, self._device) for k, v in kept.items()}
        return Micro(batch, Request(stage.name, values, (seed,) * len(elements), elements), supply)

    def _average(self, ema: Ema, number: int) -> None:
        """Before `ema_after` the average is the weights themselves."""
        if number < self.stage.ema_after:
            ema.reset()
        else:
            ema.update(number - self.stage.ema_after)


def check_gradients(stage: Stage, models: Mapping[str, nn.Module], registry: Registry) -> None:
    """Refuse to train what gets no gradient. What reads pictures may get some in a later batch, which has some.

    Raises:
        RunError: E812, no loss reaches any weight of a model, of its LoRA, or of its rows; the optimiser has not moved
            yet.
    """
    lost = []
    idle = idle_models(stage.graph, registry)
    for name, module in models.items():
        if name in idle:
            continue
        whats: dict[str, list[bool]] = {}
        for (what, _), weights in split_roles(module, BESIDE.values()).items():
            whats.setdefault(what, []).extend(weight.grad is None for weight in weights)
        lost += [f"the {what} of {name}" if what else name for what, missing in whats.items() if all(missing)]
    if lost and not any(node.when is not None for node in stage.graph.walk()):
        what = f"stage {stage.name}: the losses give no gradient to {', '.join(lost)}"
        hint = "an op between the model and the loss cuts the gradient; or leave the model out of `train:`"
        raise RunError(problem("E812", what, stage.place, hint))


def to_device(value: Any, device: torch.device) -> Any:
    """A column on a device; text and None as they are."""
    return value.to(device, non_blocking=True) if isinstance(value, Tensor) else value
