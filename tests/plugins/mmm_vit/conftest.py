"""Tiny vision towers that transformers makes and saves, and ours of the same weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from mmm_graph.checkpoint.load import load_module
from mmm_graph.checkpoint.reader import open_checkpoint
from mmm_vit.config import ViTConfig
from mmm_vit.foreign import LAYOUTS
from mmm_vit.model import ViT


@pytest.fixture
def load_vit() -> Callable[..., ViT]:
    """Our model in float64 of a file, read by whichever layout fits."""

    def load(file: Path, config: ViTConfig, prefix: str = "") -> ViT:
        ours = ViT(config)
        checkpoint = open_checkpoint(file)
        load_module(
            ours, checkpoint, prefix=prefix, layouts=LAYOUTS, config=config, dtype=torch.float64, what="ours"
        )
        return ours.eval()

    return load


@pytest.fixture
def saved(tmp_path: Path, scramble: Callable[[nn.Module], nn.Module]) -> Callable[[Any], Any]:
    """A model of transformers with seeded noise in all its weights, in float64, and the file that it saved."""

    def save(model: Any) -> tuple[Any, Path]:
        scramble(model)
        model.save_pretrained(tmp_path)
        return model, tmp_path / "model.safetensors"

    return save
