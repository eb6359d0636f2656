"""`cache:` of a stage: what frozen models make of a sample is computed once, kept by its content, and then supplied."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path

from torch import Tensor

from mmm_graph.errors import Problem, RunError, problem, warning
from mmm_graph.graph.graph import Graph, Ref
from mmm_graph.runtime import Engine, Request
from mmm_graph.train.cache_key import columns_behind, sample_digests, value_keys
from mmm_graph.train.cache_store import DiskStore, MemoryStore, Store
from mmm_graph.train.frozen import find_frozen, owners_column
from mmm_graph.train.loader import Batch, Loader
from mmm_graph.train.precision import autocast
from mmm_graph.train.stage import Stage


@dataclass(frozen=True)
class CacheTools:
    """What a cache works with.

    Attributes:
        precision: in which the stage computes.
        note: told what is worth a warning.
        max_bytes: of all rows.
        whole: compute chunks of the dataset's order, so that a row does not depend on who asked for it first. Worth it
            where every sample comes up more than once; else the batch itself is computed.
        chunk: samples of one.
    """

    engine: Engine
    loader: Loader
    precision: str
    note: Callable[[Problem], None]
    max_bytes: int
    whole: bool = True
    chunk: int = 64


class FrozenCache:
    """Rows of frozen values by the content of the sample.

    A value may have rows of some samples only: of those that have the columns behind it.

    Args:
        values: that are kept, with the store of each.
    """

    def __init__(self, graph: Graph, values: Mapping[Ref, Store], tools: CacheTools) -> None:
        self._graph, self._tools = graph, tools
        self._stores = {str(ref): store for ref, store in values.items()}
        self._columns = {str(ref): columns_behind(graph, ref) for ref in values}
        types = {Ref(node.path, port): t for node in graph.walk() for port, t in node.outputs.items()}
        self._numel = {str(ref): prod(dim.size or 1 for dim in (types[ref].dims or ())[1:]) for ref in values}
        self._owners = {str(ref): owners_column(graph, ref) for ref in values}
        self._limit: int | None = None

    def supply(self, batch: Batch) -> dict[str, Tensor]:
        """The values of a batch, by name, for `Engine.run(supply=...)`; those that no sample has are left out."""
        digests = self._digests(batch)
        missing = self._missing(batch, digests)
        kept = [i for i in missing if self._limit is None or batch.indices[i] < self._limit]
        if kept and self._tools.whole:
            for chunk in sorted({batch.indices[i] // self._tools.chunk for i in kept}):
                self._fill(chunk)
            missing = self._missing(batch, digests)
        if missing:
            return self._compute(batch, digests, keep=not self._tools.whole and len(kept) == len(missing))
        return {name: self._stores[name].take(found) for name, found in digests.items() if found}

    def flush(self) -> None:
        """Write what waits to be written."""
        for store in self._stores.values():
            store.flush()

    def _digests(self, batch: Batch) -> dict[str, list[bytes]]:
        """Of each row of each value."""
        sets = {name: (columns, len(self._rows(batch, name))) for name, columns in self._columns.items()}
        found = {of: sample_digests(batch, *of) for of in set(sets.values())}
        return {name: found[of] for name, of in sets.items()}

    def _rows(self, batch: Batch, name: str) -> Sequence[int]:
        """Whose the rows of a value are: places in the batch."""
        if not self._owners[name]:
            return range(len(batch.indices))
        rows = batch.values[self._owners[name]]
        return [] if rows is None else list(map(int, rows))

    def _missing(self, batch: Batch, digests: Mapping[str, Sequence[bytes]]) -> list[int]:
        """Places of the samples of which something is not kept."""
        lost: set[int] = set()
        for name, store in self._stores.items():
            rows = zip(self._rows(batch, name), digests[name], strict=True)
            lost |= {row for row, digest in rows if digest not in store}
        return sorted(lost)

    def _fill(self, number: int) -> None:
        start = number * self._tools.chunk
        batch = self._tools.loader.gather(
            range(start, min(start + self._tools.chunk, len(self._tools.loader)))
        )
        digests = self._digests(batch)
        if self._missing(batch, digests):
            self._compute(batch, digests, keep=True)

    def _compute(self, batch: Batch, digests: Mapping[str, list[bytes]], *, keep: bool) -> dict[str, Tensor]:
        inputs = {name: value for name, value in batch.values.items() if value is not None}
        request = Request(f"cache:{batch.indices[0]}", inputs, (0,) * len(batch.indices), batch.indices)
        names = [name for name, found in digests.items() if found]
        with autocast(self._tools.precision, self._tools.engine.device):
            result = self._tools.engine.run(self._graph, [request], outputs=names)[request.id]
        rows = {name: result.values[name].detach().cpu() for name in names}
        for name, found in rows.items():
            if len(found) != len(digests[name]):
                what = (
                    f"{name} has {len(found)} rows for {len(digests[name])} samples, so it cannot be cached"
                )
                raise RunError(problem("E817", what, hint="leave out `cache:`"))
        if keep and self._fits(batch, rows):
            for name in names:
                store = self._stores[name]
                new = [i for i, digest in enumerate(digests[name]) if digest not in store]
                store.add([digests[name][i] for i in new], rows[name][new])
        return rows

    def _fits(self, batch: Batch, rows: Mapping[str, Tensor]) -> bool:
        """Samples up to a number are kept, so that what is kept does not depend on the order in which they come."""
        widest = max(found.element_size() for found in rows.values())
        sizes = {name: found[0].numel() * found.element_size() for name, found in rows.items()}
        each = sum(sizes.get(name, widest * self._numel[name]) for name in self._stores)
        if self._limit is None:
            self._limit = self._tools.max_bytes // each
            if self._limit < len(self._tools.loader):
                self._tools.note(_full(self._limit, len(self._tools.loader), each, self._tools.max_bytes))
        return max(batch.indices) < self._limit


def open_cache(
    stage: Stage,
    engine: Engine,
    loader: Loader,
    folder: Path,
    note: Callable[[Problem], None],
) -> FrozenCache | None:
    """The cache that a stage asks for, if it does; says which values are left out.

    Args:
        folder: of the rows that are kept on disk; each value has a folder of its own in it.
    """
    if stage.cache is None:
        return None
    graph, registry = stage.graph, engine.registry
    left_out = find_frozen(graph, registry, stage.trained).left_out
    if left_out:
        why = "; ".join(f"{ref}: {reason}" for ref, reason in left_out.items())
        note(warning("W843", f"stage {stage.name} computes some frozen values each time: {why}", stage.place))
    stores: dict[Ref, Store] = {ref: MemoryStore() for ref in stage.cached}
    if stage.cache.where == "disk":
        keys = value_keys(graph, stage.cached, registry, engine.models, stage.precision)
        stores = {ref: DiskStore(folder / keys[str(ref)]) for ref in stage.cached}
    whole = stage.steps * stage.accumulate * stage.batch > len(loader)
    tools = CacheTools(engine, loader, stage.precision, note, stage.cache.max_bytes, whole=whole)
    return FrozenCache(graph, stores, tools)


def _full(limit: int, samples: int, each: int, max_bytes: int) -> Problem:
    need = samples * each / 1e9
    what = f"the cache has room for {limit} of {samples} samples ({each} bytes each, {max_bytes / 1e9:g} GB in all)"
    hint = f"`cache: {{max_gb: {need:.3g}}}` holds all of them; those that do not fit are computed each time"
    return warning("W842", what, hint=hint)
