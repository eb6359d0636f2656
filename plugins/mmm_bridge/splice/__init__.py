"""Ops that put the embeds of media among those of a text."""
