"""Noise laws, samplers, guidance and the denoising loop."""
