"""Models that stand together in one checkpoint of another library -> that checkpoint, written anew."""

from __future__ import annotations

import math
import shutil
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from mmm_graph.checkpoint.load import Weights, saved_names
from mmm_graph.checkpoint.reader import open_checkpoint
from mmm_graph.checkpoint.save import put_together, save_tensors
from mmm_graph.errors import InputError, RunError, problem
from mmm_graph.graph.graph import ModelNode
from mmm_graph.registry import Registry
from mmm_graph.registry.foreign import open_foreign
from mmm_graph.registry.source import resolve_source

FILE, INDEX = "model.safetensors", ".index.json"
BESIDE = (".json", ".txt", ".model", ".jinja", ".gz")
"""How files end that come along: configs, tokenizers, chat templates."""


@dataclass(frozen=True)
class Shared:
    """One checkpoint.

    Attributes:
        path: its folder or file.
        members: models that are read from it; below which prefix of its names.
    """

    path: Path
    members: Mapping[str, str]

    @property
    def folder(self) -> Path:
        """The folder of the whole model."""
        return self.path if self.path.is_dir() else self.path.parent


def find_shared(nodes: Mapping[str, ModelNode], registry: Registry, base: Path) -> dict[str, Shared]:
    """Models that are read from the folder of a whole model which an importer knows, several from one; by name.

    Args:
        base: folder of the graph file.
    """
    parts = {
        n: (node.weights or "").partition("#")
        for n, node in nodes.items()
        if registry.models[node.kind].weights
    }
    counts = Counter(link for link, _, _ in parts.values() if link)
    found: dict[str, Shared] = {}
    for link in (link for link, count in counts.items() if count > 1):
        members = {n: prefix for n, (own, _, prefix) in parts.items() if own == link}
        path = resolve_source(link, base=base, what=f"weights of {next(iter(members))}").path
        shared = Shared(path, members)
        if _is_whole(shared.folder, link, registry):
            found |= dict.fromkeys(members, shared)
    return found


def write_shared(
    shared: Shared,
    modules: Mapping[str, nn.Module],
    nodes: Mapping[str, ModelNode],
    registry: Registry,
    folder: Path,
) -> None:
    """The checkpoint with the weights of these models; what is none of theirs comes along as it is.

    Raises:
        RunError: E610, a model that is not like the one in the checkpoint.
    """
    checkpoint = open_checkpoint(shared.path)
    tensors: dict[str, Tensor] = {}
    for name, prefix in shared.members.items():
        if name not in modules:
            continue
        kind, node, module = registry.models[nodes[name].kind], nodes[name], modules[name]
        weights = Weights(
            module,
            checkpoint,
            prefix=prefix,
            layouts=kind.layouts,
            config=node.config,
            what=f"weights of {name}",
        )
        state = module.state_dict()
        ours = {n: state[own] for n, own in saved_names(module).items() if n in weights.where}
        start = f"{prefix}." if prefix else ""
        theirs = put_together(ours, weights.where, f"of {shared.path}")
        _check_sizes(theirs, start, checkpoint.shapes, name)
        tensors |= {start + n: value.reshape(checkpoint.shapes[start + n]) for n, value in theirs.items()}
    tensors |= dict(checkpoint.read([n for n in checkpoint.shapes if n not in tensors]))
    file = checkpoint.path.name if checkpoint.path.suffix == ".safetensors" else FILE
    save_tensors(tensors, folder / file, metadata={"format": "pt"})
    for path in sorted(shared.folder.iterdir()):
        if path.suffix in BESIDE and path.is_file() and not path.name.endswith(INDEX):
            shutil.copy(path, folder / path.name)


def _check_sizes(
    theirs: Mapping[str, Tensor], start: str, there: Mapping[str, tuple[int, ...]], name: str
) -> None:
    """The checkpoint says nothing of tokens that a model has got more than it has.

    Raises:
        RunError: E610.
    """
    for key, value in theirs.items():
        if value.numel() != math.prod(there[start + key]):
            found = f"{start}{key} is {list(there[start + key])} in the checkpoint, and {list(value.shape)} in {name}"
            hint = f"export {name} by itself, from a graph that has only that"
            raise RunError(problem("E610", f"{found}, whose vocabulary has grown", hint=hint))


def _is_whole(folder: Path, link: str, registry: Registry) -> bool:
    try:
        return open_foreign(folder, link, registry).class_name in registry.importers
    except InputError:  # not a model's folder: a file that holds all models of a pipeline
        return False
