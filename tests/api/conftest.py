"""The tiny graph, alone in a folder which is the working directory."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmm_graph.api.session import Session, load


@pytest.fixture
def tiny(tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`tiny.yaml`."""
    monkeypatch.chdir(tmp_path)
    path = Path("tiny.yaml")
    path.write_text((root / "tests" / "graphs" / "tiny.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    return path


@pytest.fixture
def graph(tiny: Path) -> Session:
    """It, loaded."""
    return load(tiny)
