"""FLUX: diffusion transformers whose text and image tokens first have weights of their own and then share them."""
