"""OUT/MODEL.lora.safetensors: the factors that a stage has trained, as PEFT and diffusers name them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mmm_graph.checkpoint.lora import NET, PEFT
from mmm_graph.checkpoint.lora_fit import WEIGHT, read_lora
from mmm_graph.checkpoint.reader import open_checkpoint
from mmm_graph.checkpoint.save import save_tensors
from mmm_graph.errors import RunError, problem
from mmm_graph.graph.graph import Lora, ModelNode
from mmm_graph.registry.node_type import ModelType
from mmm_graph.registry.source import Source
from mmm_graph.runtime import Built
from mmm_graph.runtime.attach import MERGED, fit_loras
from mmm_graph.runtime.construct import skeleton
from mmm_graph.train.cut import whole
from mmm_graph.train.grow import factors_of
from mmm_graph.train.learns import LoraPlan

SETTINGS = "lora_adapter_metadata"
"""Key of the header under which diffusers keeps PEFT's LoraConfig."""
TRANSFORMER, BARE = "transformer", ""


class Words(NamedTuple):
    """How a file names what it is for.

    Attributes:
        part: of a pipeline, before the names of tensors and settings; "": PEFT's own prefix, and none.
        modules: their name of each layer of ours.
        shapes: of their weights, where they are not ours, by name.
    """

    part: str
    modules: Mapping[str, str]
    shapes: Mapping[str, tuple[int, ...]]

    def tensor(self, layer: str, half: str) -> str:
        """Name of a half of a pair."""
        return f"{self.part + '.' if self.part else PEFT}{self.modules[layer]}.lora_{half}.weight"

    def setting(self, key: str) -> str:
        """Name of a setting."""
        return f"{self.part}.{key}" if self.part else key


def lora_path(out: Path, model: str) -> Path:
    """Where the LoRA of a model is."""
    return out / f"{model}.lora.safetensors"


def save_lora(path: Path, plan: LoraPlan, built: Built, *, dtype: torch.dtype, writes: bool = True) -> None:
    """Write the factors of a model. Of a sharded model all ranks call it.

    Args:
        writes: False = only help the rank that writes.
    """
    words = find_words(built.node, built.type, plan.layers)
    tensors: dict[str, Tensor] = {}
    for layer, factors in factors_of(built.object, plan.layers).items():
        down, up = whole(factors.down.detach()).to(dtype), whole(factors.up.detach()).to(dtype)
        is_flat = len(words.shapes.get(f"{words.modules[layer]}{WEIGHT}", down.shape)) == 2
        tensors[words.tensor(layer, "A")] = down.flatten(1) if is_flat else down
        tensors[words.tensor(layer, "B")] = up if is_flat else up[..., None, None]
    settings = {words.setting(key): value for key, value in peft_settings(plan, words).items()}
    if writes:  # one key of the header: their order is nowhere fixed, and equal LoRAs are equal files
        save_tensors(tensors, path, metadata={SETTINGS: json.dumps(settings, sort_keys=True)})


def peft_settings(plan: LoraPlan, words: Words) -> dict[str, Any]:
    """What PEFT's LoraConfig is told."""
    return {
        "peft_type": "LORA",
        "r": plan.rank,
        "lora_alpha": plan.alpha,
        "lora_dropout": 0.0,  # diffusers would drop in inference too
        "target_modules": sorted(words.modules[layer] for layer in plan.layers),
        "bias": "none",
    }


def find_words(node: ModelNode, kind: ModelType, layers: Sequence[str]) -> Words:
    """The names of the first layout in which every layer is a module of theirs, with whole weights; else our own."""
    weights = [f"{layer}{WEIGHT}" for layer in layers]
    for layout in kind.layouts:
        rows = layout.theirs(weights, node.config)
        places = [rows.get(weight) for weight in weights]
        if all(p and len(p.names) == p.count == 1 and not p.transposed for p in places):
            names = {layer: rows[f"{layer}{WEIGHT}"].names[0].removesuffix(WEIGHT) for layer in layers}
            shapes = layout.shapes(node.config) if layout.shapes is not None else {}
            return Words(_part(node, layout.classes), names, shapes)
    return Words(BARE, {layer: layer for layer in layers}, {})


def _part(node: ModelNode, classes: Sequence[str]) -> str:
    """What pipelines call a denoiser; others have PEFT's names."""
    if not node.kind.startswith("denoiser."):
        return BARE
    return NET if not classes or any("UNet" in name for name in classes) else TRANSFORMER


def check_own(node: ModelNode, base: Path, file: Path) -> None:
    """Refuse to train a LoRA into the file of one that runs beside the weights already.

    Raises:
        RunError: E854.
    """
    if is_attached(node, base, file):
        what = f"the LoRA of {node.name} would be written over {file}, which is attached to the model"
        hint = "train into another folder, or take it out of `attach:` and go on with the stage that made it"
        raise RunError(problem("E854", what, node.place, hint))


def is_attached(node: ModelNode, base: Path, file: Path) -> bool:
    """Whether a file is among the LoRAs of a model.

    Args:
        base: folder of the graph file.
    """
    texts = [lora.source.partition("#")[0].removeprefix("file:") for lora in node.attach]
    return any((base / text).resolve() == file.resolve() for text in texts)


def is_inside(lora: Path, weights: Path) -> bool:
    """Whether weights have a LoRA merged into them, which is still there if writing was interrupted."""
    if not weights.is_file():
        return False
    inside = json.loads(open_checkpoint(weights).metadata.get(MERGED, "[]"))
    return open_checkpoint(lora).digest() in inside


@torch.no_grad()
def continue_lora(built: Built, plan: LoraPlan, path: Path) -> None:
    """Give factors the numbers of a LoRA that an earlier stage has trained; layers that it lacks stay at 0.

    Raises:
        RunError: E854, it has other layers, or another rank.
    """
    node = replace(built.node, attach=(Lora(f"file:{path}"),))
    fits = fit_loras(skeleton(node, built.type), node, built.type, (Source(path, "", f"file:{path}"),))
    factors = factors_of(built.object, plan.layers)
    for file, fit in fits:
        wanted = frozenset(weight for _, weight, _ in fit.where)
        for added in read_lora(file, fit, wanted, what=f"LoRA of {node.name}", place=node.place):
            own = factors.get(added.weight.removesuffix(WEIGHT))
            if own is None or len(added.down) != len(own.down):
                found = f"a rank of {len(added.down)}" if own is not None else f"the layer {added.weight}"
                what = (
                    f"{node.name}: the LoRA that is gone on with, {path}, has {found}, and the stage has not"
                )
                raise RunError(
                    problem("E854", what, node.place, "give both stages the same rank and targets")
                )
            own.down.copy_(added.down.reshape(own.down.shape))
            own.up.copy_(added.up * (added.factor / own.factor))
