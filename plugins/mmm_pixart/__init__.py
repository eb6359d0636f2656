"""Diffusion transformers with one modulation for all blocks and cross-attention to a text."""
