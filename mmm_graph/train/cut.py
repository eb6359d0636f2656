"""Tensors that are cut among ranks (DTensor), told from others without the second that importing DTensor takes."""

from __future__ import annotations

from typing import Any, cast

from torch import Tensor


def is_cut(tensor: Tensor) -> bool:
    """Whether a rank has a piece of it only."""
    return hasattr(tensor, "full_tensor")


def whole(tensor: Tensor) -> Tensor:
    """With all its pieces, which all ranks have to ask for."""
    found: Tensor = cast(Any, tensor).full_tensor() if is_cut(tensor) else tensor
    return found
