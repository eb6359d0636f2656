"""Metrics: an independent digit classifier, distance to training images, PSNR, right answers, retrieval."""
