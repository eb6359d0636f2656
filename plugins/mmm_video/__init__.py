"""U-Net denoisers of clips: a U-Net of pictures with layers along the frames."""
