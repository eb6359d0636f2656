"""Outputs of a run to files, each with its origin, and to what is printed."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from mmm_graph.api.origin import KEY, Origin
from mmm_graph.errors import InputError, MmmError, Place, RunError, problem
from mmm_graph.graph.graph import Graph, Output
from mmm_graph.registry import Registry, resolve
from mmm_graph.runtime.events import Result

SMALL = 64
"""Values that a printed tensor has at most."""


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
    graph: Graph, registry: Registry, result: Result, folder: Path, *, origin: Origin | None, prefix: str = ""
) -> list[Saved]:
    """Save what has `save:`; rows of a routed output are saved under the batch element that owns them.

    Args:
        folder: made if needed; files are written beside their place and renamed.
        origin: what each file carries; None = nothing.
        prefix: put before file names, such as "request-".

    Returns:
        In the order of the result.

    Raises:
        RunError: E740, a file cannot be written, or its saver failed.
    """
    metadata = {KEY: origin.text()} if origin is not None else {}
    done = [Saved(name, absent=reason) for name, reason in result.absent.items()]
    for name, value in result.values.items():
        output = graph.outputs.get(name)
        if output is None or output.save is None:
            done.append(Saved(name, value=printable(value)))
            continue
        path = folder / f"{prefix}{name}"
        try:
            files = _save(registry, output, value, path, metadata, result.owners.get(name))
        except MmmError:
            raise
        except Exception as error:  # whatever a plugin's saver raises
            cause = str(error) if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
            message = f"output {name} cannot be saved as {output.save['format']} in {folder}: {cause}"
            raise RunError(problem("E740", message)) from error
        done.append(Saved(name, tuple(files)))
    return done


def check_folder(folder: Path) -> None:
    """See, before anything runs, that files can be written to a folder or that it can be made.

    Raises:
        InputError: E101.
    """
    there = next(p for p in (folder, *folder.absolute().parents) if p.exists())
    if not there.is_dir():
        raise InputError(
            problem("E101", f"{there} is a file; expected a folder for the outputs", Place(str(folder)))
        )
    if not os.access(there, os.W_OK | os.X_OK):
        raise InputError(
            problem("E101", f"outputs cannot be written: no permission for {there}", Place(str(folder)))
        )


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
    write, options = resolve(saver.function), save_options(output)
    if owners is None:
        return list(write(value, path, options, metadata))
    files: list[Path] = []
    for row, owner in enumerate(owners):
        earlier = owners[:row].count(owner)
        name = f"{path.name}-{owner}" + (f"-{earlier}" if earlier else "")
        files += write(value[row : row + 1], path.with_name(name), options, metadata)
    return files


def save_options(output: Output) -> dict[str, Any]:
    """What stands under `save:`, and the rate that the type of a sound says."""
    tag, said = output.type.tag or "", dict(output.save or {})
    return {"rate": int(tag), **said} if output.type.kind == "Audio" and tag.isdecimal() else said


def printable(value: Any) -> Any:
    """A value as JSON can hold it: texts and numbers as they are, large tensors as their kind and shape."""
    if isinstance(value, Tensor):
        small = value.numel() <= SMALL and not value.is_complex()
        return printable(value.detach().cpu().tolist()) if small else f"{value.dtype} {list(value.shape)}"
    if isinstance(value, Mapping):
        return {str(k): printable(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [printable(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)  # JSON has no nan
    return value if isinstance(value, str | int | float | bool | None) else repr(value)
