"""The folder of weights that a user names in place of the graph file's own."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from mmm_graph.errors import InputError, problem


def check_weights(folder: Path, models: Iterable[str]) -> None:
    """See that it is a folder which holds MODEL.safetensors of at least one model.

    Raises:
        InputError: E302.
    """
    if not folder.is_dir():
        found = "is a file" if folder.exists() else "does not exist"
        hint = "name the folder that `mmm train -o` wrote"
        raise InputError(problem("E302", f"the folder of weights {folder} {found}", hint=hint))
    names = [f"{name}.safetensors" for name in models]
    if not any((folder / name).is_file() for name in names):
        hint = "expected at least one of " + ", ".join(names)
        raise InputError(problem("E302", f"{folder} has no weights of this graph's models", hint=hint))
