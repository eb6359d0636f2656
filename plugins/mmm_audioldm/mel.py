"""What an autoencoder makes of latents of sound, as the spectrogram that it is. Axes: b batch, f frames, m mel bins."""

from __future__ import annotations

from torch import Tensor


def from_image(image: Tensor) -> Tensor:
    """[b,1,f,m] in [0,1], which is how autoencoders give what lies in [-1,1] -> log mel spectrograms [b,f,m]."""
    return image[:, 0] * 2 - 1
