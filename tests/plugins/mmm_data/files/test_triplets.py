"""Anchors, positives and negatives."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image

from mmm_data.files.config import TripletsConfig
from mmm_data.files.triplets import Triplets


def pictures(folder: Path, **classes: int) -> Path:
    for k, (name, count) in enumerate(classes.items()):
        (folder / name).mkdir()
        for i in range(count):
            Image.new("L", (2, 2), 40 * k + i).save(folder / name / f"{i}.png")
    return folder


def level(image: object) -> int:
    """Which picture it is: 40 x class + number."""
    assert isinstance(image, torch.Tensor)
    return round(float(image[0, 0, 0]) * 255)


def test_positive_is_another_of_the_class_and_negative_of_another_class(tmp_path: Path) -> None:
    data = Triplets(TripletsConfig(path=str(pictures(tmp_path, a=4, b=1, c=3)), size=2, channels=1))
    assert len(data) == 7  # the one of b has no positive
    seen: set[tuple[str, int, int]] = set()
    for index in range(len(data)):
        for epoch in range(20):
            row = data.draw(index, epoch)
            anchor, positive, negative = (level(row[k]) for k in ("anchor", "positive", "negative"))
            assert anchor != positive
            assert anchor // 40 == positive // 40 == row["label"] != negative // 40 == row["negative_label"]
            seen.add(("+", anchor, positive))
            seen.add(("-", anchor // 40, negative))
    assert len(seen) == 4 * 3 + 3 * 2 + (1 + 3) + (4 + 1)  # every choice comes up


def test_the_choice_is_by_seed_and_epoch(tmp_path: Path) -> None:
    path = str(pictures(tmp_path, a=5, b=5))

    def choices(seed: int, epoch: int) -> list[int]:
        data = Triplets(TripletsConfig(path=path, size=2, channels=1, seed=seed))
        return [level(data.draw(i, epoch)["negative"]) for i in range(10)]

    assert choices(0, 1) == choices(0, 1)
    assert choices(0, 1) != choices(0, 2)
    assert choices(0, 1) != choices(1, 1)


def test_ids_in_a_table_are_classes(tmp_path: Path) -> None:
    pictures(tmp_path, x=4)
    (tmp_path / "ids.csv").write_text("image,id\nx/0.png,p\nx/1.png,q\nx/2.png,p\nx/3.png,q\n")
    row = Triplets(TripletsConfig(path=str(tmp_path), table="ids.csv", size=2, channels=1))[0]
    assert [level(row[k]) for k in ("anchor", "positive")] == [0, 2]
    assert level(row["negative"]) in (1, 3)


def test_one_class_is_not_enough(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"two classes.*found 3 pictures in 1 classes"):
        Triplets(TripletsConfig(path=str(pictures(tmp_path, a=3))))
