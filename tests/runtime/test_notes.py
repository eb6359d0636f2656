"""Notes of ranks in a file that all map."""

from __future__ import annotations

from pathlib import Path
from timeit import timeit

from mmm_graph.runtime.notes import SLOT_BYTES, Notes


def test_the_last_note_of_each_rank_is_read(tmp_path: Path) -> None:
    board = Notes.create(tmp_path / "notes", 3)
    other = Notes(tmp_path / "notes")
    assert board.read(1) == (0, "")
    writer = other.writer(1)
    writer.write("slice draw/denoise")
    writer.write("add")
    assert board.read(1) == (2, "add") and board.read(0) == board.read(2) == (0, "")
    other.close()
    board.close()


def test_a_long_note_is_cut_between_letters(tmp_path: Path) -> None:
    board = Notes.create(tmp_path / "notes", 2)
    board.writer(0).write("é" * SLOT_BYTES)
    count, text = board.read(0)
    assert count == 1 and set(text) == {"é"} and len(text.encode()) > SLOT_BYTES - 12
    assert board.read(1) == (0, "")


def test_a_note_is_cheap(tmp_path: Path) -> None:
    write = Notes.create(tmp_path / "notes", 1).writer(0).write
    assert (
        min(timeit(lambda: write("slice draw/denoise/steps/predict_cond"), number=1000) for _ in range(5))
        < 0.02
    )
