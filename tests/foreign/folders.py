"""Folders that the other library would have saved."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

PLUGIN = Path(__file__).parent / "toy_plugin.py"


def write_json(path: Path, data: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data))


def checkpoint(folder: Path, *, config: dict[str, Any] | None = None, steps: int = 4, **more: Any) -> Path:
    """A pipeline with a model of width 3 and a scheduler."""
    index = {"_class_name": "TheirPipeline", "net": ["theirs", "TheirToy"], "nothing": [None, None]}
    write_json(folder / "model_index.json", {**index, "scheduler": ["theirs", "TheirScheduler"], **more})
    write_json(
        folder / "net" / "config.json", {"_class_name": "TheirToy", "hidden_size": 3, **(config or {})}
    )
    write_json(folder / "scheduler" / "scheduler_config.json", {"steps": steps})
    save_file(tensors(), folder / "net" / "diffusion_pytorch_model.safetensors")
    return folder


def single_file(path: Path, **more: torch.Tensor) -> Path:
    """The model below `net`, and what else the file holds."""
    save_file({**{f"net.{name}": value for name, value in tensors().items()}, **more}, path)
    return path


def tensors() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "dense.weight": torch.randn(3, 3, generator=generator),
        "dense.bias": torch.randn(3, generator=generator),
    }
