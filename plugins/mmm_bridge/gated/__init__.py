"""Gated cross-attention, which stands between the blocks of a language model."""
