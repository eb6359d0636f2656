"""For every test: one thread, nothing is fetched, and the folder of the repository."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")

# Read by their libraries when first imported, which is before any fixture.
os.environ.setdefault("OMP_NUM_THREADS", "1")  # the tensors are tiny; more threads only wait for each other
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_OFFLINE", "1")


@pytest.fixture(scope="session")
def root() -> Path:
    """The folder that holds pyproject.toml."""
    return Path(__file__).resolve().parent.parent
