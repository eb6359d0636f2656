"""Plugins as the command line and the environment name them; JSON lines."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mmm_graph.cli.app import emit
from tests.cli.conftest import Mmm

BROKEN = "import no_such_module\n"
FAILING = """
from mmm_graph.registry import hookimpl, op_type

def boom(x):
    raise KeyError("kaputt")

def weird(x):
    return {"z": 1}

@hookimpl
def mmm_register_nodes():
    ports = {"x": "Text[b]", "returns": {"y": "Text[b]"}}
    return [op_type("toy.boom", "failing:boom", **ports), op_type("toy.weird", "failing:weird", **ports)]

@hookimpl
def mmm_run_event(event):
    raise ValueError("observer")
"""
GRAPH = 'mmm: 1\ninputs: {x: "Text[b]"}\nnodes: {a: {op: KIND, in: {x: $in.x}}}\noutputs: {y: a}\n'


def test_a_plugin_file_that_is_broken_ends_the_program(mmm: Mmm, tiny: Path) -> None:
    Path("broken.py").write_text(BROKEN)
    done = mmm("--plugin", "broken.py", "check", tiny)
    assert done.status == 2
    assert "broken.py:1:1 error[E401] plugin broken: ModuleNotFoundError" in done.err
    assert "there is no plugin file none.py" in mmm("--plugin", "none.py", "check", tiny).err


def test_nodes_and_observers_that_fail(mmm: Mmm, tiny: Path) -> None:
    Path("failing.py").write_text(FAILING)
    Path("g.yaml").write_text(GRAPH.replace("KIND", "toy.boom"))
    assert mmm("check", "g.yaml").status == 2
    assert mmm("--plugin", "failing.py", "check", "g.yaml").status == 0
    done = mmm("--plugin", "failing.py", "run", "g.yaml", "--set", "x=a")
    assert done.status == 1
    assert "g.yaml:3:12 error[E701] a (toy.boom) failed: KeyError: 'kaputt'" in done.err
    assert done.err.count("warning[W401]") == 1
    Path("g.yaml").write_text(GRAPH.replace("KIND", "toy.weird"))
    done = mmm("--plugin", "failing.py", "run", "g.yaml", "--set", "x=a", "--json")
    assert [e["event"] for e in done.events if e["event"] in ("warning", "error", "done")] == [
        "warning",
        "error",
    ]
    assert (done.status, done.err) == (1, "")


def test_the_environment_chooses_plugins(mmm: Mmm, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMM_PLUGINS", "vae, text")
    done = mmm("check", tiny)
    assert done.status == 2
    assert "denoiser.dit" in done.err
    monkeypatch.setenv("MMM_PLUGINS", "vae,txt")
    done = mmm("check", tiny)
    assert done.status == 2
    assert "txt" in done.err


def test_strict_makes_any_broken_plugin_fatal(mmm: Mmm, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("broken.py").write_text(BROKEN)
    monkeypatch.setenv("MMM_STRICT", "1")
    assert mmm("--plugin", "broken.py", "check", tiny).status == 2
    monkeypatch.setenv("MMM_STRICT", "0")
    assert mmm("check", tiny).status == 0


def test_lines_are_json_whatever_is_in_them(capsys: pytest.CaptureFixture[str]) -> None:
    emit("done", metrics={"loss": float("nan"), "best": float("-inf"), "n": (1, 2.5)}, path=Path("a"))
    line = capsys.readouterr().out
    assert json.loads(line) == {
        "event": "done", "metrics": {"loss": "nan", "best": "-inf", "n": [1, 2.5]}, "path": "a",
    }  # fmt: skip
