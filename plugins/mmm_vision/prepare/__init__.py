"""Pictures as the encoders of other models want them."""
