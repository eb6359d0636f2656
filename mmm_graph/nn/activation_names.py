"""Names of activations in config.json of transformers -> those of nn.mlp; torch-free."""

from __future__ import annotations

ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_new": "gelu_tanh",
    "quick_gelu": "quick_gelu",
    "silu": "silu",
    "relu": "relu",
}
"""Theirs -> ours; of several names of theirs the first one is written. Kinds that know others have their own tables."""
