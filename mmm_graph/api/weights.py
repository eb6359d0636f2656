"""A folder of weights, MODEL.safetensors: named by a user in place of the graph file's own, or written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from mmm_graph.checkpoint.save import save_module
from mmm_graph.errors import InputError, problem
from mmm_graph.runtime.attach import merged_header
from mmm_graph.runtime.build import Built


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


def write_weights(models: Mapping[str, Built], folder: Path) -> None:
    """Write each model's weights; the headers say which LoRAs are merged into them."""
    for name, built in models.items():
        header = merged_header(built.node, built.loras)
        save_module(built.object, folder / f"{name}.safetensors", metadata=header)
