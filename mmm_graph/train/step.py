"""One optimiser step: micro-batches through the engine, backward, checks, clipping, update, average."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from mmm_graph.errors import RunError, problem
from mmm_graph.nn.lora_factors import Dropout
from mmm_graph.runtime import Engine, Request
from mmm_graph.train.cache import FrozenCache
from mmm_graph.train.clip import clip_gradients
from mmm_graph.train.counts import Counts, mean_of
from mmm_graph.train.ema import Ema
from mmm_graph.train.features import PairLosses, surrogate
from mmm_graph.train.loader import Batch, Loader
from mmm_graph.train.micro import Micro, Runner
from mmm_graph.train.optimiser import BESIDE, set_lr, split_roles
from mmm_graph.train.precision import autocast
from mmm_graph.train.ranks import ALONE, Ranks
from mmm_graph.train.replicas import Replicas
from mmm_graph.train.schedule import lr_factor
from mmm_graph.train.seeds import derive_seed
from mmm_graph.train.stage import Stage, may_lack
from mmm_graph.train.supervised import Supervised
from mmm_graph.train.token_count import TokenCount, token_values


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
        models: the trained models by name, with `requires_grad` set on what is trained.
        replicas: the same models, as the ranks have them.
        ranks: which of them this one is.
        loader: the samples.
        optimiser: over those weights.
        ema: their average, if it is kept.
        frozen: what frozen models have made of samples, if it is kept.
        seed: of the run; noise is keyed by (seed, stage, step) and the sample's place in the whole batch.
    """

    def __init__(  # noqa: PLR0913 - all that a step touches, by keyword
        self,
        stage: Stage,
        engine: Engine,
        models: Mapping[str, nn.Module],
        loader: Loader,
        optimiser: torch.optim.Optimizer,
        ema: Ema | None,
        *,
        seed: int,
        device: torch.device,
        frozen: FrozenCache | None = None,
        ranks: Ranks = ALONE,
        replicas: Replicas | None = None,
    ) -> None:
        self.stage, self.engine, self.models, self.loader = stage, engine, models, loader
        self.optimiser, self.ema, self.ranks = optimiser, ema, ranks
        self._replicas = replicas or Replicas(models, ranks, sharded=False)
        self._seed, self._device = seed, device
        self._runner = Runner(
            engine,
            stage.graph,
            frozenset(models),
            device,
            lambda: autocast(stage.precision, device),
            Dropout([*models.values()]),
        )
        self._frozen = frozen
        self.tokens = TokenCount(token_values(stage.graph, stage.cached))
        self._counts = Counts(stage.graph, engine.registry, stage.terms, self._runner)
        self._pairs = PairLosses(stage.graph, engine.registry) if stage.accumulate > 1 else None
        self._supervised = Supervised(stage, ranks, device)
        self._may_lack = may_lack(stage.graph)
        self._params = [w for group in optimiser.param_groups for w in group["params"]]

    def step(self, number: int) -> Measured:
        """Do step `number`, from 0. The losses are not looked at here; Meter does."""
        stage = self.stage
        seed = derive_seed(self._seed, stage.name, number)
        self._seed_global(seed)
        factor = lr_factor(number, schedule=stage.schedule, steps=stage.steps, warmup=stage.warmup)
        set_lr(self.optimiser, factor)
        micros = [self._micro(number, seed, micro) for micro in range(stage.accumulate)]
        found = self._backward(micros, number)
        supervised = self._supervised.take(number)
        if number == 0:
            check_gradients(self.stage, self.models)
        norm = clip_gradients(self._params, stage.clip)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        if self.ema is not None:
            self._average(self.ema, number)
        found = self.ranks.total(found) / self.ranks.size
        return Measured(
            number, torch.cat([supervised, found, norm.to(found.dtype)[None]]), tuple(m.batch for m in micros)
        )

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

    def _backward(self, micros: Sequence[Micro], number: int) -> Tensor:
        """Forward and backward of all micro-batches; returns the terms without their weights, and the loss."""
        stage = self.stage
        weigh = {k: t.weight if number >= t.after else 0.0 for k, t in stage.terms.items()}
        pairs = self._pairs if self._pairs and self._pairs.terms else None
        found = torch.zeros(len(stage.terms) + 1, device=self._device)
        leaves: Sequence[Mapping[str, Tensor]] = [{}] * len(micros)
        if pairs is not None:
            leaves = self._pair_backward(pairs, micros, weigh, found)
        ahead = self._counts.ahead(micros) if len(micros) > 1 else None
        shares = self._counts.shares(ahead, self.ranks) if ahead is not None else None
        for i, micro in enumerate(micros):
            is_last = i == len(micros) - 1
            with nullcontext() if is_last else self._replicas.silent():
                own = None if shares is None else shares[i]
                self._send_back(partial(self._loss, micro, own, leaves[i], weigh, found))
        return found

    def _pair_backward(
        self, pairs: PairLosses, micros: Sequence[Micro], weigh: Mapping[str, float], found: Tensor
    ) -> Sequence[Mapping[str, Tensor]]:
        """The losses that compare samples, over all micro-batches; fills `.grad` of the features it returns."""
        kept: list[Any] = []

        def run() -> Tensor:
            terms, loss, leaves = pairs.gradients(micros, self._runner, weigh)
            kept.append(leaves)
            for name in pairs.terms:
                found[[*self.stage.terms].index(name)] += mean_of(terms.get(name), self._device).detach()
            found[-1] += loss.detach()
            return loss

        with self._replicas.silent():
            self._send_back(run)
        found_leaves: Sequence[Mapping[str, Tensor]] = kept[0]
        return found_leaves

    def _loss(
        self,
        micro: Micro,
        shares: Mapping[str, float] | None,
        leaves: Mapping[str, Tensor],
        weigh: Mapping[str, float],
        found: Tensor,
    ) -> Tensor:
        """Forward of one micro-batch; adds what it counts to `found`."""
        stage, done = self.stage, set(self._pairs.terms if leaves and self._pairs else ())
        names = [name for name in stage.terms if name not in done]
        count = () if shares is not None else self._counts.names
        watched = (*self._supervised.names, *self.tokens.names)
        values = self._runner.run(micro, [*dict.fromkeys((*names, *leaves, *count, *watched))])
        self.tokens.add(values)
        self._supervised.add(values)
        if shares is None:
            shares = self._counts.shares([self._counts.of(values)], self.ranks)[0]
        terms = [mean_of(values.get(name), self._device).float() for name in names]
        parts = [shares.get(name, 1 / stage.accumulate) * t for name, t in zip(names, terms, strict=True)]
        weighted = [part * weigh[name] for name, part in zip(names, parts, strict=True) if weigh[name]]
        loss = torch.stack(weighted).sum() if weighted else torch.zeros((), device=self._device)
        order = [*stage.terms]
        for name, part in zip(names, parts, strict=True):
            found[order.index(name)] += part.detach()
        found[-1] += loss.detach()
        more = surrogate(values, leaves)
        return loss if more is None else loss + more

    def _send_back(self, run: Callable[[], Tensor]) -> None:
        """Forward and backward of something; ranks without a gradient join those that have one."""

        def joining() -> Tensor:
            loss = run()
            if self._may_lack and self.ranks.any(loss.requires_grad) and not loss.requires_grad:
                loss = loss + 0.0 * self._params[0].sum()
            return loss

        loss = self._replicas(joining)
        if loss.requires_grad:
            loss.backward()  # type: ignore[no-untyped-call]

    def _average(self, ema: Ema, number: int) -> None:
        """Before `ema_after` the average is the weights themselves."""
        if number < self.stage.ema_after:
            ema.reset()
        else:
            ema.update(number - self.stage.ema_after)


def check_gradients(stage: Stage, models: Mapping[str, nn.Module]) -> None:
    """Refuse to train what gets no gradient.

    Raises:
        RunError: E812, no loss reaches any weight of a model, of its LoRA, or of its rows; the optimiser has not moved
            yet.
    """
    lost = []
    for name, module in models.items():
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
