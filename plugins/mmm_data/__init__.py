"""Datasets that come with the engine, and the metrics that judge what is drawn from them."""
