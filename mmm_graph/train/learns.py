"""`train:` of a stage -> what learns in each model: parts, factors beside layers, rows of an embedding."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import NamedTuple

from torch import nn

from mmm_graph.checkpoint.load import saved_names
from mmm_graph.errors import InputError, Place, Problem, did_you_mean, problem
from mmm_graph.graph.attached import type_of
from mmm_graph.graph.graph import Graph, ModelNode
from mmm_graph.registry import Registry
from mmm_graph.runtime.construct import skeleton
from mmm_graph.spec import GraphSpec
from mmm_graph.spec.training import Entries, LoraSpec
from mmm_graph.train.layers import Table, find_tables, lora_layers, part_of
from mmm_graph.train.reach import WHOLE, part_names, reached_parts
from mmm_graph.train.tokens import row_numbers


@dataclass(frozen=True)
class LoraPlan:
    """LoRA of a model: names of the layers, as a file of the model has them, and the numbers of `LoraFactors`."""

    layers: tuple[str, ...]
    rank: int
    alpha: float
    dropout: float


@dataclass(frozen=True)
class Learns:
    """What learns in a model.

    Attributes:
        parts: names; None = all of it, () = no part as a whole.
        lora: beside layers of other parts.
        tables: rows of an embedding and of the logits.
    """

    parts: tuple[str, ...] | None
    lora: LoraPlan | None = None
    tables: tuple[Table, ...] = ()

    @property
    def is_whole(self) -> bool:
        """Whether weights of the model itself learn, which then are float32."""
        return self.parts is None or bool(self.parts)

    @property
    def whats(self) -> tuple[str, ...]:
        """What may have settings of its own: `lora`, `rows`, parts by name."""
        beside = [name for name, there in (("lora", self.lora), ("rows", self.tables)) if there]
        return (*(self.parts or ()), *beside)

    def __str__(self) -> str:
        said = ["all"] if self.parts is None else [*self.parts]
        said += [f"{self.lora}"] if self.lora is not None else []
        return ", ".join([*said, *(f"rows {t.rows} of {t.layers}" for t in self.tables)])


class Where(NamedTuple):
    """What the entries of one model are read against."""

    spec: GraphSpec
    registry: Registry
    graph: Graph
    model: str
    stage: str
    reached: frozenset[str]
    place: Place | None

    @property
    def node(self) -> ModelNode:
        """The model."""
        return self.graph.models[self.model]

    def wrong(self, code: str, message: str, hint: str = "") -> Problem:
        """A problem of these entries."""
        return problem(code, f"stage {self.stage}: {message}", self.place, hint)


def find_learns(
    spec: GraphSpec,
    registry: Registry,
    graph: Graph,
    train: Mapping[str, Entries],
    where: tuple[str, ...],
    stage: str,
) -> dict[str, Learns]:
    """What learns in each model of `train`; every part of it must lie on the way to a loss.

    Args:
        where: keys of `train:` in the file.

    Raises:
        InputError: E811, no such part; E812, no loss reaches it; E813, a model without weights; E814; E819, no such
            layer, row or token; E853, entries that do not go together. All of them.
    """
    reached = reached_parts(graph, registry)
    found: dict[str, Learns] = {}
    problems: list[Problem] = []
    for model, entries in train.items():
        place = spec.place(*where, model)
        there = Where(spec, registry, graph, model, stage, frozenset(reached.get(model, ())), place)
        try:
            found[model] = _learns(there, entries)
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(problems)
    return found


def _learns(where: Where, entries: Entries) -> Learns:
    node = where.node
    if not where.registry.models[node.kind].weights:
        what = f"{where.model} ({node.kind}) has no weights to train"
        raise InputError(problem("E813", what, where.place))
    problems = list(_mixed(where, entries))
    if problems:
        raise InputError(problems)
    parts = _parts(where, entries)
    loras, rows = [e.lora for e in entries if e.lora], [r for e in entries for r in e.rows or ()]
    if not loras and not rows:
        return Learns(parts)
    module = skeleton(node, type_of(node, where.registry))
    lora = _lora(where, module, loras[0], parts or ()) if loras else None
    return Learns(parts, lora, _tables(where, module, rows, parts or ()) if rows else ())


def _mixed(where: Where, entries: Entries) -> Iterator[Problem]:
    """Entries that do not go together, with each other or with how the model's weights are kept."""
    name, said = where.model, where.spec.models[where.model]
    if any(e.full for e in entries) and len(entries) > 1:
        hint = "leave out the others: they are in it"
        yield where.wrong("E853", f"{name} is trained as a whole, and by something else too", hint)
    if sum(e.lora is not None for e in entries) > 1:
        hint = "write one `lora:` with all targets"
        yield where.wrong("E853", f"{name} is trained by several LoRAs", hint)
    if all(e.lora is not None for e in entries):
        return
    if said.quantize:
        hint = "train it by `lora` alone, or leave out `quantize:`"
        yield where.wrong("E814", f"the weights of {name} are quantized, and cannot be trained", hint)
    if any(item.lora and not item.merge for item in said.attach):
        hint = "write `merge: true` to train the weights with it, or train the model by `lora` alone"
        yield where.wrong("E814", f"{name} has a LoRA that runs beside the weights to be trained", hint)


