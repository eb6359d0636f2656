"""Canvases with one to four handwritten digits, their captions, and questions about them with answers."""
