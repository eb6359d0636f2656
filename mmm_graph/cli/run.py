"""`mmm run FILE`: run a graph file, or a picture, video or sound that a graph file made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from mmm_graph.cli.app import App, emit, print_problem, record, report, warn
from mmm_graph.cli.interrupt import cancel_on_interrupt
from mmm_graph.cli.memory import too_large
from mmm_graph.cli.options import (
    GRAPH,
    as_json,
    device,
    overrides,
    parse_names,
    parse_seed,
    parse_sets,
    use_device,
)
from mmm_graph.cli.ranks import agree, check_ranks, is_first, is_rank, ranks, start_ranks, world_of
from mmm_graph.cli.requests import read_requests
from mmm_graph.cli.stats import tell_stats
from mmm_graph.errors import InputError, Problem, problem
from mmm_graph.plan.describe import peaks
from mmm_graph.runtime.supervised import report_told

SAVED = (".png", ".jpg", ".jpeg", ".gif", ".webp", ".mp4", ".wav")


@click.command()
@GRAPH
@overrides
@device
@ranks
@click.option("--seed", help="One integer, or one per batch element: 1,2,3.  [default: 0]")
@click.option("--outputs", help="Names of outputs or links of values, with commas; default: all outputs.")
@click.option("-o", "--out", "folder", type=click.Path(path_type=Path), default=Path("out"), show_default=True,
              help="Folder for the files.")  # fmt: skip
@click.option("--requests", type=click.Path(path_type=Path, allow_dash=True),
              help="JSON lines of inputs and params, run through one pipeline; - is stdin.")  # fmt: skip
@click.option("--preview", is_flag=True, help="Also save what each loop shows on the way (its `preview:`).")
@click.option("--stats", is_flag=True, help="Also say which models were loaded, and the peak of memory.")
@as_json
@click.pass_obj
def run(app: App, /, **options: Any) -> int:
    """Run FILE and save its outputs. FILE may be what it saved, a picture, video or sound: that is made again."""
    from mmm_graph.api.save import check_folder

    _check(options)
    seed = parse_seed(options["seed"]) if options["seed"] is not None else 0
    outputs = parse_names("--outputs", options["outputs"])
    target = use_device(options["device"], options["threads"], options["tf32"])
    check_folder(options["folder"])
    common: dict[str, Any] = {"registry": app.registry(), "device": target, "weights": options["weights"],
                              "warn": lambda found: warn(found, options["as_json"])}  # fmt: skip
    if options["nproc"] is not None and not is_rank():
        check_ranks(options, _open(options, common, seed, outputs)[0].plan())
        return start_ranks(
            app.words, options["nproc"], options["timeout"], lambda e: report(e, options["as_json"])
        )
    with cancel_on_interrupt() as cancel, world_of(options, target) as world:
        if world is not None:
            common |= {"world": world, "device": str(world.device)}
        session, seed, outputs = _open(options, {**common, "cancel": cancel.is_set}, seed, outputs)
        if options["file"].suffix.lower() not in SAVED:
            check_ranks(options, session.plan())
        if world is not None:
            agree(world, session)
        if not is_first():
            return _beside(session, options, seed, outputs)
        for found in (*session.graph.warnings, *_too_large(session)):
            warn(found, options["as_json"])
        if options["requests"] is not None:
            return _many(session, options, seed, outputs)
        return _one(session, options, seed, outputs)


def _check(options: Mapping[str, Any]) -> None:
    """Options that do not go together."""
    several = options["nproc"] is not None or is_rank()
    if options["requests"] is not None and options["preview"]:
        raise InputError(problem("E301", "--preview shows one run, not those of --requests"))
    if options["preview"] and several:
        raise InputError(problem("E301", "--preview needs a run in one process", hint="take --emulate"))
    if str(options["requests"]) == "-" and several:
        message = "--requests - reads the terminal, which only one of several processes has"
        raise InputError(problem("E301", message, hint="put the requests into a file"))


def _open(
    options: Mapping[str, Any], common: Mapping[str, Any], seed: Any, outputs: list[str] | None
) -> tuple[Any, Any, list[str] | None]:
    """The session, seed and outputs of a graph file or of what was saved."""
    if options["file"].suffix.lower() in SAVED:
        return _again(options, common)
    return _session(options, {**common, "plan": options["plan_name"]}), seed, outputs


def _too_large(session: Any) -> Iterator[Problem]:
    """Warnings of runs that need more memory than there is; nothing is loaded yet."""
    plan = session.plan()
    found = peaks(session.graph, session.registry, plan)
    return too_large(
        [asdict(p.worst) | {"bytes": p.worst.bytes} for p in found or ()], str(session.device), plan
    )


def _beside(session: Any, options: Mapping[str, Any], seed: Any, outputs: Sequence[str] | None) -> int:
    """What a rank does that is not the first: the same runs, without a word."""
    if options["requests"] is None:
        session.result(seed=seed, outputs=outputs, on_event=lambda event: None)
    else:
        lines = read_requests(options["requests"], seed)
        items = [e.item for e in lines if e.error is None]
        session.map(items, outputs=outputs, on_event=lambda event: None)
    _tell_stats(session, options)
    return 0


def _tell_stats(session: Any, options: Mapping[str, Any]) -> None:
    if options["stats"]:
        tell_stats(session, options["as_json"])


def _session(options: Mapping[str, Any], common: Mapping[str, Any]) -> Any:
    from mmm_graph.api.session import Session

    sets = parse_sets(options["sets"])
    return Session(options["file"], sets=sets, params_file=options["params_file"], **common)


def _again(options: Mapping[str, Any], common: Mapping[str, Any]) -> tuple[Any, Any, list[str] | None]:
    """The session, seed and outputs of a picture; nothing but a secret may be set."""
    from mmm_graph.api.rerun import differences, session_of_image

    changing = {"params_file": "--params", "requests": "--requests", "seed": "--seed", "outputs": "--outputs",
                "plan_name": "--plan"}  # fmt: skip
    for key, option in changing.items():
        if options[key] is not None:
            message = f"{options['file']} is run again exactly as it was, without {option}"
            raise InputError(problem("E109", message, hint="run the graph file to change something"))
    session, seed, outputs = session_of_image(options["file"], common, parse_sets(options["sets"]))
    for found in differences(options["file"], session):
        warn(found, options["as_json"])
    return session, seed, outputs


def _one(session: Any, options: Mapping[str, Any], seed: Any, outputs: Sequence[str] | None) -> int:
    from mmm_graph.api.save import save_outputs
    from mmm_graph.cli.preview import Previews
    from mmm_graph.cli.progress import RunProgress

    folder: Path = options["folder"]
    with RunProgress(options["as_json"]) as progress:
        previews = Previews(session, folder, seed, progress) if options["preview"] else progress
        result = session.result(seed=seed, outputs=outputs, on_event=previews)
    _tell_stats(session, options)
    origin = session.origin({}, seed, outputs, result.absent)
    saved = save_outputs(session.graph, session.registry, result, folder, origin=origin)
    if options["as_json"]:
        emit("done", outputs={s.name: s.record() for s in saved}, metrics={})
    else:
        _tell(saved)
    return 0


def _many(session: Any, options: Mapping[str, Any], seed: Any, outputs: Sequence[str] | None) -> int:
    """Every request by itself: those that fail are told of, the others are saved."""
    from mmm_graph.api.save import save_outputs
    from mmm_graph.cli.progress import RunProgress
    from mmm_graph.errors import MmmError

    lines = read_requests(options["requests"], seed)
    with RunProgress(options["as_json"]) as progress:
        results = session.map([e.item for e in lines if e.error is None], outputs=outputs, on_event=progress)
    _tell_stats(session, options)
    names: dict[str, Any] = {}
    for line in lines:
        given = {k: v for k, v in line.item.items() if k not in ("id", "seed")}
        try:
            error = line.error or results[line.id].error
            if error is not None:
                raise error
            origin = session.origin(given, line.item["seed"], outputs, results[line.id].absent)
            saved = save_outputs(
                session.graph,
                session.registry,
                results[line.id],
                options["folder"],
                origin=origin,
                prefix=f"{line.id}-",
            )
        except MmmError as error:
            _tell_failure(line.id, error, options["as_json"])
            continue
        names[line.id] = {s.name: s.record() for s in saved}
        if not options["as_json"]:
            _tell(saved)
    failed = len(lines) - len(names)
    if options["as_json"]:
        emit("done", outputs=names, metrics={}, failed=failed)
    elif failed or not lines:
        click.echo(
            f"{failed} of {len(lines)} requests failed" if lines else "there are no requests", err=True
        )
    if failed:
        report_told(1)
    return 1 if failed else 0


def _tell_failure(request: str, error: Any, as_json: bool) -> None:
    if as_json:
        emit("error", request=request, status=error.status, problems=[record(p) for p in error.problems])
        return
    for found in error.problems:
        print_problem(problem(found.code, f"request {request}: {found.message}", found.place, found.hint))


def _tell(saved: Any) -> None:
    for item in saved:
        if item.absent:
            click.echo(f"{item.name}: not produced ({item.absent})")
        elif item.files:
            more = f" ... {item.files[-1].name}" if len(item.files) > 1 else ""
            click.echo(f"{item.name}: {item.files[0]}{more}")
        else:
            click.echo(f"{item.name}: {item.value}")
