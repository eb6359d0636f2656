"""`data:` of a stage or an evaluation -> an open dataset with typed columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmm_graph.config import Config
from mmm_graph.errors import InputError, Place, RunError, problem
from mmm_graph.graph.graph import Graph
from mmm_graph.registry import DataType, Registry, resolve
from mmm_graph.spec import DataSpec, GraphSpec
from mmm_graph.spec.ports import PortType
from mmm_graph.spec.training import Data
from mmm_graph.train.configs import read_config
from mmm_graph.train.loader import Dataset


@dataclass(frozen=True)
class Source:
    """An open dataset.

    Attributes:
        kind: of the data type, for messages.
        dataset: the samples.
        columns: their types, batched.
        batch: samples a batch, from the data's own config.
        identity: what the samples are, as text: kind, config and number.
    """

    kind: str
    dataset: Dataset
    columns: Mapping[str, PortType]
    batch: int
    identity: str


class Sources:
    """Opens the data of a file's sections; sections that read the same data share one dataset."""

    def __init__(self, spec: GraphSpec, registry: Registry) -> None:
        self._spec, self._registry = spec, registry
        self._open: dict[str, Dataset] = {}

    def open(self, graph: Graph, data: Data | None, where: tuple[str, ...]) -> Source:
        """Build the dataset that a section names.

        Args:
            graph: the compiled section; its inputs are the columns.
            data: what the file says there.
            where: keys that lead to `data:` in the file.

        Raises:
            InputError: E814 no source, several, or `each:`; E210 a wrong config.
            RunError: E822, the dataset cannot be opened.
        """
        spec, place = self._spec, self._spec.place(*where)
        if not isinstance(data, DataSpec):
            found = "no data" if data is None else f"several sources ({', '.join(data)})"
            what = f"{'.'.join(where)}: found {found}; this version reads one source"
            raise InputError(problem("E814", what, place, "write one `data: {op: ..., config: ...}`"))
        if data.each is not None:
            what = f"{'.'.join(where)}: `each:` (a graph per sample, in workers) comes in a later version"
            raise InputError(
                problem("E814", what, spec.place(*where, "each"), "call the graph under `nodes:`")
            )
        kind = self._registry.data[data.op]
        raw = _locate(data.config, spec.base)
        config: Any = read_config(spec, self._registry, kind.config, raw, (*where, "config"))
        dataset = self._build(kind, config, place)
        columns = {name: column.type for name, column in graph.inputs.items()}
        identity = f"{kind.kind} {config.model_dump_json(exclude={'batch'})} {len(dataset)} samples"
        return Source(kind.kind, dataset, columns, config.batch, identity)

    def _build(self, kind: DataType, config: Config, place: Place | None) -> Dataset:
        key = f"{kind.kind} {config.model_dump_json()}"
        if key not in self._open:
            try:
                self._open[key] = resolve(kind.builder)(config)
                len(self._open[key])
            except (ImportError, LookupError, OSError, RuntimeError, TypeError, ValueError) as error:
                what = f"{kind.kind} cannot be opened: {type(error).__name__}: {error}"
                raise RunError(problem("E822", what, place)) from error
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
