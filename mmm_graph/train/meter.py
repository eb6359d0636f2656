"""Measured steps -> rows of the log, and the alarm when a loss is not finite or has exploded."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmm_graph.checkpoint.save import save_tensors
from mmm_graph.errors import RunError, problem
from mmm_graph.train.files import write_json
from mmm_graph.train.loader import Batch
from mmm_graph.train.spike import Spikes
from mmm_graph.train.stage import Stage
from mmm_graph.train.step import Measured
from mmm_graph.train.terms import share_name

SHOWN = 16
"""Samples that an error names; the file beside the batch names all."""


class Meter:
    """Means of the loss terms over a log interval.

    On an accelerator a step is read one step late, when its numbers have arrived: the host never waits.

    Args:
        stage: names of the terms.
        failures: folder for the batch of a step whose loss is not finite, or has exploded.
    """

    def __init__(self, stage: Stage, failures: Path) -> None:
        self._stage = stage
        self._failures = failures
        self._waiting: Measured | None = None
        self._names = [
            *map(share_name, stage.shares),
            *(f"loss.{name}" for name in stage.terms),
            "loss",
            "grad_norm",
        ]
        self._sums = [0.0] * len(self._names)
        self._count = 0
        self._spikes = Spikes(stage.stop_if)

    def add(self, measured: Measured) -> None:
        """Take in a step.

        Raises:
            RunError: E850, this step or the one before is not finite; E858, its loss has exploded.
        """
        if measured.values.device.type == "cpu":
            self._read(measured)
            return
        self.flush()
        values = torch.empty(measured.values.shape, pin_memory=True).copy_(measured.values, non_blocking=True)
        self._waiting = replace(measured, values=values, arrived=_mark(measured.values.device))

    def flush(self) -> None:
        """Read what is still on its way, so that the sums are complete."""
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            if waiting.arrived is not None:
                waiting.arrived.synchronize()
            self._read(waiting)

    def take(self) -> dict[str, float]:
        """Means since the last call: `loss`, `loss.TERM`, `grad_norm`, `supervised.NODE`; the sums start again."""
        self.flush()
        means = [total / max(1, self._count) for total in self._sums]
        self._sums, self._count = [0.0] * len(self._sums), 0
        named = dict(zip(self._names, means, strict=True))
        return {"loss": named.pop("loss"), **named}

    def state(self) -> dict[str, Any]:
        """The sums of an unfinished interval, for a checkpoint."""
        self.flush()
        return {"sums": list(self._sums), "count": self._count, "losses": self._spikes.state()}

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from `state()`."""
        self._sums, self._count = list(state["sums"]), int(state["count"])
        self._spikes.load(state.get("losses", ()))

    def _read(self, measured: Measured) -> None:
        values = measured.values.tolist()
        terms = [f"loss term {name!r}" for name in self._stage.terms]
        names = [*self._stage.shares, *terms, "the loss", "the gradient's norm"]
        bad = [f"{n} is {v}" for n, v in zip(names, values, strict=True) if not math.isfinite(v)]
        if bad:
            raise self._failure("E850", measured, bad)
        exploded = self._spikes.look(values[-2])
        if exploded:
            raise self._failure("E858", measured, [exploded])
        self._sums = [a + b for a, b in zip(self._sums, values, strict=True)]
        self._count += 1

    def _failure(self, code: str, measured: Measured, found: list[str]) -> RunError:
        stage, step = self._stage, measured.step + 1
        path = self._failures / f"{stage.name}-{step}.safetensors"
        save_batches(path, measured.batches, {"stage": stage.name, "step": step, "found": found})
        indices = [index for batch in measured.batches for index in batch.indices]
        samples = ", ".join(map(str, indices[:SHOWN])) + (" ..." if len(indices) > SHOWN else "")
        what = (
            f"stage {stage.name}, step {step}: {', '.join(found)}; samples {samples}; the batch is in {path}"
        )
        hint = (
            "lower the learning rate, clip gradients, or look at the samples: the .json beside it names them"
        )
        return RunError(problem(code, what, stage.place, hint))


def save_batches(path: Path, batches: tuple[Batch, ...], about: Mapping[str, Any]) -> None:
    """Keep batches for inspection: tensors in `path`, everything else in a .json beside it."""
    tensors, others = {}, []
    for number, batch in enumerate(batches):
        rest = {}
        for name, value in batch.values.items():
            if isinstance(value, Tensor):
                tensors[f"{number}/{name}"] = value
            else:
                rest[name] = value if isinstance(value, list | None) else repr(value)
        others.append({"indices": list(batch.indices), **rest})
    save_tensors(tensors, path)
    write_json(path.with_suffix(".json"), {**about, "batches": others})


def _mark(device: torch.device) -> torch.Event:
    event = torch.Event(device)
    event.record()
    return event
