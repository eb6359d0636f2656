"""Conditions taken away, for classifier-free guidance."""
