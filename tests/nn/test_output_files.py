"""What savers share; the savers of pictures, videos and sounds are tested beside them."""

from __future__ import annotations

from pathlib import Path
from typing import IO

import pytest

from mmm_graph.config import Config
from mmm_graph.errors import InputError
from mmm_graph.nn.output_files import numbered, read_options, write_whole


class Loud(Config):
    loud: int = 1


def test_names_of_one_file_and_of_a_batch() -> None:
    base = Path("a.b/c.d")
    assert numbered(base, ".wav", 0) == [] and numbered(base, ".wav", 1) == [Path("a.b/c.d.wav")]
    assert [p.name for p in numbered(base, ".wav", 11)][::10] == ["c.d-00.wav", "c.d-10.wav"]


def test_an_old_file_stays_when_writing_fails(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "x"
    write_whole(target, lambda file: None)

    def stopped(file: IO[bytes]) -> None:
        file.write(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_whole(target, stopped)
    assert target.read_bytes() == b"" and list(target.parent.iterdir()) == [target]


def test_options_are_read_and_wrong_ones_named() -> None:
    assert read_options({"format": "x", "loud": 2}, Loud).loud == 2
    with pytest.raises(InputError, match=r"E310.*lout(.|\n)*options are format, loud, and that is all"):
        read_options({"lout": 2}, Loud, ", and that is all")
