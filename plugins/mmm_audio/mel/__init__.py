"""Log mel spectrograms as Kaldi makes them."""
