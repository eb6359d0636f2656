"""Sound: log mel spectrograms, the audio spectrogram transformer."""
