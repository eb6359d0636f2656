"""Losses, and the random ops of training."""
