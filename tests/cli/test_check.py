"""`mmm check`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Mmm


def test_every_section_is_compiled(mmm: Mmm, tiny: Path) -> None:
    done = mmm("check", tiny)
    assert (done.status, done.err) == (0, "")
    assert done.out == "tiny.yaml: ok: main (11 nodes), train.diffusion (4 nodes), eval.noised (4 nodes)\n"
    event = mmm("check", tiny, "--json").events[-1]
    assert event["sections"] == {"main": 11, "train.diffusion": 4, "eval.noised": 4}


def test_all_problems_of_all_sections_at_once(mmm: Mmm, tiny: Path, tiny_text: str) -> None:
    text = tiny_text.replace("call: tok, in: {text: $in.prompt}", "call: tok, in: {txt: $in.prompt}")
    text = text.replace("op: loss.diffusion", "op: loss.difusion").replace(
        "op: metric.psnr", "op: metric.pnsr"
    )
    tiny.write_text(text)
    done = mmm("check", tiny)
    assert done.status == 2
    for hint in ("did you mean text", "did you mean loss.diffusion", "did you mean metric.psnr"):
        assert hint in done.err
    assert all(line.startswith(("tiny.yaml:", "    hint:")) for line in done.err.splitlines())
    problems = mmm("check", tiny, "--json").events[0]["problems"]
    assert {p["place"]["file"] for p in problems} == {"tiny.yaml"}
    assert all(p["place"]["line"] > 1 for p in problems)
    tiny.write_text(tiny_text.replace("format: png", "format: pgn"))
    assert "Image cannot be saved as 'pgn'\n    hint: did you mean png" in mmm("check", tiny).err


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\xff\xfe\x00", "is not UTF-8"),
        (b"[1, 2]", "expects a mapping"),
        (b"a: [1\n", "g.yaml:2:1 error[E102] is not YAML"),
        (b"mmm: 2\n", "g.yaml:1:6"),
    ],
)
def test_files_that_are_no_graphs(mmm: Mmm, tiny: Path, content: bytes, message: str) -> None:
    Path("g.yaml").write_bytes(content)
    done = mmm("check", "g.yaml")
    assert (done.status, done.out) == (2, "")
    assert message in done.err


def test_overrides_are_checked_too(mmm: Mmm, tiny: Path) -> None:
    assert mmm("check", tiny, "--set", "steps=7").status == 0
    done = mmm("check", tiny, "--set", "stepz=7", "--set", "models.dit.config.widht=8")
    assert done.status == 2
    assert "did you mean steps?" in done.err
    done = mmm("check", tiny, "--set", "models.dit.config.widht=8")
    assert "--set models.dit.config.widht error[E210]" in done.err
    Path("p.yaml").write_text("stepz: 3\n")
    done = mmm("check", tiny, "--params", "p.yaml")
    assert (done.status, done.err.startswith("p.yaml:1:")) == (2, True)
