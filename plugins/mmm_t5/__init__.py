"""Text encoders of the T5 family."""
