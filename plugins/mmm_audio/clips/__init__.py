"""Sounds as clips of a few seconds."""