def _parts(where: Where, entries: Entries) -> tuple[str, ...] | None:
    """Parts that learn as a whole; None = all of them."""
    model, place = where.model, where.place
    parts = part_names(where.graph, where.registry, model)
    patterns = ["*"] if any(e.full for e in entries) else [p for e in entries for p in e.parts or ()]
    idle = [p for p in patterns if not any(fnmatchcase(part, p) for part in parts)]
    found = [problem("E811", f"{model} has no part {p!r}", place, did_you_mean(p, parts)) for p in idle]
    chosen = tuple(part for part in parts if any(fnmatchcase(part, p) for p in patterns))
    bare = bare_parts(where)
    if chosen and bare.issuperset(chosen) and not _has_weights(where, chosen):
        what = f"{model} has no weights to train in {', '.join(chosen)}"
        found.append(problem("E813", what, place, "name other parts, or leave the model out of `train:`"))
    lost = [part for part in chosen if part not in where.reached and part not in bare]
    if lost or not where.reached:
        which = model if len(lost) == len(parts) or not lost else f"{model} parts {', '.join(lost)}"
        hint = "link it to a loss, or leave it out of `train:`"
        found.append(where.wrong("E812", f"no loss reaches {which}", hint))
    if found:
        raise InputError(found)
    return None if patterns == ["*"] or (chosen and parts == (WHOLE,)) else chosen


def bare_parts(where: Where) -> frozenset[str]:
    """Parts that declare no weights, such as one that only selects tokens: there is nothing in them to reach."""
    kind = type_of(where.node, where.registry) if where.node.host else where.registry.models[where.node.kind]
    rows = () if kind.parts is None else kind.parts(where.node.config)
    return frozenset(part.name for part in rows if not part.params)


def _has_weights(where: Where, chosen: tuple[str, ...]) -> bool:
    """Whether there are any all the same: a plugin need not declare how many."""
    module = skeleton(where.node, type_of(where.node, where.registry))
    names = part_names(where.graph, where.registry, where.model)
    return any(part_of(name, names) in chosen for name in saved_names(module))


def _lora(where: Where, module: nn.Module, said: LoraSpec, trained: tuple[str, ...]) -> LoraPlan:
    """The layers that get factors: those that the targets name, in parts that a loss reaches and that are frozen."""
    layers = lora_layers(module, said.targets)
    if isinstance(layers, str):
        raise InputError(where.wrong("E819", f"{where.model}: {layers}"))
    free = [name for name in layers.names if _is_free(where, name, trained)]
    for target, names in layers.by_target.items():
        if not any(name in free for name in names):
            what = f"lora target {target!r} of {where.model} names only layers that no loss reaches"
            hint = "or that are trained as a whole: leave the target out, or the part"
            raise InputError(where.wrong("E812", what, hint))
    return LoraPlan(tuple(free), said.rank, float(said.alpha or said.rank), said.dropout)


def _is_free(where: Where, name: str, trained: tuple[str, ...]) -> bool:
    part = part_of(name, part_names(where.graph, where.registry, where.model))
    return part not in trained and (part == WHOLE or part in where.reached)


def _tables(
    where: Where, module: nn.Module, rows: list[int | str], trained: tuple[str, ...]
) -> tuple[Table, ...]:
    """Rows of the embedding, and of the logits where a loss reaches them."""
    numbers = row_numbers(rows, where.graph, where.registry, where.spec.base)
    if isinstance(numbers, str):
        raise InputError(where.wrong("E819", f"{where.model}: {numbers}"))
    tables = find_tables(module, numbers)
    if isinstance(tables, str):
        raise InputError(where.wrong("E819", f"{where.model}: {tables}"))
    inside = [name for table in tables for name in table.layers if part_of(name, trained) in trained]
    if inside:
        what = f"rows of {inside[0]} in {where.model}, whose part is trained as a whole"
        raise InputError(where.wrong("E853", what, "leave out one of them"))
    kept = [
        Table(tuple(name for name in table.layers if _is_free(where, name, ())), table.rows)
        for table in tables
    ]
    if not all(table.layers for table in kept):
        what = f"no loss reaches the embedding of {where.model}, of which rows are to be trained"
        raise InputError(where.wrong("E812", what, "call its `embed` in the stage, or leave out `rows:`"))
    return tuple(kept)
