"""`--plan`, and how its ranks come to be: processes of this machine, those of torchrun, or threads."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import click

from mmm_graph.errors import InputError, problem

F = TypeVar("F", bound=Callable[..., Any])


def ranks(function: F) -> F:
    """--plan, --nproc, --emulate, --timeout."""
    for option in (
        click.option("--timeout", type=click.FloatRange(min=0, min_open=True), default=60.0, show_default=True,
                     help="Seconds that a rank waits for another."),
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


def check_ranks(options: Mapping[str, Any], num_ranks: int) -> None:
    """The plan's ranks are there.

    Raises:
        InputError: E524, they are not, or there are more or fewer processes.
    """
    name, nproc = options["plan_name"], options["nproc"]
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if options["emulate"] and (nproc is not None or size > 1):
        raise InputError(problem("E524", "--emulate runs all ranks in one process, without --nproc or torchrun"))
    found = nproc or size
    if options["emulate"] or found == num_ranks:
        return
    what = f"plan {name}" if name is not None else "a run without --plan"
    hint = f"run it with --nproc {num_ranks}, under torchrun, or with --emulate" if num_ranks > 1 else "leave it out"
    count = f"{num_ranks} rank{'s' if num_ranks > 1 else ''}"
    raise InputError(problem("E524", f"{what} has {count}, there {'are' if found > 1 else 'is'} {found}", hint=hint))


def start_ranks(words: Sequence[str], num: int, timeout_s: float) -> int:
    """Run the same command in `num` processes; returns the exit status."""
    from mmm_graph.runtime.launch import launch

    return launch(["-m", "mmm_graph", *_without(words, "--nproc")], num, timeout_s)


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
def world_of(options: Mapping[str, Any], device: str) -> Iterator[Any]:
    """The processes that this one is among; None where it is alone."""
    if not is_rank():
        yield None
        return
    from mmm_graph.runtime.world import ProcessWorld

    world = ProcessWorld.from_env(options["timeout"], device)
    try:
        yield world
    finally:
        world.close()
