"""`--plan`, and how its ranks come to be: processes of this machine, those of torchrun, or threads."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

from mmm_graph.errors import InputError, MmmError, problem

if TYPE_CHECKING:
    from mmm_graph.api.session import Session
    from mmm_graph.plan.place import Plan
    from mmm_graph.registry import Registry
    from mmm_graph.runtime.process_world import ProcessWorld
    from mmm_graph.spec import GraphSpec

F = TypeVar("F", bound=Callable[..., Any])


def ranks(function: F) -> F:
    """--plan, --nproc, --emulate, --timeout."""
    for option in (
        click.option("--timeout", type=click.FloatRange(min=0, min_open=True), default=60.0, show_default=True,
                     help="Seconds after which a rank that stands still, or a run that gets no further, is ended."),
        click.option("--emulate", is_flag=True, help="Run the ranks of the plan as threads of this process."),
        click.option("--nproc", type=click.IntRange(1), help="Run the ranks of the plan as processes of this machine."),
        click.option("--plan", "plan_name", metavar="NAME", help="A plan of the file, or other.yaml#name."),
    ):  # fmt: skip
        function = option(function)
    return function


def is_rank() -> bool:
    """Whether this process is one of several: started by torchrun or by --nproc."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def is_first() -> bool:
    """Whether this process speaks with the user."""
    return int(os.environ.get("RANK", "0")) == 0


def check_ranks(options: Mapping[str, Any], plan: Plan) -> None:
    """The plan's ranks are there.

    Raises:
        InputError: E524, they are not, or there are more or fewer processes.
    """
    num, nproc = plan.ranks, options["nproc"]
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if options["emulate"]:
        if nproc is not None or size > 1:
            message = "--emulate runs all ranks in one process, without --nproc or torchrun"
            raise InputError(problem("E524", message))
        return
    found = size if size > 1 else nproc or 1
    if found != num:
        what = f"plan {plan.name}" if plan.name else "a run without --plan"
        hint = f"run it with --nproc {num}, under torchrun, or with --emulate" if num > 1 else "name a --plan"
        message = (
            f"{what} has {num} rank{'s' if num > 1 else ''}, there {'are' if found > 1 else 'is'} {found}"
        )
        raise InputError(problem("E524", message, hint=hint))


def start_ranks(
    words: Sequence[str],
    num: int,
    timeout_s: float,
    tell: Callable[[MmmError], object],
    grace_s: float | None = None,
) -> int:
    """Run the same command in `num` processes; returns the exit status, `tell` is given why they failed.

    Args:
        grace_s: how long ranks may take to end once they are asked to; None = the launcher's own.
    """
    from mmm_graph.runtime.launch import launch, program

    return launch(program(*_without(words, "--nproc")), num, timeout_s, tell=tell, grace_s=grace_s)


def _without(words: Sequence[str], option: str) -> list[str]:
    found: list[str] = []
    skip = False
    for word in words:
        if skip or word.startswith(f"{option}="):
            skip = False
        elif word == option:
            skip = True
        else:
            found.append(word)
    return found


@contextmanager
def world_of(options: Mapping[str, Any], device: str) -> Iterator[ProcessWorld | None]:
    """The processes that this one is among; None where it is alone."""
    if not is_rank():
        yield None
        return
    from mmm_graph.runtime.process_world import ProcessWorld

    with ProcessWorld.from_env(options["timeout"], device) as world:
        yield world


def agree(world: ProcessWorld, session: Session) -> None:
    """All ranks run the same thing.

    Raises:
        RunError: E725, they do not.
    """
    agree_on(world, session.registry, session.spec, session.plan().dump())


def agree_on(world: ProcessWorld, registry: Registry, spec: GraphSpec, more: str = "") -> None:
    """All ranks have the same versions, plugins and file, and `more`.

    Raises:
        RunError: E725, they do not.
    """
    import torch

    import mmm_graph
    from mmm_graph.spec import dump_spec

    world.agree("version", f"mmm_graph {mmm_graph.__version__}, torch {torch.__version__}")
    world.agree("set of plugins", registry.digest())
    values = sorted((k, repr(v)) for k, v in {**spec.values, **spec.given}.items())
    text = f"{dump_spec(spec)} {values} {more}"
    world.agree("graph or plan", hashlib.blake2b(text.encode(), digest_size=8).hexdigest())
