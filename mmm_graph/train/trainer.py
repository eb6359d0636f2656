"""Train the stages of a file in order: check all, then build, train, evaluate and save each one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from mmm_graph.errors import InputError, Problem, did_you_mean, problem, warning
from mmm_graph.graph.compile import compile_graph
from mmm_graph.graph.weights import configs_of_weights
from mmm_graph.registry import Notifier, Registry
from mmm_graph.spec import GraphSpec
from mmm_graph.train.checkpoint import Checkpoint, check_identity, checkpoint_path, load_checkpoint
from mmm_graph.train.curve import can_draw, draw_curve
from mmm_graph.train.data import Sources
from mmm_graph.train.events import OnEvent, TrainEvent
from mmm_graph.train.interrupt import interruptible
from mmm_graph.train.lock import locked
from mmm_graph.train.log import EXTRA, CsvLog, Log, TensorBoardLog, read_rows
from mmm_graph.train.options import TrainOptions
from mmm_graph.train.outputs import DTYPES, write_graph
from mmm_graph.train.ranks import ALONE, Ranks
from mmm_graph.train.reach import needed_models
from mmm_graph.train.record import StageRecord, read_records, write_records
from mmm_graph.train.sample_outputs import SampleTools, sample_graph
from mmm_graph.train.session import Job, Session
from mmm_graph.train.sharded import load_sharded, sharded_path
from mmm_graph.train.snapshot import stage_identity
from mmm_graph.train.stage import Stage, make_stage
from mmm_graph.train.start import Beginning, earlier_outputs, find_starts
from mmm_graph.train.terms import share_name


def train(  # noqa: PLR0913 - what to train, where, how, and who listens
    spec: GraphSpec,
    registry: Registry,
    out: Path,
    *,
    stages: Sequence[str] | None = None,
    options: TrainOptions | None = None,
    on_event: OnEvent | None = None,
    cancel: Callable[[], bool] | None = None,
    ranks: Ranks = ALONE,
    sample_tools: SampleTools | None = None,
) -> dict[str, StageRecord]:
    """Train stages of a file into a folder.

    OUT gets MODEL.safetensors for each trained model, graph.yaml that uses them, metrics.csv, train.json, a
    picture STAGE.png of each stage's losses, and checkpoints/STAGE.safetensors. No file is left half written.

    Args:
        stages: names of the stages to train, in the order of the file; None = all.
        on_event: gets every TrainEvent, after the logs.
        cancel: asked before each step; True saves a checkpoint and stops, as Ctrl-C does.
        ranks: which one this process is of several that train together; all call this alike, and see the same OUT.
        sample_tools: how `samples:` of a stage are read and saved; `mmm_graph.api.samples` has it.

    Returns:
        The record of each stage that is finished, by name.

    Raises:
        InputError: the file cannot be trained, and why; nothing was started.
        RunError: E812, E82x data, E83x checkpoints, E850 a loss that is not finite, E858 one that
            has exploded, E857 a cache that cannot be written, E859 another training in OUT, E720 a rank is lost.
        Cancelled: after saving a checkpoint.
    """
    options = options or TrainOptions()
    ready = prepare(spec, registry, out, stages=stages, options=options, sample_tools=sample_tools)
    records = ready.records
    notes: list[Problem] = []
    with (
        locked(out, notes.append) if ranks.is_first else nullcontext(),
        _listening(spec, registry, out, ready, options, on_event) if ranks.is_first else _deaf() as listen,
        interruptible() as pressed,
    ):
        for note in notes:
            listen(TrainEvent("warning", "", data={"message": str(note)}))
        stop = lambda: ranks.any(pressed() or (cancel is not None and cancel()))  # noqa: E731
        job = Job(spec, registry, out, options, ready.sources, listen, stop, ranks, sample_tools)
        for stage in ready.stages:
            if stage not in ready.todo:
                listen(TrainEvent("stage_skip", stage.name, stage.steps, stage.steps))
                continue
            record = Session(job, stage, ready.begin[stage.name]).run(ready.found[stage.name])
            records = _with_record(spec, records, stage.name, record)
            if ranks.is_first:
                _write(spec, registry, out, records)
                _draw(out, stage.name, listen)
            ranks.wait()  # the next stage may read what was written
    return {stage.name: records[stage.name] for stage in ready.stages}


@dataclass(frozen=True)
class Ready:
    """What is known before the first stage starts.

    Attributes:
        stages, todo: all that were asked for, and those that are not finished.
        records, found: of the finished ones; the checkpoint to go on from, by stage.
        begin: where the models of each stage to do start.
        sources: the open data.
    """

    stages: Sequence[Stage]
    todo: Sequence[Stage]
    records: Mapping[str, StageRecord]
    found: Mapping[str, Checkpoint | None]
    begin: Mapping[str, Beginning]
    sources: Sources


def prepare(
    spec: GraphSpec,
    registry: Registry,
    out: Path,
    *,
    stages: Sequence[str] | None,
    options: TrainOptions,
    sample_tools: SampleTools | None = None,
) -> Ready:
    """Check all that can be checked before anything is built or written.

    Raises:
        InputError, RunError: as `train`.
    """
    names = _stage_names(spec, stages, options)
    sources = Sources(spec, registry)
    plans = [make_stage(spec, registry, name, sources) for name in names]
    records = read_records(out)
    found = {s.name: _checkpoint(s, out, options) for s in plans}
    todo = [s for s in plans if not _is_finished(s, records, found[s.name])]
    begin = _check_starts(spec, registry, plans, todo, records, sources)
    for stage in todo:
        if stage.samples is not None:
            graph, _ = sample_graph(spec, registry, stage, sample_tools)
            others = [graph.models[n] for n in sorted(needed_models(graph) - needed_models(stage.graph))]
            find_starts(spec, registry, others, outputs=begin[stage.name].outputs)
    return Ready(plans, todo, records, found, begin, sources)


def _stage_names(spec: GraphSpec, stages: Sequence[str] | None, options: TrainOptions) -> list[str]:
    known = list(spec.train.stages) if spec.train else []
    if not known:
        raise InputError(
            problem("E203", "the file has no training stages", spec.place(), "write `train: {stages: ...}`")
        )
    wrong = [name for name in stages or () if name not in known]
    if wrong:
        raise InputError(
            problem("E203", f"there is no training stage {n!r}", spec.place("train"), did_you_mean(n, known))
            for n in wrong
        )
    if options.dtype not in DTYPES:
        raise InputError(
            problem("E810", f"unknown dtype {options.dtype!r} of saved weights", hint=", ".join(DTYPES))
        )
    return [name for name in known if stages is None or name in stages]


def _is_finished(stage: Stage, records: Mapping[str, StageRecord], found: Checkpoint | None) -> bool:
    """The stage has run to its end, and in the same way: its last checkpoint was compared."""
    return found is not None and stage.name in records and found.step >= stage.steps


def _with_record(
    spec: GraphSpec, records: Mapping[str, StageRecord], name: str, record: StageRecord
) -> dict[str, StageRecord]:
    """Add a record; later stages whose models it has replaced are no longer done."""
    order = list(spec.train.stages) if spec.train else []
    later = order[order.index(name) + 1 :]
    kept = {n: r for n, r in records.items() if not (n in later and set(r.models) & set(record.models))}
    return {**kept, name: record}


def _checkpoint(stage: Stage, out: Path, options: TrainOptions) -> Checkpoint | None:
    """The checkpoint to go on from."""
    path = checkpoint_path(out, stage.name)
    folder = sharded_path(path)
    if not options.resume or (folder is None and not path.exists()):
        return None
    point = load_checkpoint(path) if folder is None else load_sharded(folder)
    check_identity(path, point.identity, stage_identity(stage, options.seed))
    return point


def _check_starts(
    spec: GraphSpec,
    registry: Registry,
    plans: Sequence[Stage],
    todo: Sequence[Stage],
    records: Mapping[str, StageRecord],
    sources: Sources,
) -> dict[str, Beginning]:
    """Where the models of each stage and of its evaluations start from, once the stages before have run."""
    found: dict[str, Beginning] = {}
    done = set(records) - {stage.name for stage in todo}
    for stage in plans:
        if stage in todo:
            outputs = earlier_outputs(spec, stage.name, done, stage.init_from)
            needed = needed_models(stage.graph)
            nodes = [stage.graph.models[n] for n in sorted(needed)]
            starts = find_starts(
                spec, registry, nodes, trained=stage.whole, beside=stage.beside, outputs=outputs
            )
            found[stage.name] = Beginning(starts, outputs)
            for name in stage.evals:
                graph = compile_graph(spec, registry, f"eval.{name}")
                sources.open(graph, spec.eval[name].data, ("eval", name, "data"))
                others = [graph.models[n] for n in sorted(needed_models(graph) - needed)]
                find_starts(spec, registry, others, outputs=outputs)
        done.add(stage.name)
    return found


@contextmanager
def _listening(
    spec: GraphSpec,
    registry: Registry,
    out: Path,
    ready: Ready,
    options: TrainOptions,
    on_event: OnEvent | None,
) -> Iterator[OnEvent]:
    """Logs, the caller and the plugins, as one listener."""
    todo = ready.todo
    keep = {s.name: point.step if point else 0 for s in todo for point in [ready.found[s.name]]}
    columns = [f"loss.{term}" for stage in todo for term in stage.terms]
    columns += [share_name(value) for stage in todo for value in stage.shares]
    columns += [f"eval.{n}.{m}" for stage in todo for n in stage.evals for m in spec.eval[n].metrics]
    with ExitStack() as stack:
        logs: list[Log] = []
        if options.tensorboard:
            logs.append(TensorBoardLog(out / "tensorboard", keep))
        logs.append(CsvLog(out / "metrics.csv", columns, keep))
        for log in logs:
            stack.callback(log.close)

        def tell(event: TrainEvent) -> None:
            for log in logs:
                log(event)
            if on_event is not None:
                on_event(event)

        notify = Notifier(registry, lambda w: tell(TrainEvent("warning", "", data={"message": str(w)})))

        def listen(event: TrainEvent) -> None:
            tell(event)
            notify("mmm_train_event", event)

        yield listen


@contextmanager
def _deaf() -> Iterator[OnEvent]:
    """For ranks beside the first, whose word it is."""
    yield lambda event: None


def _write(spec: GraphSpec, registry: Registry, out: Path, records: Mapping[str, StageRecord]) -> None:
    """What OUT says of itself: train.json and graph.yaml."""
    write_records(out, records)
    models = sorted({model for record in records.values() for model in record.models})
    write_graph(spec, out, models, configs_of_weights(spec, registry, models))


def _draw(out: Path, stage: str, listen: OnEvent) -> None:
    if can_draw():
        draw_curve(out / f"{stage}.png", stage, read_rows(out / "metrics.csv"))
        return
    note = warning("W841", f"no picture of the losses of {stage}: matplotlib is not installed", hint=EXTRA)
    listen(TrainEvent("warning", stage, data={"message": str(note)}))
