"""ImageBind's encoders of pictures, clips and sounds: one space for all of them."""
