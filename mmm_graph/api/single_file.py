"""A .safetensors file with all models of a pipeline: opened by names and shapes, and checked to be read wholly."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mmm_graph.checkpoint.load import Weights
from mmm_graph.checkpoint.reader import open_checkpoint
from mmm_graph.errors import InputError, problem
from mmm_graph.graph.graph import ModelNode
from mmm_graph.registry import Foreign, Registry, resolve
from mmm_graph.registry.foreign import recognise
from mmm_graph.registry.weight_files import PICKLES
from mmm_graph.runtime.construct import on_meta

SHOWN = 8


def is_checkpoint(path: Path) -> bool:
    """Whether a file is one by its name; pickles are, and are refused when they are opened."""
    return path.suffix in (".safetensors", *PICKLES)


def open_file(path: Path, link: str, registry: Registry, options: Mapping[str, str]) -> Foreign:
    """What its importer needs to see. No weight is read.

    Raises:
        InputError: E612, no importer knows such files.
        RunError: E604, a pickle; E605, a damaged file.
    """
    return recognise(path, link, registry, open_checkpoint(path).shapes, options)


def check_file(foreign: Foreign, models: Mapping[str, ModelNode], registry: Registry) -> None:
    """Refuse a file with tensors that do not fit the models of the graph, or that none of them would read.

    Raises:
        InputError: E612, tensors that nobody reads.
        RunError: E610, tensors that do not fit.
    """
    checkpoint = open_checkpoint(foreign.folder)
    prefixes = []
    for node in models.values():
        kind = registry.models[node.kind]
        link, _, prefix = (node.weights or "").partition("#")
        if link != foreign.link or not kind.weights:
            continue
        with on_meta():
            module = resolve(kind.builder)(node.config)
        what = f"weights of {node.name}"
        Weights(module, checkpoint, prefix=prefix, layouts=kind.layouts, config=node.config, what=what)
        prefixes.append(f"{prefix}.")
    known = (*prefixes, *foreign.unread)
    lost = sorted(name for name in checkpoint.shapes if not name.startswith(known))
    if lost:
        more = f", and {len(lost) - SHOWN} more" if len(lost) > SHOWN else ""
        message = (
            f"{foreign.folder} ({foreign.class_name}) holds tensors that no model of the graph would read"
        )
        hint = "if they do not matter, name them, or how they begin: --ignore NAME"
        raise InputError(problem("E612", f"{message}: {', '.join(lost[:SHOWN])}{more}", hint=hint))
