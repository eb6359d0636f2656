"""`mmm import` and `mmm export`, as a user types them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.cli.conftest import Mmm
from tests.foreign.folders import PLUGIN, checkpoint, single_file


@pytest.fixture
def toy(mmm: Mmm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mmm:
    """The program with the toy plugin, in a folder with a checkpoint `in`."""
    monkeypatch.chdir(tmp_path)
    checkpoint(tmp_path / "in", watermark=["theirs", "Mark"])
    return lambda *words: mmm("--plugin", PLUGIN, *words)


def test_import_check_export(toy: Mmm, tmp_path: Path) -> None:
    done = toy("import", "in", "-o", "g.yaml")
    assert done.status == 0 and "wrote g.yaml" in done.out
    assert "note: watermark (Mark) is left out" in done.err
    assert "# watermark (Mark) is left out" in (tmp_path / "g.yaml").read_text()
    assert toy("check", "g.yaml").status == 0
    done = toy("export", "g.yaml", "-o", "out")
    assert done.status == 0 and done.out == "wrote out: model_index.json, net, scheduler\n"
    assert toy("import", "out", "-o", "again.yaml").status == 0


def test_printed(toy: Mmm, tmp_path: Path) -> None:
    done = toy("import", "in", "-o", "-")
    assert done.status == 0 and "kind: encoder.toy" in done.out and not list(tmp_path.glob("*.yaml"))


def test_json(toy: Mmm) -> None:
    (event,) = toy("import", "in", "-o", "g.yaml", "--json").events
    assert event["outputs"] == {"graph": "g.yaml"} and len(event["notes"]) == 1
    (event,) = toy("export", "g.yaml", "-o", "out", "--json").events
    assert event["outputs"] == {"folder": "out"} and "net" in event["written"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("import", "nothing", "-o", "g.yaml"), "E612"),
        (("import", "in", "-o", "g.json"), "should end in .yaml"),
        (("import", "in", "-o", "there.yaml"), "--force"),
        (("import", "in"), "--out"),
        (("import", "in", "--as", "Nothing", "-o", "g.yaml"), "holds a Nothing, which no plugin can import"),
        (("import", "in", "-o", "g.yaml", "--prediction", "v"), "they are about single files"),
        (("import", "one.safetensors", "-o", "g.yaml", "--tokenizer", "nowhere"), "nowhere does not exist"),
        (("export", "nothing.yaml", "-o", "out"), "E101"),
    ],
)
def test_what_is_refused(toy: Mmm, tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    (tmp_path / "there.yaml").write_text("mine")
    single_file(tmp_path / "one.safetensors")
    done = toy(*words)
    assert done.status == 2 and said in done.err and "Traceback" not in done.err
    assert (tmp_path / "there.yaml").read_text() == "mine" and not (tmp_path / "g.yaml").exists()


def test_force(toy: Mmm, tmp_path: Path) -> None:
    (tmp_path / "g.yaml").write_text("mine")
    assert toy("import", "in", "-o", "g.yaml", "--force").status == 0
    assert "encoder.toy" in (tmp_path / "g.yaml").read_text()


def test_a_single_file(toy: Mmm, tmp_path: Path) -> None:
    single_file(tmp_path / "one.safetensors", stray=torch.zeros(1))
    done = toy("import", "one.safetensors", "-o", "g.yaml")
    assert done.status == 2 and "E612" in done.err and "stray" in done.err and "--ignore" in done.err
    done = toy("import", "one.safetensors", "-o", "g.yaml", "--ignore", "stray")
    assert done.status == 0 and "note: stray* (stray) is left out: you said so" in done.err
    assert "weights: 'file:one.safetensors#net'" in (tmp_path / "g.yaml").read_text()
    assert toy("check", "g.yaml").status == 0
