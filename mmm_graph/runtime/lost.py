"""The error of a rank that waits in vain for another one."""

from __future__ import annotations

from collections.abc import Iterable

from mmm_graph.errors import MmmError, Problem, RunError, problem
from mmm_graph.plan.ops import ALL, WHOLE, Value


class Lost(RunError):
    """A message did not come, or could not be given: another rank is silent or gone (E720).

    Attributes:
        peer: the other rank; None = one of several.
        gone: it has ended, which has a cause of its own; otherwise it is silent.
    """

    def __init__(
        self, problems: Problem | Iterable[Problem], peer: int | None = None, gone: bool = False
    ) -> None:
        super().__init__(problems)
        self.peer, self.gone = peer, gone


def silent(rank: int, name: Value, peer: int, waited_s: float) -> Lost:
    """The error of `rank`, when a value has not come in time."""
    message = f"rank {rank} waited {waited_s:g} s for {_of_node(name)} from rank {peer} in vain"
    return Lost(
        problem("E720", message, hint=f"what rank {peer} does is the cause, or more time is needed"), peer
    )


def gone(rank: int, name: Value, peer: int, why: str, sends: bool = False) -> Lost:
    """The error of `rank`, when the one that is to give it a value, or `sends` it, has ended."""
    what = f"has {_of_node(name)} for rank {peer}" if sends else f"wants {_of_node(name)} from rank {peer}"
    hint = "that rank may have said why"
    return Lost(problem("E720", f"rank {rank} {what}, which is gone ({why})", hint=hint), peer, gone=True)


def _of_node(name: Value) -> str:
    node = name.name.rpartition(".")[0]
    return f"{spoken(name)} of node {node}" if node else spoken(name)


def spoken(name: Value) -> str:
    """A value's name in words."""
    more = [f"step {', '.join(map(str, name.step))}"] if name.step else []
    more += [f"patch {name.patch}"] if name.patch != ALL else []
    more += [f"rows {name.span[0]} to {name.span[1]}"] if name.span else []
    more += [f"share {name.share[0] + 1} of {name.share[1]}"] if name.share != WHOLE else []
    return f"`{name.name}`" + (
        f" ({'; '.join([*more, f'request {name.request}'])})" if more or name.request else ""
    )


def is_lost(error: BaseException) -> bool:
    """Whether a rank failed only because another one did."""
    return isinstance(error, MmmError) and all(found.code == "E720" for found in error.problems)
