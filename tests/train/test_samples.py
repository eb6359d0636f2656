"""What is put around datasets."""

from __future__ import annotations

import pytest

from mmm_graph.errors import RunError
from mmm_graph.train.order import Pick
from mmm_graph.train.samples import BadSamples, Careful, Concat, draw, size_of
from tests.train.streams import Plain, Rows, RowsConfig, columns

NAMES = frozenset(columns(RowsConfig()))


def test_a_sample_that_cannot_be_read_is_always_replaced_by_the_same_one() -> None:
    torn = Careful(Rows(RowsConfig(count=8, bad=(2, 5))), "rows", NAMES)
    first = torn[2]["number"]
    assert first not in (2, 5)
    assert torn.draw(2, 7)["number"] == first == Careful(torn.dataset, "other", NAMES)[2]["number"]
    assert torn.bad["rows 2"] == "OSError: row 2 is torn"
    assert torn[3]["number"] == 3


def test_when_nothing_can_be_read_it_says_why() -> None:
    torn = Careful(Rows(RowsConfig(count=2, bad=(0, 1))), "rows", NAMES)
    with pytest.raises(RunError, match=r"E823.*rows sample 0 and 64 others.*row 0 is torn"):
        torn[0]


def test_a_sample_with_other_columns_is_a_mistake_of_the_dataset() -> None:
    with pytest.raises(RunError, match=r"E821.*lacks columns \['more'\]"):
        Careful(Rows(RowsConfig()), "", NAMES | {"more"})[0]


@pytest.mark.parametrize(("limit", "size", "most"), [(0, 100, 0), (0.01, 300, 3), (0.01, 99, 0), (5, 10, 5)])
def test_a_limit_is_a_share_or_a_number(limit: float, size: int, most: int) -> None:
    bad = BadSamples(limit, size)
    bad.add({f"rows {i}": "torn" for i in range(most)})
    bad.add({f"rows {i}": "torn" for i in range(most)})  # met again
    with pytest.raises(RunError, match=rf"E823\] {most + 1} of {size} samples .*sample rows 0: torn"):
        bad.add({"rows 0": "torn", f"rows {most}": "torn"})


def test_datasets_end_to_end_have_the_columns_of_all() -> None:
    rows, plain = RowsConfig(count=3), RowsConfig(count=4, start=50)
    both = Concat(
        [Careful(Rows(rows), "a", NAMES), Careful(Plain(plain), "b", frozenset(("x", "number")))], NAMES
    )
    assert (len(both), both.firsts()) == (7, [0, 3])
    assert both[2]["number"] == 2
    assert both[3]["number"] == 50
    assert both[3]["ids"] is None
    assert size_of(both, Pick(4, 0), "ids") == ()
    assert size_of(both, Pick(2, 0), "ids") == (3,)
    assert size_of(both, Pick(2, 0), "image") == (2, 2)
    with pytest.raises(RunError, match=r"E827.*'much'"):
        size_of(both, Pick(2, 0), "much")


def test_a_dataset_may_draw_by_epoch() -> None:
    class Drawn(Rows):
        def draw(self, index: int, epoch: int) -> tuple[int, int]:
            return index, epoch

    assert draw(Drawn(RowsConfig()), Pick(3, 2)) == (3, 2)
