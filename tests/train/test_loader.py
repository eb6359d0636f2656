"""Order, batching and collation of samples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch

from mmm_graph.errors import RunError
from mmm_graph.spec.ports import parse_port
from mmm_graph.train.loader import Loader

COLUMNS = {"x": parse_port("Embeds[b,2]"), "label": parse_port("Ids[b]"), "text": parse_port("Text[b]")}


class Rows:
    def __init__(self, rows: list[Mapping[str, Any]]) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Mapping[str, Any]:
        return self.rows[index]


def row(i: int, **other: Any) -> dict[str, Any]:
    return {"x": torch.tensor([float(i), -float(i)]), "label": i, "text": f"sample {i}", **other}


def make(n: int = 10, **options: Any) -> Loader:
    return Loader(Rows([row(i) for i in range(n)]), COLUMNS, **options)


def test_collates_by_kind() -> None:
    batch = make(shuffle=False).at(1, 3)
    assert batch.indices == (1, 2, 3)
    assert torch.equal(batch.values["x"], torch.tensor([[1.0, -1.0], [2.0, -2.0], [3.0, -3.0]]))
    assert torch.equal(batch.values["label"], torch.tensor([1, 2, 3]))
    assert batch.values["text"] == ["sample 1", "sample 2", "sample 3"]


def test_each_epoch_has_every_sample_once_in_its_own_order() -> None:
    loader = make(seed=3)
    first, second = loader.at(0, 10).indices, loader.at(10, 10).indices
    assert sorted(first) == sorted(second) == list(range(10))
    assert first != second
    assert first == make(seed=3).at(0, 10).indices
    assert first != make(seed=4).at(0, 10).indices


def test_stream_does_not_depend_on_batch_size_or_on_where_it_starts() -> None:
    loader = make(seed=5)
    whole = [i for start in range(0, 24, 8) for i in loader.at(start, 8).indices]
    pieces = [i for start in range(0, 24, 3) for i in make(seed=5).at(start, 3).indices]
    assert whole == pieces  # 8 and 3 both reach over the epoch's end
    assert list(make(seed=5).at(17, 4).indices) == whole[17:21]


def test_batch_larger_than_the_dataset_is_full() -> None:
    assert len(make(3).at(0, 8).indices) == 8


def test_once_keeps_order_and_the_short_tail() -> None:
    assert [b.indices for b in make(5, seed=9).once(2)] == [(0, 1), (2, 3), (4,)]


def test_numpy_and_numbers_become_tensors() -> None:
    rows = Rows([{"x": np.float32([1, 2]), "flag": True}, {"x": np.float32([3, 4]), "flag": False}])
    columns = {"x": parse_port("Any"), "flag": parse_port("Bool[b]")}
    values = Loader(rows, columns, shuffle=False).at(0, 2).values
    assert values["x"].dtype == torch.float32 and values["flag"].tolist() == [True, False]


def test_optional_column_may_be_absent_from_all_rows_only() -> None:
    columns = {"mask": parse_port("Mask[b,2]?")}
    none, some = {"mask": None}, {"mask": torch.ones(2, dtype=torch.bool)}
    assert Loader(Rows([none, none]), columns).at(0, 2).values == {"mask": None}
    with pytest.raises(RunError, match="'mask' of sample 1: found no value"):
        Loader(Rows([some, none]), columns, shuffle=False).at(0, 2)


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (
            {"x": torch.zeros(3)},
            r"'x' of sample 1: found shape \[3\] float32, expected a row of Embeds\[b,2\]",
        ),
        (
            {"x": torch.zeros(2, dtype=torch.float64)},
            r"'x' of sample 1: .*float64, expected shape \[2\] float32",
        ),
        ({"x": "no"}, "'x' of sample 1: found a str"),
        ({"text": 7}, "'text' of sample 1: found a int, expected a str"),
        ({"label": None}, "'label' of sample 1: found no value"),
        ({"more": 1}, r"sample 1 lacks columns \[\] and has undeclared columns \['more'\]"),
    ],
)
def test_bad_output_names_sample_and_column(bad: dict[str, Any], words: str) -> None:
    loader = Loader(Rows([row(0), row(1, **bad)]), COLUMNS, shuffle=False)
    with pytest.raises(RunError, match=words):
        loader.at(0, 2)


def test_failing_dataset_names_the_sample() -> None:
    class Broken(Rows):
        def __getitem__(self, index: int) -> Mapping[str, Any]:
            raise OSError("disk on fire")

    with pytest.raises(RunError, match="failed at sample 0: OSError: disk on fire"):
        Loader(Broken([row(0)]), COLUMNS, shuffle=False).at(0, 1)
    with pytest.raises(RunError, match="no samples"):
        Loader(Rows([]), COLUMNS)
