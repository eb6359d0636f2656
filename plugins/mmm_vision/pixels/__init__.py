"""The codec without weights: diffusion on the pixels themselves."""
