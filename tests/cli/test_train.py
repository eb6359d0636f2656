"""`mmm train`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Mmm


def test_it_trains_into_a_folder_that_runs(mmm: Mmm, tiny: Path) -> None:
    done = mmm("train", tiny, "-o", "w", "--set", "token=geheim", "--set", "batch=4", "--seed", "3")
    assert done.status == 0
    assert done.out.startswith("diffusion: 3 steps in 0 s: loss ")
    assert "weights, curves and graph.yaml: w" in done.out
    record = json.loads(Path("w/train.json").read_text())["stages"]["diffusion"]
    assert record["command"] == "mmm train tiny.yaml -o w --set 'token=***' --set batch=4 --seed 3"
    assert not any(b"geheim" in p.read_bytes() for p in Path("w").rglob("*") if p.is_file())
    assert mmm("run", "w/graph.yaml").status == 0
    first = Path("out/image-0.png").read_bytes()
    assert mmm("run", "out/image-0.png", "-o", "again").status == 0
    assert Path("again/image-0.png").read_bytes() == first
    assert mmm("run", tiny, "--weights", "w", "-o", "with").status == 0
    assert mmm("run", "with/image-0.png", "-o", "again").status == 2
    assert mmm("run", "with/image-0.png", "-o", "again", "--weights", "w").status == 0
    assert mmm("eval", tiny, "--weights", "w").status == 0


def test_json_and_resume(mmm: Mmm, tiny: Path) -> None:
    events = mmm("train", tiny, "-o", "w", "--json", "--stages", "diffusion", "--log-every", "1").events
    assert [e["step"] for e in events if e["event"] == "step"] == [1, 2, 3]
    assert events[-1]["event"] == "done"
    assert events[-1]["outputs"] == {"folder": "w"}
    assert set(events[-1]["metrics"]) == {"diffusion.loss", "diffusion.loss.diffusion"}
    again = mmm("train", tiny, "-o", "w", "--json", "--resume").events
    assert [e["event"] for e in again] == ["stage_skip", "done"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-o", "w", "--stages", "nope"], "there is no training stage 'nope'"),
        (["-o", "w", "--stages", ""], "--stages takes names"),
        (["-o", "w", "--set", "batch=0"], "expects at least 1"),
        (["-o", "w", "--set", "train.stages.diffusion.stepz=3"], "stepz"),
        (["-o", "w", "--device", "nope"], "the device 'nope' cannot be used"),
        (["-o", "tiny.yaml"], "tiny.yaml is a file; expected a folder"),
        (["-o", "w", "--seed", "-1"], "-1 is not in the range"),
        (["-o", "w", "--dtype", "f8"], "'f8' is not one of"),
        ([], "Missing option '-o'"),
    ],
)
def test_mistakes_are_told_clearly(mmm: Mmm, tiny: Path, words: list[str], message: str) -> None:
    done = mmm("train", tiny, *words)
    assert (done.status, done.out) == (2, "")
    assert message in done.err
    assert [p.name for p in Path().iterdir()] == ["tiny.yaml"]


def test_a_file_without_stages(mmm: Mmm, tiny: Path, tiny_text: str) -> None:
    tiny.write_text(tiny_text.partition("\ntrain:")[0])
    done = mmm("train", tiny, "-o", "w")
    assert done.status == 2
    assert "the file has no training stages" in done.err
