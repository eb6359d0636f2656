"""Diffusion transformers with adaptive layer norm."""
