"""`attach: {lora: ...}` of models: finds the files, sees that every part of them is taken, adds them to modules."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from torch import nn

from mmm_graph.checkpoint.load import PARTS, saved_names
from mmm_graph.checkpoint.lora import ALIASES, BARE, NET, LoraFile, open_lora
from mmm_graph.checkpoint.lora_fit import WEIGHT, LoraFit, fit_lora, read_lora
from mmm_graph.checkpoint.reader import Checkpoint, open_checkpoint
from mmm_graph.errors import MmmError, Problem, RunError, problem
from mmm_graph.graph.graph import Lora, ModelNode
from mmm_graph.nn.lora import Factors, attach, can_attach, merge, set_scales
from mmm_graph.registry.node_type import ModelType
from mmm_graph.registry.registry import Registry
from mmm_graph.registry.source import Source, resolve_source

TEXT = "text_encoder"
MERGED = "mmm.lora"
"""Key in the header of weights that LoRAs are merged into: hashes of their files."""

Fitted = tuple[tuple[LoraFile, LoraFit], ...]


class Target(NamedTuple):
    """A model that LoRAs are to fit: shapes of its weights by their names in a file, and which of them are layers'."""

    shapes: Mapping[str, tuple[int, ...]]
    able: frozenset[str]
    kind: ModelType
    node: ModelNode


def find_loras(
    node: ModelNode, registry: Registry, *, base: Path, online: bool = False
) -> tuple[Source, ...]:
    """The files of a model's LoRAs.

    Raises:
        RunError: E602, E603, of all that are not found.
    """
    found: list[Source] = []
    problems: list[Problem] = []
    for lora in node.attach:
        try:
            found.append(
                resolve_source(
                    lora.source,
                    base=base,
                    what=f"LoRA of {node.name}",
                    place=lora.place,
                    sources=registry.weight_sources,
                    online=online,
                )
            )
        except MmmError as error:
            problems += error.problems
    if problems:
        raise RunError(problems)
    return tuple(found)


def check_parts(models: Mapping[str, ModelNode], found: Mapping[str, Sequence[Source]]) -> list[Problem]:
    """What of the files no model takes: a file that is attached without `#part` must be taken as a whole.

    Args:
        models: all of the graph.
        found: files of some of them.
    Raises:
        RunError: E604, E605, E630, a file that cannot be read.
    """
    problems: list[Problem] = []
    takers: dict[str, list[tuple[ModelNode, str]]] = {}
    for node in models.values():
        for lora in node.attach:
            text, _, part = lora.source.partition("#")
            takers.setdefault(text, []).append((node, ALIASES.get(part, part)))
    for name, sources in found.items():
        for lora, source in zip(models[name].attach, sources, strict=True):
            if source.prefix:
                continue
            file = open_lora(source.path, what=f"LoRA of {name}", place=lora.place)
            left = _left(file, takers[lora.source])
            if left:
                who = ", ".join(node.name for node, _ in takers[lora.source])
                message = (
                    f"LoRA of {name}: {source.path} is for {', '.join(left)} too, and only {who} takes of it"
                )
                part = f"{lora.source}#{_own(file, models[name])}"
                hint = f'attach it there too, or take a part of it: {{lora: "{part}"}}'
                problems.append(problem("E632", message, lora.place, hint))
    return problems


def fit_loras(module: nn.Module, node: ModelNode, kind: ModelType, sources: Sequence[Source]) -> Fitted:
    """Where in a module, with all its parts, the LoRAs of its node belong; no tensor of theirs is read.

    Raises:
        RunError: E604, E605, E630, a file that is no LoRA; E631, it does not fit the model; E632, several parts do.
    """
    if not sources:
        return ()
    names, state = saved_names(module), module.state_dict(keep_vars=True)
    ours = {name: tuple(state[own].shape) for name, own in names.items()}
    owners = {n: own.rpartition(".")[0] for n, own in names.items() if n.endswith(WEIGHT)}
    able = frozenset(n for n, owner in owners.items() if can_attach(module.get_submodule(owner)))
    target = Target(ours, able, kind, node)
    return tuple(_fit(target, *pair) for pair in zip(node.attach, sources, strict=True))


def add_loras(
    module: nn.Module, node: ModelNode, fits: Fitted, keep: Callable[[str], bool] = lambda name: True
) -> None:
    """Merge LoRAs into the weights of a module that is loaded, and put the live ones beside its layers.

    Args:
        keep: whether a weight, by its name in the module, is there; only what is for those is read.

    Raises:
        RunError: E630, tensors that cannot be used.
    """
    found = {weight for _, fit in fits for _, weight, _ in fit.where}
    layers = {weight: _layer(module, weight) for weight in found}
    wanted = frozenset(weight for weight, name in layers.items() if keep(f"{name}{WEIGHT}"))
    live: dict[str, list[Factors]] = {}
    for index, (lora, (file, fit)) in enumerate(zip(node.attach, fits, strict=True)):
        for added in read_lora(file, fit, wanted, what=f"LoRA of {node.name}", place=lora.place):
            name = layers[added.weight]
            piece = Factors(index, *added[1:])
            if lora.merge:
                merge(module.get_submodule(name), piece, lora.scale)
            else:
                live.setdefault(name, []).append(piece)
    for name, pieces in live.items():
        attach(module, name, pieces)
    set_scales(module, [lora.scale for lora in node.attach])


