"""The U-Net over the frames of videos: each by itself, unless something that is attached joins them."""
