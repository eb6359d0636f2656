"""Models of a graph -> the folder of a pipeline that diffusers and transformers load."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import nn

from mmm_graph.api.export_shared import find_shared, write_shared
from mmm_graph.checkpoint.save import save_foreign
from mmm_graph.errors import InputError, did_you_mean, problem
from mmm_graph.graph.graph import ModelNode
from mmm_graph.registry import Layout, Registry
from mmm_graph.registry.source import resolve_source

INDEX = "model_index.json"


def choose(
    nodes: Mapping[str, ModelNode], registry: Registry, names: Sequence[str] | None, base: Path
) -> tuple[str, ...]:
    """The models to write: those named, or all whose kind has a layout of another library or that share a checkpoint.

    Raises:
        InputError: E301, there is no such model; E612, there is none to write, or a LoRA runs beside its weights.
    """
    for name in names or ():
        if name not in nodes:
            hint = did_you_mean(name, nodes)
            raise InputError(problem("E301", f"there is no model {name!r}", hint=hint))
    shared = () if names else find_shared(nodes, registry, base)
    able = [
        n
        for n, node in nodes.items()
        if n in shared or any(la.classes and la.write_config for la in registry.models[node.kind].layouts)
    ]
    if not names and not able:
        raise InputError(problem("E612", "no model of this graph is of a kind that another library loads"))
    chosen = tuple(names or able)
    live = [(node, x) for node in (nodes[n] for n in chosen) for x in node.attach if not x.merge]
    if live:
        hint = "merge it (`merge: true`), and what is written has it in its weights; or leave it out"
        message = "{}: the LoRA {} runs beside the weights"
        raise InputError([problem("E612", message.format(n.name, x.source), x.place, hint) for n, x in live])
    return chosen


def export_models(
    modules: Mapping[str, nn.Module],
    nodes: Mapping[str, ModelNode],
    registry: Registry,
    base: Path,
    target: Path,
) -> tuple[str, ...]:
    """Write each model as its own library does; where they came from the folder of a pipeline, the whole pipeline.

    Models that came from one checkpoint become one again. The folder is there whole or not at all.

    Args:
        modules: those to write, by name.
        nodes: all models of the graph.
        base: folder of the graph file.
        target: must not exist, or be empty.

    Returns:
        Names of what was written.
    Raises:
        InputError: E612, a model of a kind that no other library knows, or models of several pipelines; E101, the
            folder is there already.
        RunError: E613, a layout that lacks weights of the model.
    """
    shared = find_shared(nodes, registry, base)
    together = {shared[n].path: shared[n] for n in modules if n in shared}
    alone = {name: module for name, module in modules.items() if name not in shared}
    layouts = {name: _layout(nodes[name], registry) for name in alone}
    homes = {name: _home(nodes[name], base) for name in nodes}
    pipelines = sorted({home.parent for home in homes.values() if home is not None})
    if len(pipelines) > 1:
        names = ", ".join(map(str, pipelines))
        raise InputError(
            problem("E612", f"the models come from several pipelines: {names}", hint="export one of them")
        )
    with _new_folder(target) as folder:
        if pipelines:
            _copy_rest(pipelines[0], folder, {homes[name] for name in modules})
        for one in together.values():
            own = folder if len(together) == 1 and not alone else folder / one.folder.name
            own.mkdir(exist_ok=True)
            write_shared(one, modules, nodes, registry, own)
        for name, module in alone.items():
            home, node, layout = homes[name], nodes[name], layouts[name]
            own = folder / (home.name if home is not None else name)
            own.mkdir(exist_ok=True)
            save_foreign(module, own / layout.file, layout, node.config)
            if home is not None:
                shutil.copy(home / "config.json", own / "config.json")
            else:
                _write_json(own / "config.json", _config(layout, node))
        return tuple(sorted(p.name for p in folder.iterdir()))


def _layout(node: ModelNode, registry: Registry) -> Layout:
    """The first in which the model can be written; that of the class which says what it is, where there are several."""
    able = [la for la in registry.models[node.kind].layouts if la.classes and la.write_config is not None]
    if not able:
        message = f"{node.name} ({node.kind}): no other library is known to load this kind"
        raise InputError(problem("E612", message, node.place, "export another model with --model"))
    return next((layout for layout in able if _says(layout, node)), able[0])


def _says(layout: Layout, node: ModelNode) -> bool:
    assert layout.write_config is not None
    try:
        layout.write_config(node.config)
    except ValueError:  # told by `_config`, if it is needed
        return False
    return True


def _home(node: ModelNode, base: Path) -> Path | None:
    """The folder of a model inside the folder of a pipeline that its weights came from."""
    if node.weights is None:
        return None
    path = resolve_source(node.weights, base=base, what=f"weights of {node.name}", place=node.place).path
    return path if path.is_dir() and (path.parent / INDEX).is_file() else None


def _copy_rest(pipeline: Path, folder: Path, written: set[Path | None]) -> None:
    """What is not written anew: the index, scheduler, tokenizers, models of which nothing was asked."""
    for path in sorted(pipeline.iterdir()):
        if path.is_dir() and path not in written:
            shutil.copytree(path, folder / path.name)
        elif path.name == INDEX:
            shutil.copy(path, folder / path.name)


def _config(layout: Layout, node: ModelNode) -> dict[str, Any]:
    assert layout.write_config is not None
    try:
        found = dict(layout.write_config(node.config))
    except ValueError as error:
        raise InputError(problem("E612", f"{node.name} ({node.kind}): {error}", node.place)) from error
    return found if "architectures" in found else {"_class_name": layout.classes[0], **found}


def _write_json(path: Path, data: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(data, indent=2, sort_keys=True) + "\n", encoding="utf-8")


@contextmanager
def _new_folder(target: Path) -> Iterator[Path]:
    """A folder beside the target that takes its name once all of it is there."""
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise InputError(problem("E101", f"{target} is there already", hint="name a folder that is not"))
    partial = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        partial.mkdir(parents=True)
        yield partial
        if target.exists():
            target.rmdir()
        partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
