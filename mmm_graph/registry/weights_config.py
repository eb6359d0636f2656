"""What the files of a model's weights say of its config: a config.json among them, or the head of a GGUF file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from mmm_graph.errors import InputError, MmmError, RunError, problem
from mmm_graph.registry.foreign import Foreign, open_foreign, open_gguf, read_config_file
from mmm_graph.registry.gguf_header import SUFFIX
from mmm_graph.registry.node_type import ModelType
from mmm_graph.registry.registry import Registry
from mmm_graph.registry.source import Source
from mmm_graph.registry.weight_files import INDEX, find_file, read_shapes

CONFIGS = ("config.json", "scheduler_config.json")
"""A pipeline's own file is not among them: its models stand in folders below."""
DAMAGED, STRANGE, REFUSED = "E616", "E617", "E618"
Said = dict[str, Any]
Wholes = dict[Path, Mapping[str, Any]]
UNREADABLE = (ValueError, TypeError, KeyError, AttributeError)
"""What readers raise where a field is missing, unknown, or of another type than they expect."""


def reads_configs(kind: ModelType) -> bool:
    """Whether files of weights can say the config of a kind."""
    return any(layout.read_config is not None for layout in kind.layouts)


def read_weights_config(
    kind: ModelType, source: Source, registry: Registry, wholes: Wholes | None = None
) -> Said | None:
    """Fields of a kind's config, as `mmm import` would write them for these weights; no tensor is read.

    A layout of the kind reads the config of its own classes. Where a class holds several models, such as a LLaVA, the
    importer of that class tells what each of them is.

    Args:
        wholes: models of such folders; hand it over again, that none is imported twice.

    Returns:
        None where there is no config, or one that need not say anything of such a kind; also of a class with several
        models whose weights are not in the folder.

    Raises:
        InputError: E616, a config.json that is damaged; E617, of a class that the kind cannot read; E618, with settings
            that are refused, or it does not tell which of several models is meant.
        RunError: E605, E633, a GGUF file that cannot be read.
    """
    foreign = _open(source, registry)
    if foreign is None:
        return None
    found = _of_class(kind, foreign)
    if found is None and _holds_several(foreign, registry):
        if foreign.folder.is_dir() and not any(foreign.folder.glob("*.safetensors*")):
            return None  # an importer may ask for the names of tensors
        found = _of_several(kind, foreign, source.prefix, {} if wholes is None else wholes)
    if found is None and reads_configs(kind):
        known = dict.fromkeys(name for la in kind.layouts if la.read_config for name in la.classes)
        raise _problem(STRANGE, f"{_about(foreign)}, and {kind.kind} reads only {', '.join(known)}")
    return found


def _open(source: Source, registry: Registry) -> Foreign | None:
    """The folder or the GGUF file; None where it has no config."""
    path, link = source.path, source.text.partition("#")[0]
    gguf = _gguf(path)
    if gguf is not None:
        return open_gguf(gguf, link, registry)
    if path.is_file() and not path.name.endswith((".safetensors", INDEX, *CONFIGS)):
        return None
    folder = path if path.is_dir() else path.parent
    names = (*CONFIGS, *(i.config for i in registry.importers.values() if i.config))
    if not any((folder / name).is_file() for name in names):
        return None
    try:
        read_config_file(folder, names)
    except InputError as error:
        hint = "the file is damaged; fetch it again"
        raise InputError(problem(DAMAGED, error.problems[0].message, hint=hint)) from error
    try:
        foreign = open_foreign(folder, link, registry, CONFIGS)
    except InputError as error:
        raise _problem(STRANGE, error.problems[0].message) from error
    return replace(foreign, read_shapes=lambda: read_shapes(folder))


def _gguf(path: Path) -> Path | None:
    """The GGUF file that would be loaded."""
    if path.is_dir():
        try:
            path = find_file(path)
        except RunError:  # nothing, or too much: what is there is told when it is loaded
            return None
    return path if path.suffix == SUFFIX else None


def _of_class(kind: ModelType, foreign: Foreign) -> Said | None:
    """By the layouts of the kind; None where they have no such class."""
    refused = []
    for layout in kind.layouts:
        if layout.read_config is None or foreign.class_name not in (*layout.classes, *layout.holders):
            continue
        try:
            return dict(layout.read_config(foreign.config))
        except UNREADABLE as error:
            refused.append(_words(error))
    if refused:
        raise _problem(REFUSED, f"{_about(foreign)}, which {kind.kind} refuses: {'; or '.join(refused)}")
    return None


def _holds_several(foreign: Foreign, registry: Registry) -> bool:
    """Whether the class is one that only an importer knows."""
    layouts = (layout for kind in registry.models.values() for layout in kind.layouts)
    return foreign.class_name in registry.importers and not any(
        foreign.class_name in la.classes for la in layouts
    )


def _of_several(kind: ModelType, foreign: Foreign, prefix: str, wholes: Wholes) -> Said | None:
    """Of the models that the class holds, the one of that kind; of several, the one at that prefix."""
    if foreign.folder not in wholes:
        wholes[foreign.folder] = _models(foreign)
    models = wholes[foreign.folder].values()
    found = {
        str(m.get("weights")).partition("#")[2]: m.get("config", {}) for m in models if m["kind"] == kind.kind
    }
    if not found:
        return None
    configs = [found[prefix]] if prefix in found else [*found.values()]
    if any(config != configs[0] for config in configs):
        at = ", ".join(f"#{name}" for name in found)
        raise _problem(REFUSED, f"{_about(foreign)}, which has several {kind.kind}: {at}, but none #{prefix}")
    return dict(configs[0])


def _models(foreign: Foreign) -> Mapping[str, Any]:
    try:
        models: Mapping[str, Any] = foreign.translate().get("models", {})
        return models
    except MmmError as error:
        why = error.problems[0].message
    except UNREADABLE as error:
        why = _words(error)
    raise _problem(REFUSED, f"{_about(foreign)}, whose models cannot be told apart: {why}")


def _about(foreign: Foreign) -> str:
    return f"{foreign.folder} holds a {foreign.class_name}"


def _words(error: Exception) -> str:
    return str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"


def _problem(code: str, message: str) -> InputError:
    return InputError(problem(code, message))
