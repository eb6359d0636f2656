"""`mmm show`."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

from tests.cli.conftest import Mmm


def test_text_for_the_terminal_and_a_file_for_each_ending(mmm: Mmm, tiny: Path) -> None:
    shown = mmm("show", tiny)
    assert "predict_cond" in shown.out
    for name in ("a.svg", "a.html", "a.json", "sub/a.TXT"):
        assert mmm("show", tiny, "-o", name).out == f"wrote {name}\n"
    assert ElementTree.parse("a.svg").getroot().tag.endswith("svg")
    assert json.loads(Path("a.json").read_text())["name"] == "tiny"
    assert "eval" not in mmm("show", tiny, "--section", "eval.noised").err


def test_what_cannot_be_drawn_or_written(mmm: Mmm, tiny: Path) -> None:
    for name, message in (
        ("a.pdf", "endings: .svg, .html, .json, .txt"),
        ("a", "no drawing has the ending ''"),
        ("tiny.yaml/a.svg", "cannot be written"),
    ):
        done = mmm("show", tiny, "-o", name)
        assert (done.status, done.out) == (2, "")
        assert message in done.err
    assert mmm("show", tiny, "--section", "nope").status == 2
    assert sorted(p.name for p in Path().iterdir()) == ["tiny.yaml"]
