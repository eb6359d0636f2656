"""One stage from its start to its end: the loop around Stepper, with logs, evaluations and checkpoints."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mmm_graph.errors import Cancelled, problem
from mmm_graph.registry import Registry
from mmm_graph.runtime import Engine
from mmm_graph.spec import GraphSpec
from mmm_graph.train.checkpoint import Checkpoint, checkpoint_path, save_checkpoint
from mmm_graph.train.data import Sources
from mmm_graph.train.ema import Ema
from mmm_graph.train.evaluate import EvalTools, run_evaluation
from mmm_graph.train.events import OnEvent, TrainEvent, TrainKind
from mmm_graph.train.loader import Loader
from mmm_graph.train.meter import Meter
from mmm_graph.train.optimiser import build_optimiser
from mmm_graph.train.options import EvalOptions, TrainOptions
from mmm_graph.train.outputs import save_model
from mmm_graph.train.record import StageRecord, machine, versions
from mmm_graph.train.seeds import derive_seed
from mmm_graph.train.snapshot import flat, put_back, take_snapshot, trainable
from mmm_graph.train.stage import Stage
from mmm_graph.train.start import Beginning, build_started, free_weights
from mmm_graph.train.step import Stepper


@dataclass(frozen=True)
class Job:
    """What the stages of one training share.

    Attributes:
        out: the folder that everything is written into.
        sources: where data is opened.
        listen: logs, caller and plugins.
        stop: true when the user wants to stop.
    """

    spec: GraphSpec
    registry: Registry
    out: Path
    options: TrainOptions
    sources: Sources
    listen: OnEvent
    stop: Callable[[], bool]


class Session:
    """A stage under way. Building it loads the models; `run` trains."""

    def __init__(self, job: Job, stage: Stage, begin: Beginning) -> None:
        self._job, self._stage, self._begin = job, stage, begin
        self._options = job.options
        self._built = build_started(
            job.spec,
            job.registry,
            stage.graph,
            begin.starts,
            trained=stage.trained,
            out=job.out,
            device=job.options.device,
            seed=job.options.seed,
        )
        self._models: dict[str, nn.Module] = free_weights(self._built, stage.trained)
        self._weights = flat(trainable(self._models))
        self._optimiser = build_optimiser(stage.optim, stage.optim_config, self._models, stage.groups)
        self._ema = Ema(self._weights, stage.ema) if stage.ema is not None else None
        self._loader = Loader(
            stage.source.dataset, stage.source.columns, seed=derive_seed(job.options.seed, stage.name)
        )
        self._meter = Meter(stage, job.out / "failed")
        self._done = 0
        self._seconds = 0.0
        self._row: dict[str, Any] = {}

    def run(self, checkpoint: Checkpoint | None) -> StageRecord:
        """Train from the checkpoint, or from the start, to the end.

        Raises:
            Cancelled: the checkpoint was saved.
            RunError: E812, E821, E850.
        """
        stage = self._stage
        if checkpoint is not None:
            self._resume(checkpoint)
        weights = sum(w.numel() for w in self._weights.values())
        start = {name: str(s) for name, s in self._begin.starts.items() if s.source != "none"}
        self._tell("stage_start", {"start": start, "samples": len(self._loader), "weights": weights})
        device = torch.device(self._options.device)
        engine = Engine(self._job.registry, self._built, device=self._options.device, cache_bytes=0)
        stepper = Stepper(
            stage,
            engine,
            self._models,
            self._loader,
            self._optimiser,
            self._ema,
            seed=self._options.seed,
            device=device,
        )
        try:
            with torch.random.fork_rng([device] if device.type == "cuda" else []):
                self._loop(stepper)
            metrics = self._evaluate()
        except Cancelled:
            self._save()
            raise
        self._save()
        return self._finish(start, metrics)

    def _loop(self, stepper: Stepper) -> None:
        stage, every = self._stage, self._options.log_every
        marked, logged = time.perf_counter(), self._done
        while self._done < stage.steps:
            if self._job.stop():
                what = (
                    f"stage {stage.name} was stopped after {self._done} of {stage.steps} steps; all is saved"
                )
                raise Cancelled(problem("E851", what, hint="go on with --resume"))
            self._meter.add(stepper.step(self._done))
            self._done += 1
            if self._done % every == 0 or self._done == stage.steps:
                means = self._meter.take()
                now = time.perf_counter()
                self._log(means, (self._done - logged) * self._samples_a_step / (now - marked), now - marked)
                marked, logged = now, self._done
            if self._done == stage.steps:
                return
            before = time.perf_counter()
            if stage.eval_every is not None and self._done % stage.eval_every == 0:
                self._evaluate()
            if stage.save_every is not None and self._done % stage.save_every == 0:
                self._save()
            marked += time.perf_counter() - before

    @property
    def _samples_a_step(self) -> int:
        return self._stage.batch * self._stage.accumulate

    def _log(self, means: Mapping[str, float], rate: float, seconds: float) -> None:
        self._seconds += seconds
        epoch = self._done * self._samples_a_step / len(self._loader)
        lr = max(group["lr"] for group in self._optimiser.param_groups)
        self._row = {"epoch": round(epoch, 4), "lr": lr, **means}
        self._tell("step", {**self._row, "samples_per_s": round(rate, 1), "seconds": round(self._seconds, 2)})

    def _evaluate(self) -> dict[str, float]:
        """Run the stage's evaluations with the averaged weights, if there are any."""
        found: dict[str, float] = {}
        if not self._stage.evals:
            return found
        job = self._job
        options = EvalOptions(self._options.device, self._options.seed, self._job.out)
        tools = EvalTools(
            options, job.listen, job.stop, self._begin.outputs, job.sources, self._stage.name, self._done
        )
        with self._averaged():
            for module in self._models.values():
                module.eval()
            for name in self._stage.evals:
                found |= run_evaluation(job.spec, job.registry, name, self._built, tools)
            for module in self._models.values():
                module.train()
        return found

    def _averaged(self) -> AbstractContextManager[None]:
        return nullcontext() if self._ema is None else self._ema.swapped()

    def _save(self) -> None:
        path = checkpoint_path(self._job.out, self._stage.name)
        counters = {"seconds": self._seconds, "meter": self._meter.state(), "row": self._row}
        snapshot = take_snapshot(
            self._stage,
            self._models,
            self._optimiser,
            self._ema,
            step=self._done,
            seed=self._options.seed,
            counters=counters,
        )
        save_checkpoint(path, snapshot)
        self._tell("save", {"path": str(path)})

    def _resume(self, checkpoint: Checkpoint) -> None:
        put_back(checkpoint, self._models, self._optimiser, self._ema)
        self._done = checkpoint.step
        self._seconds = checkpoint.counters["seconds"]
        self._row = checkpoint.counters["row"]
        self._meter.load(checkpoint.counters["meter"])

    def _finish(self, start: Mapping[str, str], metrics: Mapping[str, float]) -> StageRecord:
        """Write the models and say how they came about."""
        stage, options = self._stage, self._options
        about = {"trained_by": stage.name, "steps": stage.steps, "seed": options.seed}
        with self._averaged():
            for name, module in self._models.items():
                path = self._job.out / f"{name}.safetensors"
                kind = stage.graph.models[name].kind
                save_model(path, module, dtype=options.dtype, about={**about, "kind": kind})
        loss = {name: value for name, value in self._row.items() if name.startswith("loss")}
        record = StageRecord(
            steps=stage.steps,
            samples=stage.steps * self._samples_a_step,
            seconds=round(self._seconds, 2),
            loss=loss,
            metrics=dict(metrics),
            start=dict(start),
            models=tuple(self._models),
            seed=options.seed,
            command=options.command,
            versions=versions(),
            machine=machine(torch.device(options.device)),
        )
        self._tell("stage_end", {"seconds": record.seconds, **loss})
        return record

    def _tell(self, kind: TrainKind, data: Mapping[str, Any]) -> None:
        self._job.listen(TrainEvent(kind, self._stage.name, self._done, self._stage.steps, data))
