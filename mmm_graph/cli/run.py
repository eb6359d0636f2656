"""`mmm run FILE`: run a graph file, or a picture that a graph file made."""

from __future__ import annotations

import json
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import click

from mmm_graph.cli.app import App, emit, print_problem
from mmm_graph.cli.options import GRAPH, as_json, device, overrides, parse_seed, parse_sets, use_device
from mmm_graph.errors import InputError, problem


@click.command()
@GRAPH
@overrides
@device
@click.option("--seed", default="0", show_default=True, help="One integer, or one per batch element: 1,2,3.")
@click.option("--outputs", help="Names of outputs or links of values, with commas; default: all outputs.")
@click.option("-o", "--out", "folder", type=click.Path(path_type=Path), default=Path("out"), show_default=True,
              help="Folder for the files.")  # fmt: skip
@click.option("--requests", type=click.Path(path_type=Path, allow_dash=True),
              help="JSON lines of inputs and params, run through one pipeline; - is stdin.")  # fmt: skip
@click.option("--preview", is_flag=True, help="Also save what each loop shows on the way (its `preview:`).")
@as_json
@click.pass_obj
def run(app: App, /, **options: Any) -> int:
    """Run FILE and save its outputs. FILE may be a PNG saved by `mmm run`: the same run is made again."""
    with cancel_on_interrupt() as cancel:
        return _run(app, cancel, options)


def _run(app: App, cancel: threading.Event, options: Mapping[str, Any]) -> int:
    from mmm_graph.api.rerun import session_of_image
    from mmm_graph.api.session import Session

    file: Path = options["file"]
    target = use_device(options["device"], options["threads"])
    common: dict[str, Any] = {
        "registry": app.registry(), "device": target, "weights": options["weights"], "cancel": cancel.is_set,
    }  # fmt: skip
    seed: Any = parse_seed(options["seed"])
    outputs = options["outputs"].split(",") if options["outputs"] else None
    if file.suffix.lower() == ".png":
        if options["sets"] or options["params_file"] or options["requests"]:
            hint = "run the graph file to change something"
            raise InputError(problem("E104", f"{file} is run again exactly as it was", hint=hint))
        session, seed, outputs = session_of_image(file, common)
    else:
        sets = parse_sets(options["sets"])
        session = Session(file, sets=sets, params_file=options["params_file"], **common)
    for found in session.graph.warnings:
        print_problem(found)
    if options["requests"] is not None:
        return _many(session, options, outputs)
    return _one(session, options, seed, outputs)


def _one(session: Any, options: Mapping[str, Any], seed: Any, outputs: list[str] | None) -> int:
    from mmm_graph.api.save import save_outputs
    from mmm_graph.cli.preview import Previews
    from mmm_graph.cli.progress import RunProgress

    folder: Path = options["folder"]
    with RunProgress(options["as_json"]) as progress:
        previews = Previews(session, folder, progress) if options["preview"] else progress
        result = session.result(seed=seed, outputs=outputs, on_event=previews)
    if result.error is not None:
        raise result.error
    origin = session.origin({}, seed, outputs)
    saved = save_outputs(session.graph, session.registry, result, folder, origin=origin)
    _tell(saved, options["as_json"], {"outputs": {s.name: s.record() for s in saved}, "metrics": {}})
    return 0


def _many(session: Any, options: Mapping[str, Any], outputs: list[str] | None) -> int:
    from mmm_graph.api.save import save_outputs
    from mmm_graph.cli.progress import RunProgress

    folder: Path = options["folder"]
    requests = list(_read_requests(options["requests"]))
    with RunProgress(options["as_json"]) as progress:
        results = session.map(requests, outputs=outputs, on_event=progress)
    names: dict[str, Any] = {}
    failed = 0
    for item, (name, result) in zip(requests, results.items(), strict=True):
        if result.error is not None:
            failed += 1
            for found in result.error.problems:
                print_problem(problem(found.code, f"request {name}: {found.message}", found.place, found.hint))
            continue
        origin = session.origin({k: v for k, v in item.items() if k not in ("id", "seed")}, item.get("seed", 0), outputs)
        saved = save_outputs(session.graph, session.registry, result, folder, origin=origin, prefix=f"{name}-")
        names[name] = {s.name: s.record() for s in saved}
        if not options["as_json"]:
            _tell(saved, False, {})
    if options["as_json"]:
        emit("done", outputs=names, metrics={}, failed=failed)
    return 1 if failed else 0


def _read_requests(source: Path) -> Iterator[dict[str, Any]]:
    """Requests of a JSON-lines file.

    Raises:
        InputError: the file cannot be read, or a line is no JSON object.
    """
    try:
        text = sys.stdin.read() if str(source) == "-" else source.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(problem("E101", f"{source} cannot be read: {error}")) from error
    seen: set[str] = set()
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            item = json.loads(line)
        except ValueError as error:
            raise InputError(problem("E102", f"{source}:{number}: not JSON: {error}")) from error
        if not isinstance(item, dict):
            raise InputError(problem("E102", f"{source}:{number}: expects an object, found {line[:60]}"))
        name = str(item.setdefault("id", str(len(seen))))
        if name in seen:
            raise InputError(problem("E102", f"{source}:{number}: the id {name!r} is used twice"))
        seen.add(name)
        yield item


def _tell(saved: Any, as_json: bool, final: Mapping[str, Any]) -> None:
    if as_json:
        emit("done", **final)
        return
    for item in saved:
        if item.absent:
            click.echo(f"{item.name}: not produced ({item.absent})")
        elif item.files:
            more = f" ... {item.files[-1].name}" if len(item.files) > 1 else ""
            click.echo(f"{item.name}: {item.files[0]}{more}")
        else:
            click.echo(f"{item.name}: {item.value}")


@contextmanager
def cancel_on_interrupt() -> Iterator[threading.Event]:
    """The first Ctrl-C asks the run to stop at the next node; the second stops Python at once."""
    cancel = threading.Event()
    before = signal.getsignal(signal.SIGINT)

    def interrupted(number: int, frame: FrameType | None) -> None:
        if cancel.is_set():
            raise KeyboardInterrupt
        cancel.set()

    signal.signal(signal.SIGINT, interrupted)
    try:
        yield cancel
    finally:
        signal.signal(signal.SIGINT, before)


