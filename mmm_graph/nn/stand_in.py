"""A layer in the place of another, which computes what that one does and something beside it that can be trained."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn


class StandIn(nn.Module):
    """Stands in the place of a layer. Tensors of the layer keep their names; all else that it is asked is asked of it.

    Args:
        base: the layer, which is no child: its tensors are in the same tables here and there.
        beside: what is trained, a child; several layers may have one and the same.
    """

    base: nn.Module
    beside: nn.Module

    def __init__(self, base: nn.Module, beside: nn.Module) -> None:
        super().__init__()
        self.__dict__["base"] = base
        self._parameters, self._buffers = base._parameters, base._buffers
        self._non_persistent_buffers_set = base._non_persistent_buffers_set
        self._modules.update(base._modules)
        self.beside = beside
        self.training = base.training

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(self.__dict__["base"], name)

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """What the layer makes of x, and what is beside it."""
        y: Tensor = self.base(x, *args, **kwargs)
        return self.beside.add(y, x)  # type: ignore[operator, no-any-return]


def names_beside(module: nn.Module) -> tuple[str, ...]:
    """What the names of tensors begin with that are not the model's own, but beside its layers."""
    return tuple(f"{name}.beside." for name, layer in module.named_modules() if isinstance(layer, StandIn))


def stand_in(module: nn.Module, name: str, new: nn.Module) -> None:
    """Put a layer in the place of the one of that name."""
    parent, _, leaf = name.rpartition(".")
    setattr(module.get_submodule(parent), leaf, new)
