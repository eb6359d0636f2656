"""Metrics: an independent digit classifier, distance to the training images, PSNR."""
