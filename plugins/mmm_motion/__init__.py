"""Motion modules: attention along the frames of a video, beside the parts of a U-Net of pictures."""
