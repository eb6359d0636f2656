"""Images to tokens and back: each token is a square patch."""

from __future__ import annotations

from einops import rearrange
from torch import Tensor

from mmm_graph.errors import RunError, problem


def patch_grid(x: Tensor, patch: int) -> tuple[int, int]:
    """Rows and columns of patches of x [b,c,h,w].

    Raises:
        RunError: x does not divide into patches.
    """
    height, width = x.shape[2:]
    if height % patch or width % patch:
        raise RunError(
            problem("E705", f"x of {height} x {width} does not divide into patches of {patch} x {patch}")
        )
    return height // patch, width // patch


def to_patches(x: Tensor, patch: int) -> Tensor:
    """b c h w -> b l (c patch patch), row by row."""
    return rearrange(x, "b c (h p) (w q) -> b (h w) (c p q)", p=patch, q=patch)


def from_patches(tokens: Tensor, like: Tensor, patch: int) -> Tensor:
    """b l (patch patch c) -> b c h w, with the height and width of `like`."""
    rows = like.shape[2] // patch
    return rearrange(tokens, "b (h w) (p q c) -> b c (h p) (w q)", h=rows, p=patch, q=patch)
