"""Files are replaced whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmm_graph.train.files import replacing, write_json, write_text


def test_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with pytest.raises(ZeroDivisionError), replacing(path) as part:
        part.write_text("half")
        raise ZeroDivisionError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_makes_folders_and_replaces(tmp_path: Path) -> None:
    write_json(tmp_path / "x/y.json", {"a": 1})
    write_json(tmp_path / "x/y.json", {"a": "é"})
    assert (tmp_path / "x/y.json").read_text(encoding="utf-8") == '{\n "a": "é"\n}\n'
