"""A module's weights -> a safetensors file that is either the old one or the new one, never half of it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor, nn

from mmm_graph.checkpoint.load import saved_names


def save_module(module: nn.Module, path: Path, *, metadata: Mapping[str, str] | None = None) -> None:
    """Save everything that `load_module` reads, under names without the leading `parts.`.

    Args:
        metadata: text that the file carries.
    """
    state = module.state_dict()
    save_tensors({name: state[own] for name, own in saved_names(module).items()}, path, metadata=metadata)


def save_tensors(
    tensors: Mapping[str, Tensor], path: Path, *, metadata: Mapping[str, str] | None = None
) -> None:
    """Save named tensors; tied ones are written once, under the first name."""
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
    finally:
        temporary.unlink(missing_ok=True)
