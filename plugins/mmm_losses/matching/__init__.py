"""What the first stage of BLIP-2 is trained with."""
