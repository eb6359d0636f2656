"""The T5 family: its text encoders, and whole as language models."""
