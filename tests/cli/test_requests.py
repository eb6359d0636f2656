"""Lines of JSON -> requests."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from mmm_graph.cli.requests import read_requests
from mmm_graph.errors import InputError


def test_ids_and_seeds_are_filled_in(tmp_path: Path) -> None:
    path = tmp_path / "r"
    path.write_text('{"a": "x\u2028y"}\n\n{"id": 5, "seed": 1}\r\n{"id": "2"}\n{}\n', encoding="utf-8")
    lines = read_requests(path, [7, 8])
    assert [line.id for line in lines] == ["0", "5", "2", "3"]
    assert [line.item["seed"] for line in lines] == [[7, 8], 1, [7, 8], [7, 8]]
    assert lines[0].item["a"] == "x\u2028y"
    assert not any(line.error for line in lines)


def test_a_number_that_is_taken_is_not_given_again(tmp_path: Path) -> None:
    path = tmp_path / "r"
    path.write_text('{"id": "1"}\n{}\n')
    assert [(line.id, line.error) for line in read_requests(path)] == [("1", None), ("line2", None)]


@pytest.mark.parametrize(
    "text", ["{", "[" * 100_000, "3", "null", '{"id": ""}', '{"id": "a/b"}', '{"id": ".."}', '{"id": {}}']
)
def test_a_wrong_line_has_its_place(tmp_path: Path, text: str) -> None:
    path = tmp_path / "r"
    path.write_text("{}\n" + text)
    first, second = read_requests(path)
    assert first.error is None
    assert second.error is not None
    assert str(second.error).startswith(f"{path}:2:1 error[E102]")


def test_stdin_and_what_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("{}\nx"))
    assert "stdin:2:1" in str(read_requests(Path("-"))[1].error)
    (tmp_path / "r").write_bytes(b"\xff")
    for path, message in (
        (tmp_path / "r", "cannot be read"),
        (tmp_path, "cannot be read"),
        (tmp_path / "n", "no such file"),
    ):
        with pytest.raises(InputError, match=message):
            read_requests(path)
