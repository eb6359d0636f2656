"""Layers that draw random numbers in training, keyed by step and sample, so that a run that goes on draws the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from mmm_graph.errors import RunError, problem
from mmm_graph.nn.noise import Noise


class Drawing(nn.Module):
    """A layer that draws in training; what it draws depends on nothing that was drawn before.

    Args:
        place: of the layer in its model, which keys what it draws.

    Attributes:
        model: the name of its model, which keys it too.
    """

    def __init__(self, place: str) -> None:
        super().__init__()
        self.place = place
        self.model = ""
        self.turn: tuple[int, tuple[int, ...]] | None = None

    @property
    def draws(self) -> bool:
        """Whether it does so in training at all."""
        return True

    def uniform(self, like: Tensor) -> Tensor:
        """Numbers in [0, 1), float32, in the shape of `like` [b,...].

        They are keyed by the layer and the sample, or the row if rows are none.

        Raises:
            RunError: E789, nobody has said which step and samples they are for.
        """
        if self.turn is None:
            hint = "call `.eval()`, or train with `mmm train`, which says so by mmm_graph.nn.drawing.Draws"
            raise RunError(problem("E789", f"{self.key} draws in training, of an unknown step", hint=hint))
        seed, elements = self.turn
        is_sample = len(like) == len(elements)
        keys = elements if is_sample else tuple(range(len(like)))
        own = self.key if is_sample else f"{self.key} {elements[:1]}"
        return Noise((seed,), own, keys).uniform(like.shape[1:], device=like.device)

    @property
    def key(self) -> str:
        """What its numbers are keyed by, beside step and sample."""
        return f"{self.model}.{self.place}" if self.model else self.place


class Draws:
    """Where in training the layers of some models are that draw."""

    def __init__(self, models: Mapping[str, nn.Module]) -> None:
        self._layers = []
        for name, module in models.items():
            found = [p for p in module.modules() if isinstance(p, Drawing) and p.draws]
            for layer in found:
                layer.model = name
            self._layers += found

    def at(self, seeds: Sequence[int], elements: Sequence[int] | None) -> None:
        """The next forward and backward passes are of these samples.

        Args:
            seeds: of the step, all the same.
            elements: number of each sample in the whole batch of the step; None = they are counted.
        """
        for layer in self._layers:
            layer.turn = (seeds[0], tuple(range(len(seeds)) if elements is None else elements))


NO_DRAWS = Draws({})
