"""Signals of a language model, and what makes of its states the conditions of generators."""
