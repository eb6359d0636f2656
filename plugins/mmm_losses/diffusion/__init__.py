"""The loss of denoisers."""
