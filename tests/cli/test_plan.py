"""`mmm plan`."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.cli.conftest import Mmm

PLANS = """
parallel:
  plans:
    patch2: {ranks: 2, axes: {dit: {patch: 2}}}
    pipe2:  {ranks: 2, pipe: {dit: 2}, loops: {denoise: {patches: 2}}}
    cfg3:   {ranks: 3, axes: {dit: {cfg: 3}}}
"""


@pytest.fixture
def planned(tiny: Path) -> Path:
    tiny.write_text(tiny.read_text(encoding="utf-8") + PLANS, encoding="utf-8")
    return tiny


def test_it_says_who_holds_and_does_what(mmm: Mmm, tiny: Path) -> None:
    done = mmm("plan", tiny, "--set", "steps=7", "--set", "token=geheim")
    assert done.status == 0
    assert "steps=7 (--set)" in done.out
    assert "guidance_scale=1.5 (default)" in done.out
    assert "no plan: 1 rank; sizes are for a batch of 2" in done.out
    assert re.search(r"turn \d\.\.6 ", done.out)
    assert "dit          denoiser.dit" in done.out
    assert "geheim" not in done.out
    found = mmm("plan", tiny, "--json").events[-1]
    assert found["event"] == "done"
    assert found["ranks"][0]["holds"][0]["model"] == "dit"
    train = mmm("plan", tiny, "--section", "train.diffusion").out
    assert "loss" in train and "sizes are for one element" in train


def test_a_plan_of_the_file(mmm: Mmm, planned: Path) -> None:
    done = mmm("plan", planned, "--plan", "pipe2", "--requests", 3)
    assert done.status == 0, done.err
    for line in (
        "plan pipe2: 2 ranks; sizes are for a batch of 2, as in the default inputs, buffers for 3 requests in flight",
        "loop denoise/steps",
        "  4 evaluations, approximate",
        "  warm-up: 1 evaluation on whole images; then 2 patches, those to come one evaluation old",
        "  6 streams (2 branches x 1 part of a batch x 3 requests) flow through 2 stages",
        "rank 1 sends",
    ):
        assert line in done.out.splitlines(), line
    assert re.search(r"buffers +\d.* KiB", done.out)
    assert re.search(r"  to rank 1: \d+ messages, .* in all", done.out)
    assert re.search(r"in a turn of denoise/steps: 8 messages, .*predict_cond\.h, predict_cond\.c", done.out)
    assert re.search(r"simulated by declared costs: 3 requests, efficiency \d+%", done.out)


def test_what_layers_exchange(mmm: Mmm, planned: Path) -> None:
    out = mmm("plan", planned, "--plan", "patch2").out
    assert re.search(r"layers of dit exchange with rank 1 \(patch 2\): .*B of keys and values a call", out)
    assert "(rows 0 to 4 of 8)" in out and "4 evaluations, exact" in out


def test_a_plan_of_another_file(mmm: Mmm, tiny: Path) -> None:
    Path("other.yaml").write_text(PLANS, encoding="utf-8")
    assert mmm("plan", tiny, "--plan", "other.yaml#pipe2", "--json").events[-1]["plan"]["name"] == "pipe2"


def test_the_simulation_drawn(mmm: Mmm, planned: Path) -> None:
    done = mmm("plan", planned, "--plan", "pipe2", "--trace", "out/trace.json")
    assert done.status == 0, done.err
    events = json.loads(Path("out/trace.json").read_text(encoding="utf-8"))["traceEvents"]
    assert {e["ph"] for e in events} == {"M", "X", "s", "f"} and {e.get("tid") for e in events} == {
        None,
        0,
        1,
    }
    assert [p.name for p in Path("out").iterdir()] == ["trace.json"]
    assert mmm("plan", planned, "--trace", "/dev/null/trace.json").status == 2


def test_refusals(mmm: Mmm, planned: Path) -> None:
    done = mmm("plan", planned, "--plan", "cfg3")
    assert (done.status, done.out) == (2, "")
    assert "error[E514] plan cfg3: cfg: 3 of dit" in done.err and "nearest legal degree is 2" in done.err
    done = mmm("plan", planned, "--plan", "pipe3", "--json")
    assert done.status == 2 and done.events[-1]["problems"][0]["code"] == "E523"


def test_a_height_that_only_requests_know(mmm: Mmm, planned: Path) -> None:
    text = planned.read_text(encoding="utf-8").replace(
        "inputs:", 'inputs:\n  x: {type: "Latents[b,1,h,w]"}', 1
    )
    planned.write_text(text.replace("in: {x: noise, times", "in: {x: $in.x, times"), encoding="utf-8")
    done = mmm("plan", planned, "--plan", "patch2")
    assert done.status == 0, done.err
    assert "nobody can say yet what is sent and done" in done.out and "rank 1 holds" in done.out
    done = mmm("plan", planned, "--plan", "patch2", "--trace", "trace.json")
    assert done.status == 2 and "E515" in done.err and not Path("trace.json").exists()


def test_an_unknown_section(mmm: Mmm, tiny: Path) -> None:
    for section in ("nope", "train.nope", "eval.nope", "train"):
        done = mmm("plan", tiny, "--section", section)
        assert (done.status, done.out) == (2, "")
        assert "error[E203]" in done.err
