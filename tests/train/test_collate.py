"""Samples -> columns of a batch: padding, lists, and columns that samples lack."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from mmm_graph.errors import RunError
from mmm_graph.spec.ports import parse_port
from mmm_graph.train.collate import collate


def batch(rows: list[dict[str, Any]], **types: str) -> dict[str, Any]:
    columns = {name.replace("__", "."): parse_port(text) for name, text in types.items()}
    return collate(columns, rows, range(10, 10 + len(rows)))


@pytest.mark.parametrize(
    ("type_", "shapes", "padded"),
    [
        ("Ids[b,t]", [(2,), (4,)], (2, 4)),
        ("Mask[b,t]", [(1,), (3,)], (2, 3)),
        ("Embeds[b,t,5]", [(2, 5), (3, 5)], (2, 3, 5)),
        ("Mel[b,f,8]", [(2, 8), (6, 8)], (2, 6, 8)),
        ("Audio[b,1,n]{16000}", [(1, 7), (1, 3)], (2, 1, 7)),
    ],
)
def test_lengths_that_differ_are_filled_up_at_the_end(
    type_: str, shapes: list[tuple[int, ...]], padded: tuple[int, ...]
) -> None:
    rows = [{"x": torch.ones(shape)} for shape in shapes]
    found = batch(rows, x=type_)["x"]
    assert found.shape == padded
    assert found.sum() == sum(row["x"].numel() for row in rows)
    for row, value in zip(rows, found, strict=True):
        assert torch.equal(value[tuple(slice(n) for n in row["x"].shape)], row["x"])


def test_a_mask_is_made_of_lengths_and_labels_are_filled_with_what_losses_leave_out() -> None:
    rows = [{"ids": [5, 6], "labels": [5, 6], "mask": None}, {"ids": [7], "labels": [7], "mask": None}]
    found = batch(rows, ids="Ids[b,t]", labels="Ids[b,t]", mask="Mask[b,t]")
    assert found["mask"].tolist() == [[True, True], [True, False]]
    assert found["labels"].tolist() == [[5, 6], [7, -100]]
    assert found["ids"].tolist() == [[5, 6], [7, 0]]
    own = [{"ids": [5, 6], "mask": [True, False]}, {"ids": [7], "mask": [True]}]
    assert batch(own, ids="Ids[b,t]", mask="Mask[b,t]")["mask"].tolist() == [[True, False], [True, False]]


def test_images_are_never_filled_up() -> None:
    rows = [{"x": torch.zeros(3, 4, 4)}, {"x": torch.zeros(3, 4, 5)}]
    with pytest.raises(RunError, match=r"E821.*'x' of sample 11.*(?s:.*)Image\*"):
        batch(rows, x="Image[b,3,h,w]")
    assert [i.shape[-1] for i in batch(rows, x="Image*[m,3,h,w]")["x"]] == [4, 5]
    several = [{"x": [torch.zeros(3, 4, 4)] * 2}, {"x": []}, {"x": torch.zeros(3, 1, 1)}]
    assert len(batch(several, x="Image*[m,3,h,w]")["x"]) == 3  # m is over the whole batch


def test_rows_that_lack_a_column_are_left_out_and_the_others_are_named() -> None:
    image = torch.ones(1, 2, 2)
    rows = [{"image": None}, {"image": image}, {"image": None}, {"image": 2 * image}]
    found = batch(rows, image="Image[r,1,2,2]?", image__rows="Ids[r]?")
    assert found["image"].shape == (2, 1, 2, 2)
    assert found["image.rows"].tolist() == [1, 3]
    nothing = batch(rows[::2], image="Image[r,1,2,2]?", image__rows="Ids[r]?")
    assert nothing == {"image": None, "image.rows": None}
    with pytest.raises(
        RunError, match=r"E824.*'image' of sample 10: found no value(?s:.*)Image\[r, \.\.\.\]"
    ):
        batch(rows, image="Image[b,1,2,2]?")


def test_columns_of_one_axis_are_lacked_together() -> None:
    types = {"a": "Ids[r]?", "a__rows": "Ids[r]?", "b": "Text[r]?", "b__rows": "Ids[r]?"}
    found = batch([{"a": 1, "b": "x"}, {"a": None, "b": None}], **types)
    assert (found["a"].tolist(), found["b"], found["b.rows"].tolist()) == ([1], ["x"], [0])
    with pytest.raises(RunError, match=r"E824.*sample 11 has some of the columns"):
        batch([{"a": 1, "b": "x"}, {"a": 1, "b": None}], **types)
