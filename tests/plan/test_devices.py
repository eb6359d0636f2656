"""Figures of devices: of data sheets, and of a user's file."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmm_graph.errors import InputError
from mmm_graph.plan.devices import SHEETS, Device, choose_devices, read_devices

OWN = """
devices:
  board:
    flops: {f32: 1.0e+12, bf16: 4.0e+12}
    bandwidth: 2.0e+11
    memory: 8.0e+9
    link: 1.0e+10
    efficiency: 0.5
"""


def test_sheets_say_where_they_are_from() -> None:
    for name, device in SHEETS.items():
        assert device.source and device.link and device.memory, name
        assert device.flops["f32"] <= device.flops["tf32"] <= device.flops["bf16"] < device.flops["int8"]
    assert SHEETS["h100"].bandwidth == 3.35e12 and SHEETS["h200"].memory == 141e9
    assert SHEETS["a100"].rate("bf16") == 312e12 and SHEETS["a100"].rate("f64") is None


def test_a_file(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(OWN, encoding="utf-8")
    own = read_devices(path)
    assert own["board"].rate("bf16") == 2e12 and own["board"].rate("f32", tf32=True) == 0.5e12
    assert choose_devices(["board", "l40s", "cpu", "cuda:1"], own) == {
        "board": own["board"], "l40s": SHEETS["l40s"], "cpu": None, "cuda:1": None}  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("bandwidth: 2.0e+11", "bandwith: 2.0e+11", "own.yaml:5.*E110"),
        ("bandwidth: 2.0e+11", "bandwidth: 0", "own.yaml:5.*bandwidth: expects more than 0"),
        ("    bandwidth: 2.0e+11\n", "", "E111.*bandwidth"),
        ("f32: 1.0e+12", "fp8: 1.0e+12", "own.yaml:4.*fp8 is none of f64, f32, tf32"),
        ("efficiency: 0.5", "efficiency: 2", "own.yaml:8.*efficiency: expects at most 1"),
        ("board:", "cpu:", "own.yaml:3.*E528.*cpu is a device of this machine"),
        ("devices:", "things:", "E110.*things"),
    ],
)
def test_a_file_that_is_wrong(tmp_path: Path, old: str, new: str, said: str) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(OWN.replace(old, new), encoding="utf-8")
    with pytest.raises(InputError, match=f"(?s){said}"):
        read_devices(path)


def test_names_that_nobody_knows() -> None:
    with pytest.raises(InputError) as found:
        choose_devices(["h10", "cpu", "boards"], {"board": Device(flops={}, bandwidth=1)})
    assert [p.code for p in found.value.problems] == ["E527", "E527"]
    assert [p.hint for p in found.value.problems] == ["did you mean h100?", "did you mean board?"]
