"""Sizes of the grouping of patches; torch-free."""

from __future__ import annotations

from pydantic import Field, model_validator

from mmm_bridge.activations import Activation
from mmm_graph.config import Config


class GroupingConfig(Config):
    """Transformers between which patches are put into groups; the defaults are NExT-GPT's.

    Attributes:
        in_dim: width of the features; solved from the links.
        out_dim: width of the embeds; solved from the links.
        groups: groups after each stage, fewer and fewer; the last number of them are the embeds that come out.
        depths: blocks of each stage; one more than there are groups, or as many: then grouping comes last.
        width, num_heads, hidden: of the transformers; hidden is the width inside the MLPs.
        qkv_bias: queries, keys and values of the blocks have a bias.
        activation: in the MLPs.
        temperature: of the noise in training: how far an assignment may be from the likeliest one.
        eps: of the layer norms.
    """

    in_dim: int | None = Field(None, ge=1)
    out_dim: int | None = Field(None, ge=1)
    groups: tuple[int, ...] = Field((64, 8), min_length=1)
    depths: tuple[int, ...] = (6, 3, 3)
    width: int = Field(512, ge=1)
    num_heads: int = Field(8, ge=1)
    hidden: int = Field(2048, ge=1)
    qkv_bias: bool = False
    activation: Activation = "gelu"
    temperature: float = Field(1.0, gt=0)
    eps: float = Field(1e-5, gt=0)

    @model_validator(mode="after")
    def _check(self) -> GroupingConfig:
        if self.width % self.num_heads:
            raise ValueError(f"width {self.width} does not divide into {self.num_heads} heads")
        if len(self.depths) - len(self.groups) not in (0, 1):
            raise ValueError(
                f"{len(self.depths)} depths for {len(self.groups)} groups; give as many, or one depth more"
            )
        if min(self.groups) < 1 or min(self.depths) < 0:
            raise ValueError(f"groups {self.groups} are 1 or more, depths {self.depths} are 0 or more")
        if any(b > a for a, b in zip(self.groups, self.groups[1:], strict=False)):
            raise ValueError(f"groups {self.groups} become fewer from stage to stage")
        return self

    @property
    def num_embeds(self) -> int:
        """Embeds that come out."""
        return self.groups[-1]
