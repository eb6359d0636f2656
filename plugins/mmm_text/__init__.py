"""Tokenizers and text encoders."""
