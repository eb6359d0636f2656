"""Several copies of the parts of a model, each with weights of its own, as one model."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn


class Copies(nn.Module):
    """The parts of `num` models as one table of parts.

    Args:
        make: builds one of them.
        num: how many.
        key: (number of the copy, name of a part, how many parts a copy has) -> its name here.

    Raises:
        ValueError: weights of the model stand outside of its parts.
    """

    def __init__(self, make: Callable[[], nn.Module], num: int, key: Callable[[int, str, int], str]) -> None:
        super().__init__()
        self.parts = nn.ModuleDict()
        for index in range(num):
            one = make()
            outside = [name for name in one.state_dict() if not name.startswith("parts.")]
            if outside:
                raise ValueError(f"it has weights outside of its parts, which are not copied: {outside[0]}")
            parts = dict(one.get_submodule("parts").named_children())
            self.parts.update({key(index, name, len(parts)): part for name, part in parts.items()})
