"""`mmm eval`."""

from __future__ import annotations

import json
from pathlib import Path

import yaml

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


def test_several_evaluations_are_a_table_and_weights_are_laid_over(mmm: Mmm, tiny: Path) -> None:
    spec = yaml.safe_load(tiny.read_text())
    denoised = spec["train"]["stages"]["diffusion"]
    spec["eval"]["other"] = {**spec["eval"]["noised"], "metrics": {"psnr": "psnr.mean"}}
    spec["eval"]["predicted"] = {
        "data": spec["eval"]["noised"]["data"],
        "nodes": denoised["nodes"],
        "metrics": {"diffusion": "loss"},
    }
    tiny.write_text(json.dumps(spec))
    for folder, steps in (("short", 1), ("long", 30)):
        assert mmm("train", tiny, "-o", folder, "--set", f"train.stages.diffusion.steps={steps}").status == 0
    table = mmm("eval", tiny, "--weights", "long").out.splitlines()
    assert table[0].split() == ["psnr", "diffusion"]
    assert [line.split()[0] for line in table[1:]] == ["noised", "other", "predicted"]
    assert len(table[1].split()) == 2 and len(table[0]) == len(table[3])
    short, long = (
        mmm("eval", tiny, "--json", "--weights", w).events[-1]["metrics"] for w in ("short", "long")
    )
    assert short.keys() == long.keys() == {"noised.psnr", "other.psnr", "predicted.diffusion"}
    assert long["predicted.diffusion"] < short["predicted.diffusion"]
    assert long["noised.psnr"] == short["noised.psnr"]
