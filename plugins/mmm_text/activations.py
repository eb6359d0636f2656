"""Activations by transformers' names <-> ours."""

from __future__ import annotations

from typing import Any

ACTIVATIONS = {
    "quick_gelu": "quick_gelu",
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
}


def read_activation(act: Any) -> str:
    """Our name of a `hidden_act`.

    Raises:
        ValueError: it is none that we compute.
    """
    if act not in ACTIVATIONS:
        raise ValueError(f"hidden_act: {act!r} is not supported; expected one of {', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[act]
