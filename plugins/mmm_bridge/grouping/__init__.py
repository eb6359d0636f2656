"""Grouping of patches: features as a few concept tokens, each of the patches that belong together."""
