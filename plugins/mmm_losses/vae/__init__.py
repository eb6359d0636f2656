"""Losses of autoencoders."""
