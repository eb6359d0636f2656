"""A discriminator that judges patches."""
