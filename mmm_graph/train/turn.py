"""A player's turn in a step: its losses forward and backward, checks, clipping, and its optimiser."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from mmm_graph.train.balance import balanced
from mmm_graph.train.clip import clip_gradients
from mmm_graph.train.counts import Counts, mean_of
from mmm_graph.train.features import PairLosses, surrogate
from mmm_graph.train.micro import Micro, Runner
from mmm_graph.train.optimiser import build_optimiser, set_lr
from mmm_graph.train.player import Player
from mmm_graph.train.ranks import Ranks
from mmm_graph.train.replicas import Replicas
from mmm_graph.train.schedule import lr_factor
from mmm_graph.train.stage import Stage, may_lack

Watch = Callable[[Mapping[str, Any]], None]
"""Told the values of each micro-batch."""


class Turn:
    """One player at work.

    Args:
        stage: which the player is of.
        models: all that are trained, by name; the player trains its own.
        uneven: models that some rank may not call where others do.

    Attributes:
        optimiser: over the player's weights.
        whole: a context in which the models can run outside of a step.
    """

    def __init__(
        self,
        stage: Stage,
        player: Player,
        models: Mapping[str, nn.Module],
        ranks: Ranks,
        uneven: Collection[str] = (),
    ) -> None:
        self.stage, self.player, self.ranks = stage, player, ranks
        self.models = {name: models[name] for name in player.learns}
        sharded = stage.shard and ranks.size > 1
        self._replicas = Replicas(self.models, ranks, sharded=sharded, uneven=uneven)
        self.whole = self._replicas.whole
        self.optimiser = build_optimiser(player.optim, player.config, self.models, player.groups)
        self._params = [w for group in self.optimiser.param_groups for w in group["params"]]
        own = {id(w) for w in self._params}
        self._others = [
            w for m in models.values() for w in m.parameters() if w.requires_grad and id(w) not in own
        ]
        self._may_lack = may_lack(stage.graph)

    def begin(self, runner: Runner, watched: Sequence[str], watch: Watch) -> None:
        """Before the first step.

        Args:
            runner: of the stage's graph.
            watched: values that are looked at in each micro-batch.
        """
        graph, registry = self.stage.graph, runner.engine.registry
        self._runner = replace(runner, trained=frozenset(self.models))
        self._watched, self._watch = watched, watch
        self._counts = Counts(graph, registry, self.player.terms, self._runner)
        pairs = PairLosses(graph, registry, self.player.terms) if self.stage.accumulate > 1 else None
        self._pairs = pairs if pairs is not None and pairs.terms else None

    def take(self, micros: Sequence[Micro], number: int, check: Callable[[], None]) -> tuple[Tensor, Tensor]:
        """Do its part of step `number`.

        Args:
            check: called when gradients are there, before the optimiser moves.

        Returns:
            The terms without their weights, in order, and the loss; the gradient's norm before clipping.
        """
        player = self.player
        factor = lr_factor(
            number,
            schedule=player.schedule,
            steps=self.stage.steps,
            warmup=player.warmup,
            floor=player.floor,
        )
        set_lr(self.optimiser, factor)
        with self._alone():
            found = self._backward(micros, number)
        check()
        norm = clip_gradients(self._params, player.clip)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        return found, norm

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Inside, no weight of another player gets a gradient."""
        for weight in self._others:
            weight.requires_grad_(False)
        try:
            yield
        finally:
            for weight in self._others:
                weight.requires_grad_(True)

    def _backward(self, micros: Sequence[Micro], number: int) -> Tensor:
        """Forward and backward of all micro-batches; returns the terms without their weights, and the loss."""
        terms = self.player.terms
        weigh = {k: t.weight if number >= t.after else 0.0 for k, t in terms.items()}
        found = torch.zeros(len(terms) + 1, device=self._runner.device)
        leaves: Sequence[Mapping[str, Tensor]] = [{}] * len(micros)
        if self._pairs is not None:
            leaves = self._pair_backward(self._pairs, micros, weigh, found)
        with self.whole() if len(micros) > 1 else nullcontext():
            ahead = self._counts.ahead(micros) if len(micros) > 1 else None
        shares = self._counts.shares(ahead, self.ranks) if ahead is not None else None
        for i, micro in enumerate(micros):
            is_last = i == len(micros) - 1
            with nullcontext() if is_last else self._replicas.silent():
                own = None if shares is None else shares[i]
                self._send_back(partial(self._loss, micro, own, leaves[i], weigh, found))
        self._replicas.finish()
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
                found[[*self.player.terms].index(name)] += mean_of(terms.get(name), found.device).detach()
            found[-1] += loss.detach()
            return loss

        with self._replicas.silent():
            self._send_back(run)
        leaves: Sequence[Mapping[str, Tensor]] = kept[0]
        return leaves

    def _loss(
        self,
        micro: Micro,
        shares: Mapping[str, float] | None,
        leaves: Mapping[str, Tensor],
        weigh: Mapping[str, float],
        found: Tensor,
    ) -> Tensor:
        """Forward of one micro-batch; adds what it counts to `found`."""
        done = set(self._pairs.terms if self._pairs is not None else ())
        names = [name for name in self.player.terms if name not in done]
        count = () if shares is not None else self._counts.names
        values = self._runner.run(micro, [*dict.fromkeys((*names, *leaves, *count, *self._watched))])
        self._watch(values)
        if shares is None:
            shares = self._counts.shares([self._counts.of(values)], self.ranks)[0]
        each = {
            name: shares.get(name, 1 / self.stage.accumulate)
            * mean_of(values.get(name), found.device).float()
            for name in names
        }
        loss = balanced(each, weigh, self.player.terms, self.models, self.ranks)
        order = [*self.player.terms]
        for name, part in each.items():
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
