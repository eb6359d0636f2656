"""Samples in tar files."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pytest
import torch
from PIL import Image

from mmm_data.files.config import ShardsConfig
from mmm_data.files.node import shard_columns
from mmm_data.files.shards import Shards

COLUMNS = {"image": "jpg;png", "text": "txt", "label": "cls", "said": "json:caption"}


def shard(path: Path, numbers: range, skip: int = -1) -> None:
    with tarfile.open(path, "w") as tar:
        for number in numbers:
            picture = io.BytesIO()
            Image.new("RGB", (4, 4), (number, 0, 0)).save(picture, "png")
            files = {
                "png": picture.getvalue(),
                "txt": f"text {number}\n".encode(),
                "cls": str(number).encode(),
            }
            files["json"] = json.dumps({"caption": f"said {number}"}).encode()
            for ending, content in files.items():
                if number != skip or ending != "txt":
                    info = tarfile.TarInfo(f"part.a/{number:04}.{ending}")
                    info.size = len(content)
                    tar.addfile(info, io.BytesIO(content))


def test_any_sample_of_any_shard_is_read_by_itself(tmp_path: Path) -> None:
    shard(tmp_path / "b.tar", range(3, 6), skip=4)
    shard(tmp_path / "a.tar", range(3))
    config = ShardsConfig(path=str(tmp_path / "*.tar"), size=4, columns=COLUMNS)
    data = Shards(config)
    assert shard_columns(config) == {
        "image": "Image[b,3,4,4]",
        "text": "Text[b]",
        "label": "Ids[b]",
        "said": "Text[b]",
    }
    assert [data[i]["label"] for i in (4, 0, 2, 3)] == [5, 0, 2, 3]  # 4 has no text
    row = data[4]
    assert (row["text"], row["said"]) == ("text 5", "said 5")
    assert isinstance(row["image"], torch.Tensor)
    assert round(float(row["image"][0, 0, 0]) * 255) == 5


def test_what_cannot_be_opened_says_why(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no file fits .*\*\.tar"):
        Shards(ShardsConfig(path=str(tmp_path / "*.tar")))
    shard(tmp_path / "a.tar", range(2))
    with pytest.raises(
        ValueError, match=r"no sample of 2 has files for .*wav.*the first has cls, json, png, txt"
    ):
        Shards(ShardsConfig(path=str(tmp_path / "a.tar"), columns={"sound": "wav"}))
    (tmp_path / "a.tar").write_bytes(b"no tar" * 400)
    with pytest.raises(ValueError, match=r"a\.tar is no tar file"):
        Shards(ShardsConfig(path=str(tmp_path / "a.tar")))
