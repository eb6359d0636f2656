"""One stage from its start to its end: the loop around Stepper, with logs, evaluations and checkpoints."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mmm_graph.errors import Cancelled, Problem, problem
from mmm_graph.registry import Registry
from mmm_graph.runtime import Engine
from mmm_graph.spec import GraphSpec
from mmm_graph.train.cache import FrozenCache, open_cache
from mmm_graph.train.checkpoint import Checkpoint, checkpoint_path, save_checkpoint
from mmm_graph.train.data import Sources
from mmm_graph.train.ema import Ema
from mmm_graph.train.evaluate import EvalTools, run_evaluation
from mmm_graph.train.events import OnEvent, TrainEvent, TrainKind
from mmm_graph.train.meter import Meter
from mmm_graph.train.options import EvalOptions, TrainOptions
from mmm_graph.train.outputs import save_trained
from mmm_graph.train.ranks import ALONE, Ranks
from mmm_graph.train.recompute import recompute_parts
from mmm_graph.train.record import StageRecord, machine, versions
from mmm_graph.train.sample_outputs import Samples, SampleTools
from mmm_graph.train.seeds import derive_seed
from mmm_graph.train.sharded import CutLike, Pieces, drop_folders, save_sharded
from mmm_graph.train.skips import uneven_models
from mmm_graph.train.snapshot import flat, put_back, take_snapshot, trainable
from mmm_graph.train.speed import speed_row
from mmm_graph.train.stage import Stage
from mmm_graph.train.start import Beginning, build_started, earlier_loras, free_weights
from mmm_graph.train.step import Stepper
from mmm_graph.train.turn import Turn


@dataclass(frozen=True)
class Job:
    """What the stages of one training share.

    Attributes:
        out: the folder that everything is written into.
        sources: where data is opened.
        listen: logs, caller and plugins.
        stop: true when the user wants to stop, on all ranks alike.
        ranks: which of the processes that train this one is.
        sample_tools: how `samples:` are read and saved.
    """

    spec: GraphSpec
    registry: Registry
    out: Path
    options: TrainOptions
    sources: Sources
    listen: OnEvent
    stop: Callable[[], bool]
    ranks: Ranks = ALONE
    sample_tools: SampleTools | None = None


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
            learns=stage.learns,
            out=job.out,
            device=job.options.device,
            seed=job.options.seed,
        )
        self._models: dict[str, nn.Module] = free_weights(
            self._built, stage.learns, seed=job.options.seed, continued=earlier_loras(begin.starts, job.out)
        )
        recompute_parts(self._built, stage.recompute)
        uneven = uneven_models(stage.graph, job.registry)
        self._turns = [Turn(stage, player, self._models, job.ranks, uneven) for player in stage.players]
        self._optimisers = [turn.optimiser for turn in self._turns]
        self._weights = flat(trainable(self._models))
        self._ema = Ema(self._weights, stage.ema) if stage.ema is not None else None
        workers = job.options.workers
        self._loader = stage.source.stream(
            derive_seed(job.options.seed, stage.name),
            group=stage.group,
            workers=stage.workers if workers is None else workers,
            bad_limit=stage.bad_limit,
        )
        apart = "" if job.ranks.is_first else f"rank{job.ranks.rank}"
        self._meter = Meter(stage, job.out / "failed" / apart)
        self._frozen: FrozenCache | None = None
        self._samples: Samples | None = None
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
        ranks = self._job.ranks
        engine = Engine(
            self._job.registry,
            self._built,
            device=self._options.device,
            cache_bytes=0,
            gather=ranks.gather if ranks.size > 1 else None,
        )
        folder = self._options.cache_dir or self._job.out / "cache"
        self._frozen = open_cache(stage, engine, self._loader, folder, self._warn)
        stepper = Stepper(
            stage,
            engine,
            self._turns,
            self._loader,
            self._ema,
            frozen=self._frozen,
            seed=self._options.seed,
            device=device,
            ranks=self._job.ranks,
        )
        try:
            with torch.random.fork_rng([device] if device.type == "cuda" else []):
                self._loop(stepper)
            metrics = self._evaluate()
            self._make_samples()
        except Cancelled:
            self._save()
            raise
        finally:
            self._loader.close()
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
                samples, seconds = (self._done - logged) * self._samples_a_step, now - marked
                self._log(means, samples, stepper.tokens.take(self._job.ranks), seconds)
                marked, logged = now, self._done
            if self._done == stage.steps:
                return
            before = time.perf_counter()
            if stage.samples is not None and self._done % stage.samples.every == 0:
                self._make_samples()
            if stage.eval_every is not None and self._done % stage.eval_every == 0:
                self._evaluate()
            if stage.save_every is not None and self._done % stage.save_every == 0:
                self._save()
            marked += time.perf_counter() - before

    @property
    def _samples_a_step(self) -> int:
        return self._stage.batch * self._stage.accumulate

    def _log(self, means: Mapping[str, float], samples: int, tokens: int, seconds: float) -> None:
        self._seconds += seconds
        epoch = self._done * self._samples_a_step / len(self._loader)
        lr = max(group["lr"] for optimiser in self._optimisers for group in optimiser.param_groups)
        self._row = {"epoch": round(epoch, 4), "lr": lr, **means}
        speed = speed_row(samples, tokens, seconds, torch.device(self._options.device))
        self._tell("step", {**self._row, **speed, "seconds": round(self._seconds, 2)})

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
        with self._resting():
            for name in self._stage.evals:
                found |= run_evaluation(job.spec, job.registry, name, self._built, tools)
        return found

    def _make_samples(self) -> None:
        """What the top level makes now, if the stage asks for it."""
        job, stage, options = self._job, self._stage, self._options
        if stage.samples is None:
            return
        if self._samples is None:
            self._samples = Samples(
                job.spec,
                job.registry,
                stage,
                job.sample_tools,
                ready=self._built,
                outputs=self._begin.outputs,
                out=job.out,
                device=options.device,
                seed=options.seed,
            )
        with self._resting():
            files = self._samples.make(self._done, writes=job.ranks.is_first)
        self._tell("samples", {"path": str(self._samples.folder(self._done)), "files": files})

    @contextmanager
    def _resting(self) -> Iterator[None]:
        """Inside, the models are the averaged ones and do not train."""
        with self._averaged(), ExitStack() as stack:
            for turn in self._turns:
                stack.enter_context(turn.whole())
            for module in self._models.values():
                module.eval()
            yield
            for module in self._models.values():
                module.train()

    def _averaged(self) -> AbstractContextManager[None]:
        return nullcontext() if self._ema is None else self._ema.swapped()

    def _save(self) -> None:
        if self._frozen is not None:
            self._frozen.flush()
        path = checkpoint_path(self._job.out, self._stage.name)
        counters = {"seconds": self._seconds, "meter": self._meter.state(), "row": self._row}
        bad = self._loader.bad.found
        for found in self._job.ranks.all(bad):  # each reads a share of the samples
            bad.update(found)
        counters["bad"] = bad
        snapshot = take_snapshot(
            self._stage,
            self._models,
            self._optimisers,
            self._ema,
            step=self._done,
            seed=self._options.seed,
            counters=counters,
        )
        if self._stage.shard and self._job.ranks.size > 1:
            path = save_sharded(path, snapshot, self._job.ranks)
        elif self._job.ranks.is_first:
            save_checkpoint(path, snapshot)
            drop_folders(path)
        self._tell("save", {"path": str(path)})

    def _resume(self, checkpoint: Checkpoint) -> None:
        tensors = checkpoint.tensors
        checkpoint = replace(checkpoint, tensors=CutLike(tensors, self._weights))
        put_back(checkpoint, self._models, self._optimisers, self._ema)
        if isinstance(tensors, Pieces):
            tensors.close()
        self._done = checkpoint.step
        self._seconds = checkpoint.counters["seconds"]
        self._row = checkpoint.counters["row"]
        self._meter.load(checkpoint.counters["meter"])
        self._loader.bad.found.update(checkpoint.counters.get("bad", {}))

    def _finish(self, start: Mapping[str, str], metrics: Mapping[str, float]) -> StageRecord:
        """Write the models and say how they came about."""
        stage, options = self._stage, self._options
        about = {"trained_by": stage.name, "steps": stage.steps, "seed": options.seed}
        with self._averaged():
            for name, learns in stage.learns.items():
                own = {**about, "kind": stage.graph.models[name].kind}
                save_trained(
                    self._job.out,
                    self._built[name],
                    learns,
                    start=self._begin.starts[name],
                    dtype=options.dtype,
                    about=own,
                    writes=self._job.ranks.is_first,
                )
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
            bad_samples=dict(self._loader.bad.found),
        )
        if record.bad_samples:
            self._warn(self._loader.bad.warning(stage.name))
        self._tell("stage_end", {"seconds": record.seconds, **loss})
        return record

    def _warn(self, note: Problem) -> None:
        self._tell("warning", {"message": str(note)})

    def _tell(self, kind: TrainKind, data: Mapping[str, Any]) -> None:
        self._job.listen(TrainEvent(kind, self._stage.name, self._done, self._stage.steps, data))
