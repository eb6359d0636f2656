"""Weights, written once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.plans.graphs import DENOISERS, write_weights


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folder of weights by denoiser."""
    root = tmp_path_factory.mktemp("weights")
    for name in DENOISERS:
        write_weights(name, root / name)
    return {name: root / name for name in DENOISERS}
