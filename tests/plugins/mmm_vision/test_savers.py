"""Files: bytes, names, metadata, and nothing half-written."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mmm_graph.errors import InputError
from mmm_vision.savers.files import save_jpg, save_png, to_pillow


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_png_is_lossless_at_8_bit(tmp_path: Path, channels: int) -> None:
    value = torch.randint(256, (1, channels, 5, 7)) / 255
    (path,) = save_png(value, tmp_path / "deep" / "x", {"format": "png"}, {})
    pixels = np.asarray(Image.open(path)).reshape(5, 7, channels)
    assert np.array_equal(pixels, (value[0] * 255).round().byte().permute(1, 2, 0).numpy())


def test_batch_makes_numbered_files_and_grid_one(tmp_path: Path) -> None:
    value = torch.rand(11, 1, 4, 4)
    assert [p.name for p in save_png(value, tmp_path / "a", {}, {})][:2] == ["a-00.png", "a-01.png"]
    (sheet,) = save_png(value, tmp_path / "b", {"grid": True, "columns": 4, "gap": 0, "scale": 2}, {})
    assert sheet.name == "b.png" and Image.open(sheet).size == (32, 24)
    assert save_png(value[:0], tmp_path / "c", {}, {}) == []


def test_png_metadata_comes_back_and_bytes_repeat(tmp_path: Path) -> None:
    metadata = {"mmm_graph": '{"prompt": "sieben – 七"}', "mmm_seed": "7"}
    value = torch.rand(1, 1, 4, 4)
    (one,) = save_png(value, tmp_path / "one", {}, metadata)
    (two,) = save_png(value, tmp_path / "two", {}, metadata)
    image = Image.open(one)
    image.load()
    assert image.text == metadata  # type: ignore[attr-defined]
    assert one.read_bytes() == two.read_bytes()


def test_jpg_metadata_comes_back(tmp_path: Path) -> None:
    (path,) = save_jpg(torch.rand(1, 4, 8, 8), tmp_path / "x", {"quality": 50}, {"seed": "7"})
    image = Image.open(path)
    assert image.mode == "RGB" and json.loads(image.info["comment"]) == {"seed": "7"}


def test_unknown_option_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="colums"):
        save_png(torch.rand(1, 1, 4, 4), tmp_path / "x", {"colums": 2}, {})
    assert list(tmp_path.iterdir()) == []


def test_nothing_half_written_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (path,) = save_png(torch.zeros(1, 1, 4, 4), tmp_path / "x", {}, {})
    before = path.read_bytes()

    def interrupted(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Image.Image, "save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        save_png(torch.ones(1, 1, 4, 4), tmp_path / "x", {}, {})
    assert [p.name for p in tmp_path.iterdir()] == ["x.png"] and path.read_bytes() == before


def test_values_are_rounded_and_cut() -> None:
    image = to_pillow(torch.tensor([[[-1.0, 0.5, 2.0]]]))
    assert np.asarray(image).tolist() == [[0, 128, 255]]
