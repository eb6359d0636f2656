"""Images to tokens and back, spectrograms to tokens: each token is a square patch."""

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


def mel_patches(
    mel: Tensor, size: tuple[int, int], patch: int, strides: tuple[int, int], reader: str
) -> Tensor:
    """Spectrograms b f m -> b l (patch patch): patches that may overlap, those of the lowest bins first.

    Args:
        size: frames and bins that there must be. strides: from one patch to the next [bins, frames].
        reader: who takes them, for messages.

    Raises:
        RunError: E772, other frames or bins.
    """
    if tuple(mel.shape[1:]) != size:
        found = f"a spectrogram of {mel.shape[1]} frames x {mel.shape[2]} bins"
        message = f"{found}, but {reader} has positions for {size[0]} x {size[1]}"
        raise RunError(problem("E772", message, hint=f"audio.mel: set frames: {size[0]} and bins: {size[1]}"))
    cut = mel.mT.unfold(1, patch, strides[0]).unfold(2, patch, strides[1])  # b rows columns patch patch
    return cut.flatten(3).flatten(1, 2)
