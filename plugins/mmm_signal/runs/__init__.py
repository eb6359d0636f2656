"""Runs of signal tokens: which answers ask for a medium, and where."""
