"""Names in `train:` -> layers of a model: linear layers by target, tables of tokens by row."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import NamedTuple

from torch import nn

from mmm_graph.checkpoint.load import PARTS
from mmm_graph.errors import did_you_mean
from mmm_graph.nn.linear import Logits
from mmm_graph.nn.lora import can_attach
from mmm_graph.parallel.tensor import TensorSplit
from mmm_graph.train.reach import WHOLE


class Layers(NamedTuple):
    """Layers by the target that names them, as a file of the model names them."""

    by_target: Mapping[str, tuple[str, ...]]

    @property
    def names(self) -> tuple[str, ...]:
        """All, in the order of the model's own."""
        return tuple(dict.fromkeys(name for names in self.by_target.values() for name in names))


class Table(NamedTuple):
    """Rows over the same tokens: of an embedding, and of the layer that makes its logits.

    Attributes:
        layers: their names, as a file of the model has them.
        rows: which, counted from the first of these layers.
    """

    layers: tuple[str, ...]
    rows: tuple[int, ...]


def part_of(name: str, parts: Collection[str]) -> str:
    """The part that a layer stands in, by its name in a file; WHOLE where it is in none."""
    part = name.partition(".")[0]
    return part if part in parts else WHOLE


def lora_layers(module: nn.Module, targets: Sequence[str]) -> Layers | str:
    """Linear layers and convolutions that the targets name: by the end of their name, or by a pattern of all of it.

    Without targets the projections of all attention, in and out. Where there is none of that, why, in words.
    """
    able = {_saved(name): layer for name, layer in module.named_modules() if can_attach(layer)}
    ends = dict.fromkeys(name.rpartition(".")[2] for name in able)
    if not targets:
        found = tuple(name for name in _projections(module) if name in able)
        return (
            Layers({"attention": found})
            if found
            else f"it has no attention; name `targets:` of {', '.join(ends)}"
        )
    by_target = {t: tuple(name for name in able if _names(t, name)) for t in targets}
    idle = [target for target, names in by_target.items() if not names]
    if idle:
        hint = did_you_mean(idle[0], [*ends, *able]) or f"there are {', '.join(ends)}"
        return f"no linear layer or convolution of it is named {', '.join(map(repr, idle))}; {hint}"
    return Layers(by_target)


def find_tables(module: nn.Module, rows: Sequence[int]) -> list[Table] | str:
    """Where rows of the token embedding stand; where they do not, why, in words.

    The embedding is the one named `token`, or the only one; rows after its last are those of the one named `extra`
    beside it. Logits over as many tokens go with each.
    """
    named = {_saved(name): layer for name, layer in module.named_modules() if type(layer) is nn.Embedding}
    tokens = [name for name in named if name.rpartition(".")[2] == "token"] or list(named)
    if len(tokens) != 1:
        what = f"has {len(tokens)} embeddings" if tokens else "has no embedding"
        return f"it {what}, and `rows:` are of the one that is named `token`, or of the only one"
    owner = tokens[0].rpartition(".")[0]
    tables = [tokens[0], *(n for n in named if n == f"{owner}.extra")]
    logits = {_saved(name): layer for name, layer in module.named_modules() if type(layer) is Logits}
    found: list[Table] = []
    first = 0
    for name in tables:
        count = named[name].num_embeddings
        own = tuple(row - first for row in rows if first <= row < first + count)
        heads = tuple(n for n, layer in logits.items() if layer.out_features == count)
        found += [Table((name, *heads), own)] if own else []
        first += count
    beyond = [row for row in rows if row >= first]
    return f"there is no row {beyond[0]}: the embedding has {first}" if beyond else found


def _names(target: str, name: str) -> bool:
    return f".{name}".endswith(f".{target}") or fnmatchcase(name, target)


def _projections(module: nn.Module) -> list[str]:
    """Layers of attention that make queries, keys and values, and what mixes its heads."""
    found = []
    for name, owner in module.named_modules():
        split = getattr(owner, "tensor_split", None)
        if isinstance(split, TensorSplit) and split.heads is not None and split.columns:
            found += [
                _saved(f"{name}.{linear}" if name else linear) for linear in (*split.columns, *split.rows)
            ]
    return found


def _saved(name: str) -> str:
    return name.removeprefix(PARTS)
