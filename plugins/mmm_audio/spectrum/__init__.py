"""Sounds as pictures of their loudness by time and frequency, and back."""
