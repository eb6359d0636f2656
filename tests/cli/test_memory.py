"""Warnings of runs that need more memory than there is."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmm_graph.cli import memory
from mmm_graph.cli.memory import free_bytes, too_large
from mmm_graph.plan.devices import Device
from mmm_graph.plan.place import Plan, Slice
from mmm_graph.spec.offload import OffloadSpec
from tests.cli.conftest import Mmm

ONE = Plan(1, {"net": (Slice((0,), 0, 3),)}, {})
TWO = Plan(2, {"net": (Slice((0, 1), 0, 3),)}, {}, offload={"net": OffloadSpec()})


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_free_on_host", lambda: 3 << 30)


def test_what_does_not_fit_is_told_with_what_helps(small: None) -> None:
    (found,) = too_large([{"bytes": 4 << 30}], "cpu", ONE)
    assert (found.code, found.message) == (
        "E526",
        "cpu has 3.0 GiB free, the run is predicted to need 4.0 GiB there",
    )
    assert "offload models" in found.hint
    assert not [*too_large([{"bytes": 2 << 30}], "cpu", ONE)]
    assert not [*too_large([None], "cpu", ONE)]


def test_ranks_share_the_host_and_have_a_device_each(small: None, monkeypatch: pytest.MonkeyPatch) -> None:
    each = [{"bytes": 2 << 30}, {"bytes": 2 << 30}]
    (found,) = too_large(each, "cpu", TWO)
    assert "need 4.0 GiB" in found.message and "offload models" not in found.hint
    monkeypatch.setattr(memory, "free_bytes", lambda name: {"cuda:0": 3 << 30, "cuda:1": 1 << 30}[name])
    (found,) = too_large(each, "cuda", TWO)
    assert found.message.startswith("cuda:1 has 1.0 GiB free")


def test_a_device_that_is_not_here_has_what_its_figures_say() -> None:
    figures = Device(flops={}, bandwidth=1, memory=3 << 30)
    each = [{"bytes": 2 << 30}, {"bytes": 4 << 30}]
    (found,) = too_large(each, "board", TWO, figures)
    assert found.message == "board:1 has 3.0 GiB free, the run is predicted to need 4.0 GiB there"
    assert not [*too_large(each, "board", TWO, Device(flops={}, bandwidth=1))], "nobody says how much it has"


def test_free_memory() -> None:
    assert (free_bytes("cpu") or 0) > 1 << 20
    assert free_bytes("meta") is None and free_bytes("cuda:77") is None and free_bytes("cuda:x") is None


def test_run_and_plan_warn(mmm: Mmm, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_free_on_host", lambda: 1 << 10)
    for words in (("plan", tiny), ("run", tiny, "--set", "steps=1")):
        done = mmm(*words)
        assert (
            done.status == 0
            and "[E526] cpu has 0.0 GiB free" in done.err
            and "hint: offload models" in done.err
        )
    found = mmm("plan", tiny, "--json").events
    assert found[0]["event"] == "warning" and found[0]["code"] == "E526"
    peak = found[-1]["ranks"][0]["peak"]
    assert peak["bytes"] == peak["weights"] + peak["values"] + peak["buffers"] and peak["node"]


def test_an_offloaded_model_told(mmm: Mmm, tiny: Path) -> None:
    whole = mmm("plan", tiny, "--json").events[-1]["ranks"][0]["peak"]
    done = mmm("plan", tiny, "--set", "models.dit.offload={by: block, from: disk, ahead: 0}")
    assert "(offloaded by block, from disk, 0 ahead)" in done.out and "dit leaves" in done.out
    assert "at most" in done.out
    sets = "models.dit.offload={by: block, ahead: 0}"
    assert (
        mmm("plan", tiny, "--set", sets, "--json").events[-1]["ranks"][0]["peak"]["weights"]
        < whole["weights"]
    )
