"""Figures of this machine."""

from __future__ import annotations

import pytest

from mmm_graph.runtime import calibrate as module
from mmm_graph.runtime.calibrate import calibrate


def test_a_device_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"CPU_ROWS": 64, "CPU_NUMBERS": 1 << 20, "LEAST_S": 0.0}.items():
        monkeypatch.setattr(module, name, value)
    found = calibrate("cpu", ["bf16", "f32"])
    assert set(found.flops) == {"bf16", "f32"} and found.link is None and found.memory is None
    assert 1e8 < found.flops["f32"] < 1e14 and 1e8 < found.bandwidth < 1e13
    assert found.source.startswith("measured here, ")
    assert set(calibrate("cpu", ["f32"], tf32=True).flops) == {"tf32"}


def test_the_fastest_of_several_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([0.0, 5.0, 10.0, 12.0, 20.0, 24.0])
    monkeypatch.setattr(module.time, "perf_counter", lambda: next(times))
    monkeypatch.setattr(module, "CPU_ROWS", 1)
    x = module.torch.ones(1, 4)
    assert module._fastest(x, x) == 2.0
