"""`data:` of a stage or an evaluation -> open datasets with typed columns, and their stream."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmm_graph.config import Config
from mmm_graph.errors import InputError, Place, RunError, problem
from mmm_graph.graph.columns import each_columns, packed_columns
from mmm_graph.graph.compile import compile_each
from mmm_graph.graph.graph import Graph
from mmm_graph.registry import DataType, Registry, resolve
from mmm_graph.runtime import build_models
from mmm_graph.spec import DataSpec, GraphSpec
from mmm_graph.spec.ports import PortType, parse_port
from mmm_graph.spec.training import Data, GroupSpec
from mmm_graph.train.collate import given
from mmm_graph.train.configs import read_config
from mmm_graph.train.each import Each
from mmm_graph.train.loader import Loader
from mmm_graph.train.order import Grouped, Mixed, Order, Shuffled
from mmm_graph.train.pack import PACKING, Packed
from mmm_graph.train.reach import needed_models
from mmm_graph.train.samples import Beside, Careful, Concat, Dataset, seeded, size_of
from mmm_graph.train.seeds import derive_seed


@dataclass(frozen=True)
class Part:
    """One source of several: its samples, and its share of the stream."""

    dataset: Dataset
    columns: frozenset[str]
    weight: float


@dataclass(frozen=True)
class Source:
    """An open dataset, or several.

    Attributes:
        kind: of the data type, for messages.
        dataset: the samples; those of several sources laid end to end.
        columns: their types, batched.
        batch: samples a batch, from the data's own config.
        identity: what the samples are, as text: kind, config and number.
        parts: the sources by name; one alone is called "".
        beside: a sample holds one of each source.
    """

    kind: str
    dataset: Dataset
    columns: Mapping[str, PortType]
    batch: int
    identity: str
    parts: Mapping[str, Part] = field(default_factory=dict)
    beside: bool = False

    @property
    def samples(self) -> int:
        """Samples of an epoch: all of a mixture, or as many as the longest source has."""
        if self.beside:
            return max(len(part.dataset) for part in self.parts.values())
        return len(self.dataset)

    def stream(
        self, seed: int, *, group: GroupSpec | None = None, workers: int = 0, bad_limit: float = 0.0
    ) -> Loader:
        """The endless stream of samples that a stage trains on.

        Args:
            seed: of the order, and of what samples draw.
            group: batches of samples alike; the batches are those of all ranks together.
            workers: processes that read ahead.
            bad_limit: samples that may be unreadable.

        Raises:
            RunError: E820, E827.
        """
        dataset = self.dataset
        order: Order = Shuffled(len(dataset), seed)
        if self.beside:
            orders = {
                n: Shuffled(len(p.dataset), derive_seed(seed, "source", n)) for n, p in self.parts.items()
            }
            own = {n: seeded(p.dataset, derive_seed(seed, "source", n)) for n, p in self.parts.items()}
            dataset = Beside(own, orders)
            order = Shuffled(len(dataset), None)
        elif isinstance(dataset, Concat):
            names, firsts = list(self.parts), dataset.firsts()
            each = [
                (first, Shuffled(len(self.parts[n].dataset), derive_seed(seed, "source", n)))
                for first, n in zip(firsts, names, strict=True)
            ]
            order = Mixed(each, [self.parts[n].weight for n in names])
        if group is not None:
            sizes: dict[int, tuple[int, ...]] = {}

            def key(pick: Any) -> tuple[int, ...]:
                if pick.index not in sizes:
                    sizes[pick.index] = size_of(dataset, pick, group.by)
                return sizes[pick.index]

            order = Grouped(order, self.batch, group.batches, key, seed)
        return Loader(dataset, self.columns, seed=seed, order=order, workers=workers, bad_limit=bad_limit)


class Sources:
    """Opens the data of a file's sections; sections that read the same data share one dataset."""

    def __init__(self, spec: GraphSpec, registry: Registry) -> None:
        self._spec, self._registry = spec, registry
        self._open: dict[str, Dataset] = {}

    def open(self, graph: Graph, data: Data | None, where: tuple[str, ...]) -> Source:
        """Build the datasets that a section names.

        Args:
            graph: the compiled section; its inputs are the columns.
            data: what the file says there.
            where: keys that lead to `data:` in the file.

        Raises:
            InputError: E810 there are none; E210 a wrong config; E826, sources that do not fit together.
            RunError: E822, a dataset cannot be opened; E827, it cannot be packed.
        """
        place = self._spec.place(*where)
        if data is None:
            raise InputError(problem("E810", f"{'.'.join(where)}: there is no data", place))
        columns = {name: column.type for name, column in graph.inputs.items()}
        if isinstance(data, DataSpec):
            part, batch, identity = self._part(data, "", where)
            return Source(data.op, part.dataset, columns, batch, identity, {"": part})
        found = {name: self._part(one, name, (*where, name)) for name, one in data.items()}
        parts = {name: part for name, (part, _, _) in found.items()}
        batches = {name: batch for name, (_, batch, _) in found.items()}
        if len(set(batches.values())) > 1:
            said = ", ".join(f"{name} {batch}" for name, batch in batches.items())
            what = f"{'.'.join(where)}: the sources have different batches: {said}"
            hint = "a mixture has one batch, and sources side by side have one sample each of every row"
            raise InputError(problem("E826", what, place, hint))
        beside = any(column.startswith(f"{name}.") for name in data for column in columns)
        identity = "; ".join(f"{n} {data[n].weight:g} x {text}" for n, (_, _, text) in found.items())
        return Source(
            "mixture",
            Concat([p.dataset for p in parts.values()], given(columns)),
            columns,
            next(iter(batches.values())),
            f"{'beside' if beside else 'mixed'} {identity}",
            parts,
            beside,
        )

    def _part(self, data: DataSpec, name: str, where: tuple[str, ...]) -> tuple[Part, int, str]:
        """One source with its `each` and packing; its batch; and what it is, as text."""
        spec, place = self._spec, self._spec.place(*where)
        kind = self._registry.data[data.op]
        raw = _locate(data.config, spec.base)
        config: Any = read_config(spec, self._registry, kind.config, raw, (*where, "config"))
        dataset = self._build(kind, config, place)
        types = {k: parse_port(v, self._registry.known_port_kinds) for k, v in kind.columns(config).items()}
        identity = f"{kind.kind} {config.model_dump_json(exclude={'batch'})} {len(dataset)} samples"
        if data.each is not None:
            graph = compile_each(spec, self._registry, data.each, types)
            dataset = self._each(dataset, graph)
            types |= each_columns(graph)
            identity += f" each {spec.graphs[data.each].model_dump_json()}"
        dataset = Careful(dataset, name, frozenset(types))
        if data.pack is not None:
            packed = packed_columns(types)
            assert packed is not None, "the section was compiled"
            dataset = self._packed(
                f"{where} {identity}", dataset, [k for k in packed if k in types], data.pack
            )
            types = packed
            identity += f" packed {data.pack}"
        return Part(dataset, frozenset(types), data.weight), config.batch, identity

    def _each(self, dataset: Dataset, graph: Graph) -> Each:
        models = build_models(
            graph.models, self._registry, base=self._spec.base, needed=frozenset(needed_models(graph))
        )
        return Each(dataset, graph, self._registry, models)

    def _packed(self, key: str, dataset: Dataset, columns: list[str], length: int) -> Dataset:
        if key not in self._open:
            order = sorted(columns, key=lambda name: name != "ids")
            self._open[key] = Packed(dataset, [n for n in order if n not in PACKING], length)
        return self._open[key]

    def _build(self, kind: DataType, config: Config, place: Place | None) -> Dataset:
        key = f"{kind.kind} {config.model_dump_json()}"
        if key not in self._open:
            try:
                self._open[key] = resolve(kind.builder)(config)
                size = len(self._open[key])
            except (ImportError, LookupError, OSError, RuntimeError, TypeError, ValueError) as error:
                what = f"{kind.kind} cannot be opened: {type(error).__name__}: {error}"
                raise RunError(problem("E822", what, place)) from error
            if not size:
                del self._open[key]
                what = f"{kind.kind} has no samples"
                raise RunError(problem("E820", what, place, "check its path and its split"))
        return self._open[key]


def _locate(value: Any, base: Path) -> Any:
    """`file:` texts as absolute paths: like `weights:`, they are relative to the graph file."""
    if isinstance(value, Mapping):
        return {k: _locate(v, base) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_locate(v, base) for v in value]
    if isinstance(value, str) and value.startswith("file:"):
        return str((base / value.removeprefix("file:")).resolve())
    return value
