"""Sizes of a vision transformer (the defaults are CLIP ViT-B/32's)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from mmm_graph.config import Config


class ViTConfig(Config):
    """A transformer over patches of an image.

    Attributes:
        in_channels: of the image.
        size: height = width of the images that it was trained on, for which it has positions [px]. What is left over
            where the patch does not divide it is not looked at.
        patch: side of a patch [px].
        width, depth, num_heads: of the transformer.
        hidden: width inside the MLPs.
        activation: "quick_gelu" for OpenAI's CLIP, "gelu" for LAION's and EVA-CLIP, "gelu_tanh" for SigLIP.
        class_token: a learned token stands before the patches.
        patch_bias: the projection of patches has a bias.
        pre_norm: a norm before the first block.
        qkv_bias: queries, keys and values have a bias.
        pool: what one vector of an image is: the class token after the final norm; that, normed once more (as
            Blip2VisionModel does it); attention of a learned probe over all tokens (SigLIP); or there is none.
        out_dim: width of a linear layer without bias on that vector; None: no such layer.
        interpolate: images may have other sizes, and positions are interpolated for them; false: that is an error.
        grid_offset: added to rows and columns of patches before positions are scaled to them (0.1 in IDEFICS).
        eps: of the layer norms.
    """

    in_channels: int = Field(3, ge=1)
    size: int = Field(224, ge=1)
    patch: int = Field(32, ge=1)
    width: int = Field(768, ge=1)
    depth: int = Field(12, ge=1)
    num_heads: int = Field(12, ge=1)
    hidden: int = Field(3072, ge=1)
    activation: Literal["gelu", "gelu_tanh", "quick_gelu"] = "quick_gelu"
    class_token: bool = True
    patch_bias: bool = False
    pre_norm: bool = True
    qkv_bias: bool = True
    pool: Literal["class", "class_normed_twice", "probe", "none"] = "class"
    out_dim: int | None = Field(None, ge=1)
    interpolate: bool = False
    grid_offset: float = Field(0.0, ge=0, lt=1)
    eps: float = 1e-5

    @model_validator(mode="after")
    def _check(self) -> ViTConfig:
        if self.width % self.num_heads:
            raise ValueError(f"width {self.width} does not divide into {self.num_heads} heads")
        if self.patch > self.size:
            raise ValueError(
                f"an image of {self.size} x {self.size} has no patch of {self.patch} x {self.patch}"
            )
        if self.pool.startswith("class") and not self.class_token:
            raise ValueError(
                f"pool: {self.pool} needs `class_token: true`; without one there are probe and none"
            )
        if self.pool == "none" and self.out_dim is not None:
            raise ValueError("out_dim is set but pool is none, so there is nothing to project")
        return self

    @property
    def side(self) -> int:
        """Rows and columns of patches that there are positions for."""
        return self.size // self.patch

    @property
    def positions(self) -> int:
        """Patches and the class token of an image of `size`."""
        return self.side**2 + self.class_token

    @property
    def patches(self) -> int | None:
        """Patches of an image; None: its size says."""
        return None if self.interpolate else self.side**2

    @property
    def tokens(self) -> int | None:
        """Patches and the class token of an image; None: its size says."""
        return None if self.interpolate else self.positions

    @property
    def image_height(self) -> int | None:
        """Of every image [px]; None: any."""
        return None if self.interpolate else self.size

    @property
    def image_width(self) -> int | None:
        """Of every image [px]; None: any."""
        return None if self.interpolate else self.size

    @property
    def pooled_dim(self) -> int:
        """Width of the one vector of an image."""
        return self.out_dim or self.width
