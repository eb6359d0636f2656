"""Activations of adaptors, by our names and by those of transformers; torch-free."""

from __future__ import annotations

from typing import Any, Literal

Activation = Literal["gelu", "gelu_tanh", "quick_gelu", "silu", "relu"]

ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "quick_gelu": "quick_gelu",
    "silu": "silu",
    "swish": "silu",
    "relu": "relu",
}
"""Theirs -> ours."""


def read_activation(field: str, act: Any) -> str:
    """Our name of what their config says under `field`.

    Raises:
        ValueError: it is none that we compute.
    """
    if act not in ACTIVATIONS:
        raise ValueError(f"{field}: {act!r} is not supported; expected one of {', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[act]
