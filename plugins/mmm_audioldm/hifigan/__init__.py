"""HiFi-GAN: log mel spectrograms to sound."""