def _layer(module: nn.Module, weight: str) -> str:
    """The layer, by its name in the module, of a weight by its name in a file; quantized, it has no such weight."""
    own = weight.removesuffix(WEIGHT)
    try:
        module.get_submodule(f"{PARTS}{own}")
    except AttributeError:
        return own
    return f"{PARTS}{own}"


def check_merged(weights: Checkpoint, node: ModelNode, sources: Sequence[Source]) -> None:
    """Refuse to add a LoRA to weights that have it already.

    Raises:
        RunError: E632.
    """
    text = weights.metadata.get(MERGED)
    if text is None:
        return
    inside = set(json.loads(text))
    for lora, source in zip(node.attach, sources, strict=True):
        if digest(source) in inside:
            message = f"LoRA of {node.name}: {source.path} is merged into {weights.path} already"
            raise RunError(problem("E632", message, lora.place, "leave it out of `attach:`"))


def merged_header(node: ModelNode, sources: Sequence[Source]) -> dict[str, str]:
    """What the header of a model's weights says about LoRAs that are merged into them."""
    inside = [digest(s) for lora, s in zip(node.attach, sources, strict=True) if lora.merge]
    return {MERGED: json.dumps(inside)} if inside else {}


def differ_in_scales(a: ModelNode, b: ModelNode) -> bool:
    """Whether two nodes differ in nothing but scales of LoRAs that are live."""
    return _without_scales(a) == _without_scales(b)


def digest(source: Source) -> str:
    """Hash of a LoRA's file."""
    return open_checkpoint(source.path).digest()


def _left(file: LoraFile, takers: Sequence[tuple[ModelNode, str]]) -> list[str]:
    """Parts that nobody takes. Encoders without `#part` take a text encoder each: which, their sizes tell."""
    named = {part for _, part in takers if part}
    roles = [_role(node) for node, part in takers if not part]
    left = [part for part in file.parts if part not in named]
    texts = [part for part in left if part.startswith(TEXT)]
    gone = texts if len(texts) <= roles.count("encoder") else []
    gone = [*gone, NET] if "denoiser" in roles else gone
    return sorted(part for part in left if part not in (*gone, BARE))


def _own(file: LoraFile, node: ModelNode) -> str:
    return next(iter(_candidates(file, node)), "") or "unet"


def _candidates(file: LoraFile, node: ModelNode) -> list[str]:
    """Parts that may be this model's."""
    role = _role(node)
    own = [
        p
        for p in file.parts
        if (role == "denoiser" and p == NET) or (role == "encoder" and p.startswith(TEXT))
    ]
    return own or [p for p in file.parts if p == BARE]


def _role(node: ModelNode) -> str:
    return node.kind.partition(".")[0]


def _fit(target: Target, lora: Lora, source: Source) -> tuple[LoraFile, LoraFit]:
    """The file, and where the part of it belongs that is this model's."""
    node, what = target.node, f"LoRA of {target.node.name}"
    file = open_lora(source.path, what=what, place=lora.place)
    part = ALIASES.get(source.prefix, source.prefix)
    parts = [p for p in file.parts if p == part] if part else _candidates(file, node)
    if not parts:
        there = ", ".join(p or "a model that it does not name" for p in sorted(file.parts))
        whom = part or f"{node.name} ({node.kind})"
        message = f"{what}: {source.text} has nothing for {whom}; it is for {there}"
        raise RunError(problem("E631", message, lora.place, "attach it to the models that it is for"))
    layouts, config = target.kind.layouts, node.config
    fits = [fit_lora(file, p, target.shapes, target.able, layouts, config) for p in parts]
    good = [fit for fit in fits if not fit.problems]
    if len(good) > 1:
        message = f"{what}: {', '.join(fit.part for fit in good)} of {source.path} fit it alike"
        hint = f'say which: {{lora: "{lora.source}#{good[0].part}"}}'
        raise RunError(problem("E632", message, lora.place, hint))
    if not good:
        best = min(fits, key=lambda fit: (len(fit.unknown), fit.problems))
        name = f"{source.path}{'#' + best.part if best.part else ''}"
        message = f"{what}: {name} does not fit: {best.describe()}"
        raise RunError(problem("E631", message, lora.place, "the LoRA must be made for the same model"))
    return file, good[0]


def _without_scales(node: ModelNode) -> ModelNode:
    loras = tuple(x if x.merge else replace(x, scale=0.0) for x in node.attach)
    guests = tuple(replace(at, node=_without_scales(at.node)) for at in node.guests)
    return replace(node, attach=loras, guests=guests)
