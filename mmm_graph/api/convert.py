"""A folder that diffusers or transformers saved -> the text of a graph file."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmm_graph.checkpoint.source import resolve_source
from mmm_graph.errors import InputError, problem
from mmm_graph.graph.sections import compile_all
from mmm_graph.registry import Foreign, Registry
from mmm_graph.registry.foreign import open_foreign
from mmm_graph.spec import load_spec, to_yaml

HEAD = "# yaml-language-server: $schema=.mmm/{stem}.schema.json\n# Made by `mmm import` from {source}.\n"


@dataclass(frozen=True)
class Imported:
    """A graph made from a folder.

    Attributes:
        tree: what the graph file holds, as plain values.
        text: the file.
        notes: what was left out, and why.
    """

    tree: dict[str, Any]
    text: str
    notes: tuple[str, ...]


def import_graph(
    source: str, target: Path, registry: Registry, *, dtype: str | None = None, online: bool = False
) -> Imported:
    """Make a graph of a pipeline's folder. It is compiled, so that what comes out is what `mmm check` takes.

    Args:
        source: a folder, or `hf:org/repo[@revision][/sub]`.
        target: where the file will stand; links to weights are relative to its folder.
        dtype: of all weights for which the importer asks none itself; None = float32.
        online: `hf:` may download.

    Raises:
        InputError: E612, the folder cannot be imported; other codes, what the importer made does not compile.
        RunError: E603, there is no such folder.
    """
    if ":" in source.partition("/")[0] and not Path(source).exists():
        folder, link = resolve_source(source, base=Path(), what="the source", online=online).path, source
    else:
        folder = Path(source)
        link = f"file:{os.path.relpath(folder, target.parent or Path())}".replace(os.sep, "/")
    if not folder.is_dir():
        found = "is a file" if folder.exists() else "does not exist"
        hint = "name the folder that `save_pretrained` wrote, or hf:org/repo"
        raise InputError(problem("E612", f"{folder} {found}", hint=hint))
    foreign = open_foreign(folder, link, registry)
    tree = {"mmm": 1, "name": _name(folder), **_translated(foreign)}
    if dtype is not None:
        for model in tree["models"].values():
            if "weights" in model and "dtype" not in model and registry.models[model["kind"]].weights:
                model["dtype"] = dtype
    compile_all(load_spec(tree, base=target.parent), registry)
    head = HEAD.format(stem=target.stem, source=source)
    notes = "".join(f"# {note}.\n" for note in foreign.notes)
    return Imported(tree, head + notes + to_yaml(tree), tuple(foreign.notes))


def _translated(foreign: Foreign) -> dict[str, Any]:
    tree = dict(foreign.translate())
    if "models" not in tree or "outputs" not in tree:
        message = f"{foreign.folder} holds a {foreign.class_name}, which is a part of a pipeline and no graph"
        raise InputError(problem("E612", message, hint="name the folder of the pipeline"))
    return tree


def _name(folder: Path) -> str:
    """A name as graph files allow it."""
    name = "".join(c if c.isalnum() or c in "-_" else "-" for c in folder.resolve().name).strip("-")
    return name or "imported"
