"""One optimiser step: micro-batches through the engine, backward, checks, clipping, update, average."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from mmm_graph.errors import RunError, problem
from mmm_graph.runtime import Engine, Request
from mmm_graph.train.ema import Ema
from mmm_graph.train.frozen import FrozenCache
from mmm_graph.train.loader import Batch, Loader
from mmm_graph.train.optimiser import set_lr
from mmm_graph.train.schedule import lr_factor
from mmm_graph.train.seeds import derive_seed
from mmm_graph.train.stage import Stage


@dataclass(frozen=True)
class Measured:
    """What a step found, still on the device.

    Attributes:
        values: the loss terms without their weights, in order; the loss; the gradient's norm before clipping.
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
        loader: the samples.
        optimiser: over those weights.
        ema: their average, if it is kept.
        seed: of the run; noise is keyed by (seed, stage, step) and the sample's place in the whole batch.
    """

    def __init__(
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
    ) -> None:
        self.stage, self.engine, self.models, self.loader = stage, engine, models, loader
        self.optimiser, self.ema = optimiser, ema
        self._seed, self._device = seed, device
        self._trained = frozenset(models)
        self._frozen: FrozenCache | None = None
        if stage.cached:
            self._frozen = FrozenCache(stage.graph, stage.cached, engine, loader, self._precision)
        self._params = [w for group in optimiser.param_groups for w in group["params"]]

    def step(self, number: int) -> Measured:
        """Do step `number`, from 0. The losses are not looked at here; Meter does."""
        stage = self.stage
        seed = derive_seed(self._seed, stage.name, number)
        self._seed_global(seed)
        factor = lr_factor(number, schedule=stage.schedule, steps=stage.steps, warmup=stage.warmup)
        set_lr(self.optimiser, factor)
        found = torch.zeros(len(stage.terms) + 1, device=self._device)
        batches = []
        for micro in range(stage.accumulate):
            start = (number * stage.accumulate + micro) * stage.batch
            batch = self.loader.at(start, stage.batch)
            found += self._backward(batch, number, seed, micro)
            batches.append(batch)
        if number == 0:
            check_gradients(self.stage, self.models)
        norm = self._clip()
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        if self.ema is not None:
            self._average(self.ema, number)
        return Measured(number, torch.cat([found, norm.to(found.dtype)[None]]), tuple(batches))

    def _seed_global(self, seed: int) -> None:
        """No layer may draw from the global generator; one that does (a dropout) is at least repeatable."""
        torch.default_generator.manual_seed(seed)
        if self._device.type == "cuda":
            torch.cuda.manual_seed(seed)

    def _backward(self, batch: Batch, number: int, seed: int, micro: int) -> Tensor:
        """Forward and backward of one micro-batch; returns its share of the loss terms and of the loss."""
        stage, size = self.stage, len(batch.indices)
        values = {k: to_device(v, self._device) for k, v in batch.values.items() if v is not None}
        elements = tuple(range(micro * size, (micro + 1) * size))
        request = Request(stage.name, values, (seed,) * size, elements)
        supply = (
            {k: to_device(v, self._device) for k, v in self._frozen.supply(batch).items()}
            if self._frozen
            else {}
        )
        with self._precision():
            found = self.engine.run(stage.graph, [request], supply=supply, train=self._trained)
        result = found[request.id]
        terms = [_mean(result.values.get(name), self._device) for name in stage.terms]
        weights = [t.weight if number >= t.after else 0.0 for t in stage.terms.values()]
        parts = [t.float() * w for t, w in zip(terms, weights, strict=True) if w]
        loss = torch.stack(parts).sum() / stage.accumulate if parts else torch.zeros((), device=self._device)
        if loss.requires_grad:
            loss.backward()  # type: ignore[no-untyped-call]
        return torch.stack([*(t.detach().float() / stage.accumulate for t in terms), loss.detach()])

    def _average(self, ema: Ema, number: int) -> None:
        """Before `ema_after` the average is the weights themselves."""
        if number < self.stage.ema_after:
            ema.reset()
        else:
            ema.update(number - self.stage.ema_after)

    def _precision(self) -> AbstractContextManager[Any]:
        if self.stage.precision == "f32":
            return nullcontext()
        return torch.autocast(self._device.type, torch.bfloat16)

    def _clip(self) -> Tensor:
        """The gradient's norm before clipping; one fused call, no wait for the device."""
        grads = [w.grad for w in self._params if w.grad is not None]
        norm = torch.nn.utils.get_total_norm(grads)
        if self.stage.clip is not None:
            torch.nn.utils.clip_grads_with_norm_(self._params, self.stage.clip, norm)
        return norm


def check_gradients(stage: Stage, models: Mapping[str, nn.Module]) -> None:
    """Refuse to train what gets no gradient.

    Raises:
        RunError: E812, no loss reaches any weight of a model; the optimiser has not moved yet.
    """
    lost = [n for n, m in models.items() if all(w.grad is None for w in m.parameters() if w.requires_grad)]
    if lost and not any(node.when is not None for node in stage.graph.walk()):
        what = f"stage {stage.name}: the losses give no gradient to {', '.join(lost)}"
        hint = "an op between the model and the loss cuts the gradient; or leave the model out of `train:`"
        raise RunError(problem("E812", what, stage.place, hint))


def to_device(value: Any, device: torch.device) -> Any:
    """A column on a device; text and None as they are."""
    return value.to(device, non_blocking=True) if isinstance(value, Tensor) else value


def _mean(value: Tensor | None, device: torch.device) -> Tensor:
    """A loss as one number; absent (its branch had no rows) is 0."""
    return torch.zeros((), device=device) if value is None or value.numel() == 0 else value.mean()
