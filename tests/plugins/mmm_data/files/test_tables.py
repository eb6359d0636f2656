"""Tables: what their values become. The library itself is not needed for that, and says so when it is missing."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from mmm_data.files.config import TableColumn, TableConfig
from mmm_data.files.node import table_columns
from mmm_data.files.tables import Table, convert
from mmm_graph.errors import RunError
from mmm_graph.spec.ports import parse_port


def test_without_the_library_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    config = TableConfig(path=str(tmp_path), columns={"text": TableColumn(key="caption")})
    assert table_columns(config) == {"text": "Text[b]"}
    with pytest.raises(
        RunError, match=r"E711\] data\.huggingface needs the library datasets(?s:.*)pip install"
    ):
        Table(config)


def test_values_become_what_their_columns_say() -> None:
    picture = Image.new("L", (8, 4), 255)
    image = convert(picture, parse_port("Image[b,3,2,2]"))
    assert isinstance(image, torch.Tensor)
    assert image.tolist() == torch.ones(3, 2, 2).tolist()
    assert convert(picture, parse_port("Image*[m,1,h,w]")).shape == (1, 4, 8)
    assert convert("a", parse_port("Text[b]")) == "a"
    assert convert(None, parse_port("Ids[b]?")) is None
    assert convert([1, 2], parse_port("Ids[b,t]")).tolist() == [1, 2]
    assert convert({"array": [0.5, -0.5]}, parse_port("Audio[b,1,n]{8000}")).shape == (1, 2)
    with pytest.raises(ValueError, match="a str is no picture"):
        convert("a.png", parse_port("Image[b,3,2,2]"))
