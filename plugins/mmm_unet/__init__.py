"""U-Net denoisers: pixels or latents, with or without a condition."""
