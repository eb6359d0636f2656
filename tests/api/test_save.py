"""Outputs to files and to what is printed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from mmm_graph.api.save import check_folder, printable, save_outputs
from mmm_graph.api.session import Session
from mmm_graph.errors import InputError, RunError
from mmm_graph.runtime.events import Result

IMAGES = torch.zeros(3, 1, 4, 4)


def test_files_under_the_name_of_the_output_and_no_others(graph: Session, tmp_path: Path) -> None:
    result = Result({"image": IMAGES, "cond": torch.tensor([1])}, {"other": "why"})
    done = save_outputs(graph.graph, graph.registry, result, tmp_path / "a" / "b", origin=None, prefix="r-")
    assert [(s.name, s.record()) for s in done][::2] == [("other", None), ("cond", [1])]
    assert sorted(p.name for p in (tmp_path / "a" / "b").iterdir()) == [f"r-image-{i}.png" for i in range(3)]
    one = save_outputs(graph.graph, graph.registry, Result({"image": IMAGES[:1]}), tmp_path, origin=None)
    assert one[0].record() == str(tmp_path / "image.png")


def test_routed_rows_are_saved_under_their_owner(graph: Session, tmp_path: Path) -> None:
    result = Result({"image": IMAGES}, {}, {"image": (4, 1, 4)})
    saved = save_outputs(graph.graph, graph.registry, result, tmp_path, origin=None)
    assert [f.name for f in saved[0].files] == ["image-4.png", "image-1.png", "image-4-1.png"]


def test_what_cannot_be_written_or_is_no_image(graph: Session, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match=r"output image cannot be saved as png in .*file"):
        save_outputs(graph.graph, graph.registry, Result({"image": IMAGES}), tmp_path / "file", origin=None)
    with pytest.raises(RunError, match="output image cannot be saved as png"):
        save_outputs(graph.graph, graph.registry, Result({"image": IMAGES[:, :0]}), tmp_path, origin=None)
    wrong = {"image": replace(graph.graph.outputs["image"], save={"format": "png", "scale": 0})}
    with pytest.raises(InputError, match="E310"):
        save_outputs(
            replace(graph.graph, outputs=wrong),
            graph.registry,
            Result({"image": IMAGES}),
            tmp_path,
            origin=None,
        )
    assert [p.name for p in tmp_path.iterdir() if p.suffix == ".png"] == []


def test_the_folder_is_checked_before_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_folder(tmp_path / "a" / "b")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "b"):
        with pytest.raises(InputError, match="file is a file; expected a folder"):
            check_folder(folder)
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with pytest.raises(InputError, match="no permission"):
        check_folder(tmp_path / "a")


def test_printable_is_json() -> None:
    values = {
        "t": torch.tensor([1.5, float("nan")]),
        "big": torch.zeros(9, 9),
        "n": (1, None, True, "a"),
        3: IMAGES,
    }
    assert printable(values) == {
        "t": [1.5, "nan"],
        "big": "torch.float32 [9, 9]",
        "n": [1, None, True, "a"],
        "3": [[[[0.0] * 4] * 4]] * 3,
    }
    assert json.dumps(printable([torch.zeros(1, dtype=torch.complex64), object]), allow_nan=False)
