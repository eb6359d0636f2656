"""Sizes of a diffusion transformer; the defaults are DiT-XL/2 at 256 x 256."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from mmm_graph.config import Config


class DiTConfig(Config):
    """A transformer over patches of a latent, conditioned through adaptive layer norm.

    Attributes:
        in_channels: of x and of the prediction.
        sample_size: height = width of x that positions are trained on and the cost table is made for.
        patch_size: side of a patch; x is divided into (h / patch) * (w / patch) tokens.
        width, depth, num_heads: of the transformer.
        mlp_ratio: hidden width of the MLPs over `width`.
        num_classes: rows of the class embedding, the one that means "no class" included (guidance needs one);
            None: cond.label is not read.
        pooled: read cond.pooled, added to the time vector.
        pooled_dim: its width; solved from the links when left out.
        cross: read cond.embeds, by cross-attention in each block.
        cond_dim: its width; solved from the links when left out.
        learned_sigma: also predict the variance, on port `variance`.
        freq_dim, freq_shift: width and form of the sinusoid of the time. The shift is 0 in the paper's code, 1 in
            diffusers.
        time_scale: multiplies t; default 1000 for flow, whose times are in [0, 1], else 1.
        eps: of the layer norms.
        mlp_eps: of the layer norm before the MLP; default `eps`. diffusers has 1e-5 there.
        prediction: what the output means.
    """

    in_channels: int = 4
    sample_size: int = 32
    patch_size: int = 2
    width: int = 1152
    depth: int = 28
    num_heads: int = 16
    mlp_ratio: float = 4.0
    num_classes: int | None = None
    pooled: bool = False
    pooled_dim: int | None = None
    cross: bool = False
    cond_dim: int | None = None
    learned_sigma: bool = False
    freq_dim: int = 256
    freq_shift: float = 0.0
    time_scale: float | None = None
    eps: float = 1e-6
    mlp_eps: float | None = None
    prediction: Literal["epsilon", "v", "sample", "flow"] = "epsilon"

    @model_validator(mode="after")
    def _check(self) -> DiTConfig:
        if self.width % self.num_heads:
            raise ValueError(f"width {self.width} does not divide into {self.num_heads} heads")
        if self.width % 4:
            raise ValueError(f"width {self.width} must be a multiple of 4 for 2D positions")
        if self.sample_size % self.patch_size:
            raise ValueError(
                f"sample_size {self.sample_size} is not a multiple of patch_size {self.patch_size}"
            )
        for flag, size in (("pooled", "pooled_dim"), ("cross", "cond_dim")):
            if getattr(self, size) is not None and not getattr(self, flag):
                raise ValueError(f"{size} is set but `{flag}` is false, so it would not be read")
        return self

    @property
    def tokens(self) -> int:
        """Patches of x at `sample_size`."""
        return (self.sample_size // self.patch_size) ** 2

    @property
    def hidden(self) -> int:
        """Hidden width of the MLPs."""
        return int(self.width * self.mlp_ratio)

    @property
    def times(self) -> float:
        """What t is multiplied by before it is embedded."""
        if self.time_scale is not None:
            return self.time_scale
        return 1000.0 if self.prediction == "flow" else 1.0
