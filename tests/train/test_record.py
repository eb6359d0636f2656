"""train.json survives a round trip, and what is not one is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mmm_graph.errors import RunError
from mmm_graph.train.record import StageRecord, machine, read_records, versions, write_records


def test_round_trip(tmp_path: Path) -> None:
    record = StageRecord(
        3, 12, 1.5, {"loss": 0.1}, {"fit.mse": 2.0}, {"a": "init default"}, ("a",), 7, "mmm train x"
    )
    assert read_records(tmp_path) == {}
    write_records(tmp_path, {"fit": record})
    assert read_records(tmp_path) == {"fit": record}


@pytest.mark.parametrize("text", ["[]", "{}", '{"stages": {"fit": {"models": [], "speed": 1}}}', "half a fi"])
def test_other_files_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "train.json").write_text(text)
    with pytest.raises(RunError, match="E832"):
        read_records(tmp_path)


def test_says_what_it_ran_on() -> None:
    assert versions()["torch"] == torch.__version__
    assert "threads" in machine(torch.device("cpu"))
