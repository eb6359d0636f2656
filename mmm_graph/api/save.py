"""Outputs of a run to files, each with its origin, and to what is printed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from mmm_graph.api.origin import KEY, Origin
from mmm_graph.graph.graph import Graph, Output
from mmm_graph.registry import Registry, resolve
from mmm_graph.runtime.events import Result


@dataclass(frozen=True)
class Saved:
    """What became of one output: files, or a value to print, or the reason why it was not produced."""

    name: str
    files: tuple[Path, ...] = ()
    value: Any = None
    absent: str = ""

    def record(self) -> Any:
        """For JSON: one path, paths, or the value."""
        if self.absent:
            return None
        if self.files:
            return str(self.files[0]) if len(self.files) == 1 else [str(f) for f in self.files]
        return self.value


def save_outputs(
    graph: Graph, registry: Registry, result: Result, folder: Path, *, origin: Origin, prefix: str = ""
) -> list[Saved]:
    """Save what has `save:`; rows of a routed output are saved under the batch element that owns them.

    Args:
        folder: made if needed; files are written beside their place and renamed.
        prefix: put before file names, such as "request-".
    """
    done = [Saved(name, absent=reason) for name, reason in result.absent.items()]
    for name, value in result.values.items():
        output = graph.outputs.get(name)
        if output is None or output.save is None:
            done.append(Saved(name, value=printable(value)))
            continue
        owners = result.owners.get(name)
        path = folder / f"{prefix}{name}"
        files = _save(registry, output, value, path, {KEY: origin.text()}, owners)
        done.append(Saved(name, tuple(files)))
    return done


def _save(
    registry: Registry,
    output: Output,
    value: Any,
    path: Path,
    metadata: Mapping[str, str],
    owners: tuple[int, ...] | None,
) -> list[Path]:
    assert output.save is not None
    saver = registry.savers[(output.type.kind, output.save["format"])]
    write = resolve(saver.function)
    if owners is None:
        return list(write(value, path, output.save, metadata))
    files: list[Path] = []
    for row, owner in enumerate(owners):
        earlier = owners[:row].count(owner)
        name = f"{path.name}-{owner}" + (f"-{earlier}" if earlier else "")
        files += write(value[row : row + 1], path.with_name(name), output.save, metadata)
    return files


def printable(value: Any) -> Any:
    """A value as JSON can hold it: texts and numbers as they are, large tensors as their kind and shape."""
    if isinstance(value, Tensor):
        small = value.numel() <= 64
        return value.detach().cpu().tolist() if small else f"{value.dtype} {tuple(value.shape)}"
    if isinstance(value, Mapping):
        return {str(k): printable(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [printable(v) for v in value]
    return value if isinstance(value, str | int | float | bool | None) else repr(value)
