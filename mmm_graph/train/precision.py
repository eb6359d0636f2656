"""In which precision a stage computes."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch


def autocast(precision: str, device: torch.device) -> AbstractContextManager[Any]:
    """The context of forward passes: nothing for f32, autocast for bf16. Weights stay as they are."""
    return nullcontext() if precision == "f32" else torch.autocast(device.type, torch.bfloat16)
