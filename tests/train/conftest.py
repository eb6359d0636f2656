"""Pictures are drawn by the tests that look at them; the others save the time."""

from __future__ import annotations

import pytest

from mmm_graph.train import trainer


@pytest.fixture(autouse=True)
def _without_pictures(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "test_writes" not in request.node.name:
        monkeypatch.setattr(trainer, "_draw", lambda *_: None)
