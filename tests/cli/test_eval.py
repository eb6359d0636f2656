"""`mmm eval`."""

from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import Mmm


def test_metrics_as_text_and_json(mmm: Mmm, tiny: Path) -> None:
    done = mmm("eval", tiny, "--seed", "3")
    assert (done.status, done.err) == (0, "")
    name, value = done.out.split()
    events = mmm("eval", tiny, "--seed", "3", "--name", "noised", "--json").events
    assert name == "noised.psnr"
    assert [e["event"] for e in events] == ["eval_step", "eval_step", "eval", "done"]
    assert events[-1]["outputs"] == {}
    assert f"{events[-1]['metrics']['noised.psnr']:.4f}" == value


def test_mistakes_are_told_clearly(mmm: Mmm, tiny: Path, tiny_text: str) -> None:
    for words, message in (
        (["--name", "nope"], "no evaluation 'nope'"),
        (["--weights", "none"], "does not exist"),
        (["--weights", "."], "has no weights of this graph's models"),
        (["--device", "gpu"], "cannot be used"),
        (["--set", "promt=x"], "did you mean prompt?"),
    ):
        done = mmm("eval", tiny, *words)
        assert (done.status, done.out) == (2, "")
        assert message in done.err
    tiny.write_text(tiny_text.partition("\neval:")[0])
    assert "no `eval:` section" in mmm("eval", tiny).err
