from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def peers():
    """The helpers beside this file; tests are no package, so they are loaded by path."""
    spec = importlib.util.spec_from_file_location("mmm_diffusion_peers", Path(__file__).with_name("peers.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
