"""Losses that compare the samples of a batch."""
