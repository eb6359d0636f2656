"""Vision transformers: CLIP, SigLIP, EVA-CLIP."""
