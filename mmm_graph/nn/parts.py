"""Running a model as a list of parts: each takes the state and returns what it writes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from torch import Tensor, nn

from mmm_graph.errors import InputError, RunError, problem

State = Mapping[str, Tensor | None]
"""Named tensors; an absent optional input is missing or None."""


def run_parts(parts: nn.ModuleDict, path: Iterable[str], state: State) -> dict[str, Tensor | None]:
    """The state after the parts of `path`, in order: the inputs and everything that was written."""
    full = dict(state)
    for name in path:
        full.update(parts[name](full))
    return full


def need(state: State, key: str, reader: str) -> Tensor:
    """The tensor under `key`.

    Raises:
        RunError: it is absent; the message names the reader.
    """
    value = state.get(key)
    if value is None:
        given = ", ".join(sorted(k for k, v in state.items() if v is not None))
        raise RunError(problem("E702", f"{reader} needs {key}, which was not given; given: {given}"))
    return value


def refuse(state: State, key: str, reader: str) -> None:
    """A condition that the model was not built for is an error, not ignored.

    Raises:
        RunError: there is a value under `key`.
    """
    if state.get(key) is not None:
        hint = "link only the fields that it reads, or change its config"
        raise RunError(problem("E710", f"{key} was given, but {reader} does not read it", hint=hint))


def known(size: int | None, field: str) -> int:
    """A size that links may solve.

    Raises:
        InputError: neither the config nor a link says it.
    """
    if size is None:
        raise InputError(
            problem("E208", f"{field} is not known", hint=f"set {field}, or link a value of that width")
        )
    return size
