"""Text generation: the decoding loop of language models, what changes their logits, and how a token is picked."""
