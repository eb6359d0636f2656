"""Signals to the condition of a generator: an encoder-decoder transformer with learned queries."""
