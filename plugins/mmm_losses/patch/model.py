"""A discriminator that judges patches. Axes: b images, l patches."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from mmm_graph.errors import RunError, problem
from mmm_losses.patch.config import GROUP, PatchConfig

SLOPE = 0.2


class PatchDiscriminator(nn.Module):
    """Images [b,c,h,w] in [0, 1] to a score [b,l] of each patch; above 0: it is real.

    Source: Isola et al. 2017 (arXiv:1611.07004), appendix 6.1.2 (70 x 70), with group norm for batch norm.
    """

    def __init__(self, config: PatchConfig) -> None:
        super().__init__()
        widths = config.widths()
        layers: list[nn.Module] = [nn.Conv2d(config.channels, widths[0], 4, 2, 1), nn.LeakyReLU(SLOPE)]
        for i, (before, after) in enumerate(pairwise(widths), 1):
            normed = config.norm == "group"
            layers.append(nn.Conv2d(before, after, 4, 2 if i < config.depth else 1, 1, bias=not normed))
            if normed:
                layers.append(nn.GroupNorm(max(1, after // GROUP), after))
            layers.append(nn.LeakyReLU(SLOPE))
        self.layers = nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, 4, 1, 1))
        self.smallest = 3 * 2**config.depth
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.normal_(layer.weight, std=0.02)

    def forward(self, image: Tensor) -> Tensor:
        """[b,c,h,w] -> scores [b,l].

        Raises:
            RunError: E743, an image smaller than a patch.
        """
        if min(image.shape[-2:]) < self.smallest:
            height, width = image.shape[-2:]
            message = f"an image of {height} x {width} has no patch to judge; at least {self.smallest} pixels a side"
            raise RunError(
                problem("E743", message, hint="classifier.patch: a smaller depth, or larger images")
            )
        scores: Tensor = self.layers(2 * image - 1)
        return scores.flatten(1)
