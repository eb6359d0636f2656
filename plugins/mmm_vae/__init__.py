"""Autoencoders between images and latents."""
