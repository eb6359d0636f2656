"""Guidance: the predictions of several conditions -> one."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from mmm_diffusion.config import CFGConfig, NoGuidanceConfig


class NoGuidance:
    """The conditional prediction as it is."""

    pointwise = True

    def __init__(self, config: NoGuidanceConfig) -> None:
        self.config = config

    def combine(self, branches: Sequence[Tensor], i: int | None = None) -> Tensor:
        """The only branch.

        Raises:
            ValueError: there are several.
        """
        if len(branches) != 1:
            raise ValueError(f"guidance.none combines one branch, found {len(branches)}")
        return branches[0]


class CFG:
    """uncond + scale (cond - uncond), brought part of the way back to the standard deviation of cond.

    Source: Ho & Salimans 2022 (arXiv:2207.12598), eq. 6 (scale = w + 1); Lin et al. 2023 (arXiv:2305.08891),
    eq. 15 and 16.
    """

    def __init__(self, config: CFGConfig) -> None:
        self.config = config
        self.pointwise = config.pointwise()

    def combine(self, branches: Sequence[Tensor], i: int | None = None) -> Tensor:
        """One prediction from those of `branches()`: cond, then uncond unless the scale is 1.

        Raises:
            ValueError: another number of branches.
        """
        if len(branches) != len(self.config.branches()):
            raise ValueError(f"expected the branches {self.config.branches()}, found {len(branches)}")
        if len(branches) == 1:
            return branches[0]
        cond, uncond = branches
        out = uncond + self.config.scale * (cond - uncond)
        if self.config.rescale == 0:
            return out
        share = self.config.rescale
        return out * (share * _std(cond) / _std(out) + (1 - share))


def _std(x: Tensor) -> Tensor:
    """Standard deviation of each element, [b, 1, 1 ...]."""
    return x.std(dim=tuple(range(1, x.ndim)), keepdim=True)
