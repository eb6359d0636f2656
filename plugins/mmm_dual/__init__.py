"""Two encoders that put pictures and texts into one space: CLIP, SigLIP and what is done with them."""
