"""BLIP-2's querying transformer, with its branch for text."""
