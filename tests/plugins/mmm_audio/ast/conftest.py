"""Tiny audio spectrogram transformers that transformers makes and saves, and ours of the same weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from mmm_audio.ast.config import AstConfig
from mmm_audio.ast.foreign import LAYOUTS
from mmm_audio.ast.model import AudioSpectrogramTransformer
from mmm_graph.checkpoint.load import load_module
from mmm_graph.checkpoint.reader import open_checkpoint


@pytest.fixture
def load_ast() -> Callable[..., AudioSpectrogramTransformer]:
    """Our model of a file, read by whichever layout fits."""

    def load(
        file: Path, config: AstConfig, dtype: torch.dtype = torch.float64
    ) -> AudioSpectrogramTransformer:
        ours = AudioSpectrogramTransformer(config)
        load_module(ours, open_checkpoint(file), layouts=LAYOUTS, config=config, dtype=dtype, what="ours")
        return ours.eval()

    return load


@pytest.fixture
def saved(tmp_path: Path, scramble: Callable[[nn.Module], nn.Module]) -> Callable[..., Any]:
    """A model of transformers with seeded noise in all its weights, and the file that it saved."""

    def save(name: str, dtype: torch.dtype = torch.float64, **config: Any) -> tuple[Any, Path]:
        import transformers

        found = transformers.ASTConfig(**config, attn_implementation="sdpa")
        model = scramble(getattr(transformers, name)(found)).to(dtype)
        model.save_pretrained(tmp_path)
        return model, tmp_path / "model.safetensors"

    return save
