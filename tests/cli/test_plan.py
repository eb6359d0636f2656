"""`mmm plan`."""

from __future__ import annotations

import re
from pathlib import Path

from tests.cli.conftest import Mmm


def test_it_says_who_holds_and_does_what(mmm: Mmm, tiny: Path) -> None:
    done = mmm("plan", tiny, "--set", "steps=7", "--set", "token=geheim")
    assert done.status == 0
    assert "steps=7 (--set)" in done.out
    assert "guidance_scale=1.5 (default)" in done.out
    assert re.search(r"turn \d\.\.6 ", done.out)
    assert "dit          denoiser.dit" in done.out
    assert "geheim" not in done.out
    found = mmm("plan", tiny, "--json").events[-1]
    assert found["event"] == "done"
    assert found["ranks"][0]["holds"][0]["model"] == "dit"
    assert "loss" in mmm("plan", tiny, "--section", "train.diffusion").out


def test_an_unknown_section(mmm: Mmm, tiny: Path) -> None:
    for section in ("nope", "train.nope", "eval.nope", "train"):
        done = mmm("plan", tiny, "--section", section)
        assert (done.status, done.out) == (2, "")
        assert "error[E203]" in done.err
