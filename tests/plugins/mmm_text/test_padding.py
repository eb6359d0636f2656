import pytest
import torch

from mmm_graph.errors import RunError
from mmm_text.padding import Padding

ROWS = [[5, 6, 7], [8], []]


@pytest.mark.parametrize(
    ("padding", "ids"),
    [
        (Padding(1), [[5, 6, 7], [8, 1, 1], [1, 1, 1]]),
        (Padding(1, left=True), [[5, 6, 7], [1, 1, 8], [1, 1, 1]]),
        (Padding(1, length=4, left=True), [[1, 5, 6, 7], [1, 1, 1, 8], [1, 1, 1, 1]]),
    ],
)
def test_rows_are_padded_on_a_side(padding, ids):
    got, mask = padding.ids(ROWS)
    assert got.tolist() == ids and (got.dtype, mask.dtype) == (torch.int64, torch.bool)
    assert [row[keep].tolist() for row, keep in zip(got, mask, strict=True)] == ROWS
    assert torch.equal(padding.fill(ROWS, -100) == -100, ~mask)


def test_rows_of_one_length_need_no_token_to_pad_with():
    assert Padding(None).ids([[0, 2], [3, 4]])[1].all()
    with pytest.raises(RunError, match=r"E707(.|\n)*`eos`"):
        Padding(None).ids(ROWS)
