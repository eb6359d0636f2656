"""A module's weights -> a safetensors file that is either the old one or the new one, never half of it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor, nn

from mmm_graph.checkpoint.load import saved_names
from mmm_graph.errors import RunError, problem
from mmm_graph.registry.layout import Layout, Theirs


def save_module(module: nn.Module, path: Path, *, metadata: Mapping[str, str] | None = None) -> None:
    """Save everything that `load_module` reads, under names without the leading `parts.`.

    Args:
        metadata: text that the file carries.
    """
    state = module.state_dict()
    save_tensors({name: state[own] for name, own in saved_names(module).items()}, path, metadata=metadata)


def save_foreign(module: nn.Module, path: Path, layout: Layout, config: Any) -> None:
    """Save the weights as another library names, cuts and shapes them.

    Args:
        config: of the model.

    Raises:
        RunError: E613, the layout has no row for a weight, or not all pieces of a tensor.
    """
    state = module.state_dict()
    ours = {name: state[own] for name, own in saved_names(module).items()}
    save_tensors(as_foreign(ours, layout, config), path, metadata={"format": "pt"})


def as_foreign(ours: Mapping[str, Tensor], layout: Layout, config: Any) -> dict[str, Tensor]:
    """Tensors by their names in a file of ours -> by their names in a file of theirs.

    Raises:
        RunError: E613.
    """
    rows = layout.theirs(ours, config)
    lost = sorted(ours.keys() - rows.keys())
    if lost:
        raise RunError(problem("E613", f"the layout {layout.name} has no name for {', '.join(lost[:5])}"))
    tensors = put_together(ours, rows, layout.name)
    shapes = layout.shapes(config) if layout.shapes is not None else {}
    return {n: t.reshape(shapes.get(n, t.shape)) for n, t in tensors.items()}


def put_together(ours: Mapping[str, Tensor], rows: Mapping[str, Theirs], layout: str) -> dict[str, Tensor]:
    """Tensors of theirs by name, each whole: made of the pieces of ours.

    Args:
        rows: where each of ours stands.
        layout: its name, for errors.

    Raises:
        RunError: E613, not all pieces of a tensor are there.
    """
    pieces: dict[str, dict[int, Tensor]] = {}
    places: dict[str, Theirs] = {}
    for name, place in rows.items():
        for their in place.names:
            pieces.setdefault(their, {}).update(place.parts(ours[name]))
            places[their] = place
    halves = sorted(their for their, found in pieces.items() if len(found) != places[their].count)
    if halves:
        raise RunError(problem("E613", f"the layout {layout} has only pieces of {', '.join(halves[:5])}"))
    tensors = {}
    for their, found in pieces.items():
        whole = torch.cat([found[i] for i in sorted(found)]) if len(found) > 1 else found[0]
        tensors[their] = whole.T if places[their].transposed else whole
    copied = {n for place in rows.values() if len(place.names) > 1 for n in place.names}
    return {n: t.clone() if n in copied else t for n, t in tensors.items()}


def save_tensors(
    tensors: Mapping[str, Tensor], path: Path, *, metadata: Mapping[str, str] | None = None
) -> None:
    """Save named tensors; tied ones are written once, under the first name.

    Raises:
        RunError: E741, the file cannot be written (a full disk); the one that was there is as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    seen: set[tuple[int, tuple[int, ...], tuple[int, ...]]] = set()
    kept: dict[str, Tensor] = {}
    for name, value in tensors.items():
        key = (value.data_ptr(), tuple(value.shape), tuple(value.stride()))
        if value.numel() and key in seen:
            continue
        seen.add(key)
        kept[name] = value.detach().to("cpu").contiguous()
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    temporary.touch()
    mode = temporary.stat().st_mode  # the user's own: safetensors would let nobody else read the file
    try:
        save_file(kept, temporary, metadata=dict(metadata or {}))
        temporary.chmod(mode)
        temporary.replace(path)
    except SafetensorError as error:
        hint = "free some space, or write elsewhere; a file that was there before is as it was"
        raise RunError(problem("E741", f"{path} cannot be written: {error}", hint=hint)) from error
    finally:
        temporary.unlink(missing_ok=True)
