"""`mmm train`."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
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


def test_dry_run_prints_what_it_would_cost(mmm: Mmm, tiny: Path) -> None:
    done = mmm("train", tiny, "--dry-run", "--set", "train.stages.diffusion.ema=0.9")
    assert (done.status, done.err) == (0, "")
    first, heads, dit, total, *rest = done.out.splitlines()
    assert first == "stage diffusion: 3 steps of 8 samples, 24 in all, 0.0167 epochs of 1438; f32"
    assert heads.split() == [
        *("model", "kind", "trained", "frozen", "forward", "backward", "x"),
        *("weights", "gradients", "optimiser", "average", "activations"),
    ]
    assert dit.split()[:5] == ["dit", "denoiser.dit", "6.26", "k", "-"] and total.split()[0] == "total"
    assert "a step: 2.97 MFLOP" in rest[0] and "memory: at least" in rest[1]
    (event,) = mmm("train", tiny, "--dry-run", "--json", "-o", "w").events
    (model,) = event["stages"][0]["models"]
    assert (model["trained"], model["factor"], model["gradients"]) == (6260, 2.0, 4 * 6260)
    wrong = mmm("train", tiny, "--dry-run", "--set", "train.stages.diffusion.train={dat: full}")
    assert (wrong.status, wrong.out) == (2, "") and "E811" in wrong.err
    assert [p.name for p in Path().iterdir()] == ["tiny.yaml"]


def test_one_training_a_folder_and_two_interrupts(mmm: Mmm, tiny: Path) -> None:
    """While one process trains, a second is refused. Ctrl-C twice ends the first and leaves no trace."""
    sets = ["--set", "train.stages.diffusion.steps=1000000", "--set", "train.stages.diffusion.save_every=1"]
    words = [sys.executable, "-m", "mmm_graph", "train", str(tiny), "-o", "w", "--json", *sets]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None and other.stderr is not None
        while json.loads(other.stdout.readline())["event"] != "save":
            pass
        refused = mmm("train", tiny, "-o", "w")
        assert (
            refused.status == 1
            and f"E859] w is in use by another training (process {other.pid}" in refused.err
        )
        other.send_signal(signal.SIGINT)
        other.send_signal(signal.SIGINT)
        out, err = other.communicate(timeout=60)
    assert other.returncode == 130 and "Traceback" not in out + err
    assert [p for p in Path("w").rglob("*") if p.suffix == ".part" or p.name == ".lock"] == []
    resumed = mmm("train", tiny, "-o", "w", "--json", "--resume", "--set", "train.stages.diffusion.steps=1000000",
                  "--set", "train.stages.diffusion.stop_if={loss_above: 0.000001}")  # fmt: skip
    assert resumed.status == 1 and "E858" in resumed.out
    (kept,) = Path("w/failed").glob("*.json")
    assert (
        "above 1e-06" in kept.read_text() and len(json.loads(kept.read_text())["batches"][0]["indices"]) == 8
    )


def test_a_file_without_stages(mmm: Mmm, tiny: Path, tiny_text: str) -> None:
    tiny.write_text(tiny_text.partition("\ntrain:")[0])
    done = mmm("train", tiny, "-o", "w")
    assert done.status == 2
    assert "the file has no training stages" in done.err
