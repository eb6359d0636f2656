"""`mmm plan --throughput`."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmm_graph.plan.devices import Device
from mmm_graph.runtime import calibrate
from tests.cli.conftest import Mmm

OWN = "devices: {board: {flops: {f32: 1.0e+12}, bandwidth: 1.0e+11, memory: 1000, efficiency: 0.5}}"


def test_a_table_of_devices(mmm: Mmm, tiny: Path) -> None:
    done = mmm("plan", tiny, "--throughput", "--device", "h100,rtx4090", "--batch", 8)
    assert done.status == 0, done.err
    lines = done.out.splitlines()
    at = lines.index("throughput at best: a batch of 8")
    assert lines[at + 1].startswith("  h100: FLOP/s 67 T f32, 494.7 T tf32, 989.4 T bf16")
    assert "memory 3350 GB/s, link 450 GB/s (NVIDIA H100" in lines[at + 1]
    assert lines[at + 3].split() == [
        *("model", "kind", "parameters", "dtype", "device", "what", "per", "second", "bound", "by")
    ]
    row = lines[at + 4].split()
    assert row[:2] == ["dit", "denoiser.dit"] and row[3:6] == ["f32", "h100", "calls/s"]
    assert lines[at + 6].startswith("the graph on h100: ") and lines[at + 6].endswith(" s for one request")
    assert mmm("plan", tiny, "--device", "h100").out.splitlines() == lines[: at - 1]


def test_json_and_a_plan(mmm: Mmm, tiny: Path) -> None:
    plans = "\nparallel: {plans: {pipe2: {ranks: 2, pipe: {dit: 2}}}}\n"
    tiny.write_text(tiny.read_text(encoding="utf-8") + plans, encoding="utf-8")
    words = ("plan", tiny, "--device", "l40s", "--plan", "pipe2", "--requests", 2)
    found = mmm(*words, "--throughput", "--json").events[-1]["throughput"]
    assert [(row["ranks"], row["requests"], row["what"]) for row in found["graph"]] == [
        (1, 2, "images/s"), (2, 2, "images/s")]  # fmt: skip
    assert found["batch"] == 2 and found["devices"]["l40s"]["bandwidth"] == 864e9
    assert "the graph on 2 x l40s, plan pipe2: " in mmm(*words, "--throughput").out
    assert "throughput" not in mmm(*words, "--json").events[-1]


def test_devices_of_a_file_and_of_this_machine(mmm: Mmm, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("own.yaml").write_text(OWN, encoding="utf-8")
    done = mmm("plan", tiny, "--throughput", "--device-spec", "own.yaml")
    assert "  board: FLOP/s 1 T f32 x 0.5; memory 100 GB/s" in done.out
    assert "E526" in done.err and "board has 0.0 GiB free" in done.err
    asked: list[object] = []

    def measured(name: str, dtypes: list[str], *, tf32: bool) -> Device:
        asked.append((name, dtypes, tf32))
        return Device(flops={"f32": 5e10}, bandwidth=1e10, source="measured here")

    monkeypatch.setattr(calibrate, "calibrate", measured)
    assert "cpu: FLOP/s 0.05 T f32; memory 10 GB/s (measured here)" in mmm("plan", tiny, "--throughput").out
    assert asked == [("cpu", ["f32"], False)]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ("--device", "h10o"),
            "error[E527] nothing is known of a device 'h10o'\n    hint: did you mean h100?",
        ),
        (("--device", "a100,,cpu"), "error[E301]"),
        (("--device-spec", "none.yaml"), "none.yaml error[E101]"),
        (("--throughput", "--device", "cuda:99"), "error[E302] the device 'cuda:99' cannot be used"),
        (("--throughput", "--device", "board", "--tf32"), "error[E302] --tf32 is for devices"),
        (
            ("--throughput", "--device", "board", "--set", "models.dit.dtype=bf16"),
            "board has no flops of bf16",
        ),
        (("--throughput", "--device", "h100", "--section", "train.diffusion"), "error[E529]"),
    ],
)
def test_refusals(mmm: Mmm, tiny: Path, words: tuple[str, ...], said: str) -> None:
    Path("own.yaml").write_text(OWN.replace("memory: 1000, ", ""), encoding="utf-8")
    done = mmm("plan", tiny, *(() if "--device-spec" in words else ("--device-spec", "own.yaml")), *words)
    assert (done.status, done.out) == (2, "") and said in done.err
