"""Adaptors: features of an encoder as embeddings for a language model, and how they are put among its own."""
