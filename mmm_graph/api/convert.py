"""A folder or a file that diffusers, transformers or others saved -> the text of a graph file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from mmm_graph.api.single_file import check_file, is_checkpoint, open_file
from mmm_graph.checkpoint.reader import open_checkpoint
from mmm_graph.errors import InputError, problem
from mmm_graph.graph.sections import compile_all
from mmm_graph.registry import Foreign, Registry
from mmm_graph.registry.foreign import open_foreign, open_gguf
from mmm_graph.registry.gguf_header import SUFFIX
from mmm_graph.registry.source import resolve_source
from mmm_graph.spec import load_spec, to_yaml

BASE = "base"
"""The component of an adapter that the user names."""
HEAD = "# yaml-language-server: $schema=.mmm/{stem}.schema.json\n# Made by `mmm import` from {source}.\n"


@dataclass(frozen=True)
class Imported:
    """A graph made from a folder or a file.

    Attributes:
        tree: what the graph file holds, as plain values.
        text: the file.
        notes: what was left out, and why.
    """

    tree: dict[str, Any]
    text: str
    notes: tuple[str, ...]


@dataclass(frozen=True)
class SingleFile:
    """What a file with all models of a pipeline does not say of itself.

    Attributes:
        prediction: of the denoiser, "epsilon" or "v".
        tokenizer: a folder, or `hf:org/repo`: a tokenizer's, or a pipeline's with tokenizers.
        ignore: beginnings of the names of tensors that may stay unread, beside those known to mean nothing.
    """

    prediction: str | None = None
    tokenizer: str | None = None
    ignore: Sequence[str] = ()


def import_graph(
    source: str,
    target: Path,
    registry: Registry,
    *,
    dtype: str | None = None,
    online: bool = False,
    single: SingleFile | None = None,
    as_class: str | None = None,
    base: str | None = None,
) -> Imported:
    """Make a graph of a pipeline's folder or file. It is compiled, so that what comes out is what `mmm check` takes.

    Args:
        source: a folder, a .safetensors or .gguf file, or `hf:org/repo[@revision][/sub]`.
        target: where the file will stand; links to weights are relative to its folder.
        dtype: of all weights for which the importer asks none itself; None = float32.
        online: `hf:` may download.
        single: what is known of a file; a folder says it itself.
        as_class: another pipeline that is made of the same parts, such as StableDiffusionInpaintPipeline.
        base: the folder of the pipeline that an adapter is for.

    Raises:
        InputError: E612, the folder or file cannot be imported; other codes, what the importer made does not compile.
        RunError: E603, there is no such folder; E604, the file is a pickle; E605, it is damaged; E610, it does not fit.
    """
    path, link = _find(source, target, online)
    if path.is_file() and is_checkpoint(path):
        options = _options(single or SingleFile(), target, online)
        options |= {"as_class": as_class} if as_class is not None else {}
        foreign = open_file(path, link, registry, options)
        for beginning in single.ignore if single else ():
            foreign.leave_unread(f"{beginning}*", "you said so", beginning)
    else:
        foreign = _open_folder(path, link, registry, single)
        foreign.class_name = as_class or foreign.class_name
    if base is not None:
        foreign.parts = {**foreign.parts, BASE: _open_folder(*_find(base, target, online), registry, None)}
    tree = {"mmm": 1, "name": _name(path), **_translated(foreign)}
    if base is not None and BASE not in foreign.asked:
        message = f"{path} ({foreign.class_name}) is no adapter, so that {base} is not needed"
        raise InputError(problem("E612", message, hint="leave --base out"))
    if dtype is not None:
        for model in tree["models"].values():
            if "weights" in model and "dtype" not in model and registry.models[model["kind"]].weights:
                model["dtype"] = dtype
    graphs = compile_all(load_spec(tree, base=target.parent), registry)
    if foreign.shapes:
        check_file(foreign, graphs["main"].models, registry)
    head = HEAD.format(stem=target.stem, source=source)
    notes = tuple(_one_line(note) for note in foreign.notes)
    return Imported(tree, head + "".join(f"# {note}.\n" for note in notes) + to_yaml(tree), notes)


def _find(source: str, target: Path, online: bool) -> tuple[Path, str]:
    """Where it is, and how a graph file in the target's folder says so."""
    if ":" in source.partition("/")[0] and not Path(source).exists():
        return resolve_source(source, base=Path(), what="the source", online=online).path, source
    return Path(source), f"file:{os.path.relpath(source, target.parent or Path())}".replace(os.sep, "/")


def _options(single: SingleFile, target: Path, online: bool) -> dict[str, str]:
    """As importers read it: tokenizers are links, the pipeline's second one apart."""
    found = {"prediction": single.prediction} if single.prediction else {}
    if single.tokenizer is None:
        return found
    path, link = _find(single.tokenizer, target, online)
    if not path.exists():
        raise InputError(
            problem("E612", f"{path} does not exist", hint="--tokenizer names a tokenizer's folder")
        )
    inside = [name for name in ("tokenizer", "tokenizer_2", "tokenizer_3") if (path / name).is_dir()]
    return {**found, **({name: f"{link}/{name}" for name in inside} or {"tokenizer": link})}


def _open_folder(folder: Path, link: str, registry: Registry, single: SingleFile | None) -> Foreign:
    is_gguf = folder.is_file() and folder.suffix == SUFFIX
    if not folder.is_dir() and not is_gguf:
        found = "is a file" if folder.exists() else "does not exist"
        hint = "name the folder that `save_pretrained` wrote, a .safetensors or .gguf file, or hf:org/repo"
        raise InputError(problem("E612", f"{folder} {found}", hint=hint))
    if single is not None:
        message = f"{folder} says itself what it holds, with its tokenizer"
        hint = "leave out --prediction, --tokenizer and --ignore: they are about single files"
        raise InputError(problem("E612", message, hint=hint))
    if is_gguf:
        return open_gguf(folder, link, registry)
    return replace(
        open_foreign(folder, link, registry), read_shapes=cache(lambda: open_checkpoint(folder).shapes)
    )


def _translated(foreign: Foreign) -> dict[str, Any]:
    tree = dict(foreign.translate())
    if "models" not in tree or "outputs" not in tree:
        message = f"{foreign.folder} holds a {foreign.class_name}, which is a part of a pipeline and no graph"
        raise InputError(problem("E612", message, hint="name the folder of the pipeline"))
    return tree


def _one_line(note: str) -> str:
    """As a comment: it may hold names out of a file, with whatever is in them."""
    return "".join(c if c.isprintable() else " " for c in note)


def _name(path: Path) -> str:
    """A name as graph files allow it."""
    said = path.stem if path.is_file() else path.resolve().name
    name = "".join(c if c.isalnum() or c in "-_" else "-" for c in said).strip("-")
    return name or "imported"
