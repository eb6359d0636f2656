"""Optimisers of torch as node types: optim.adamw, optim.adam, optim.sgd."""
