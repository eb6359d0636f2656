"""Tiny models that transformers makes and saves, and ours of the same weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from mmm_graph.checkpoint.load import load_module
from mmm_graph.checkpoint.reader import open_checkpoint


@pytest.fixture
def saved(tmp_path: Path, scramble: Callable[[nn.Module], nn.Module]) -> Callable[..., Any]:
    """A model of transformers with seeded noise in all its weights, and the file that it saved."""

    def save(model: Any) -> tuple[Any, Path]:
        model = scramble(model)
        model.save_pretrained(tmp_path)
        return model.double(), tmp_path / "model.safetensors"

    return save


@pytest.fixture
def load() -> Callable[..., Any]:
    """Our model with the weights of a file, in float64."""

    def read(module: nn.Module, file: Path, layouts: Any, config: Any) -> nn.Module:
        load_module(module, open_checkpoint(file), layouts=layouts, config=config, dtype=torch.float64)
        return module.eval()

    return read
