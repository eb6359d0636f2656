"""Diffusion transformers with joint attention over text and image tokens."""
