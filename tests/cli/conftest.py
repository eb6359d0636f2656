"""The program in this process: `mmm("run", FILE)` gives its exit status and what it printed."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mmm_graph.cli.main import main


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    status: int
    out: str
    err: str

    @property
    def events(self) -> list[dict[str, Any]]:
        """The lines of --json."""
        return [json.loads(line) for line in self.out.splitlines()]


Mmm = Callable[..., Done]


@pytest.fixture
def mmm(capsys: pytest.CaptureFixture[str]) -> Mmm:
    """Runs the program; anything but an orderly exit fails the test."""

    def call(*words: object) -> Done:
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main([str(word) for word in words])
        out, err = capsys.readouterr()
        return Done(int(end.value.code or 0), out, err)

    return call


@pytest.fixture(scope="session")
def tiny_text(root: Path) -> str:
    return (root / "tests" / "graphs" / "tiny.yaml").read_text(encoding="utf-8")


@pytest.fixture
def tiny(tmp_path: Path, tiny_text: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`tiny.yaml`, alone in a folder which is the working directory."""
    monkeypatch.chdir(tmp_path)
    path = Path("tiny.yaml")
    path.write_text(tiny_text, encoding="utf-8")
    return path
