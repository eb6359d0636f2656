"""The digit world: a digit as a word, a picture, a tone and a video, and requests to turn one into another."""
