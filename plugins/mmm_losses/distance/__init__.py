"""Losses between a prediction and its target."""
