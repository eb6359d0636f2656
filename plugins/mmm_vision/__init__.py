"""Images: operations, contact sheets, the pixel codec, and the savers for png and jpg."""
