"""A token is drawn as often as it is likely; logits that are no numbers are refused; answers end where they end."""

from __future__ import annotations

import pytest
import torch

from mmm_generate import config as c
from mmm_generate import ops
from mmm_graph.errors import RunError
from mmm_graph.nn.noise import Noise


def noise(rows: int, turn: int = 0) -> Noise:
    return Noise((0,), "node", tuple(range(rows)), (turn,))


def test_tokens_are_drawn_as_often_as_they_are_likely() -> None:
    logits = torch.tensor([0.5, 2.0, float("-inf"), 1.0, -1.0])
    drawn = ops.pick(logits.expand(20000, 5), c.PickConfig(sample=True), noise(20000))
    counts = drawn["id"][:, 0].bincount(minlength=5) / 20000
    assert torch.allclose(counts, logits.softmax(-1), atol=0.012) and counts[2] == 0
    said = logits.log_softmax(-1)[drawn["id"][:, 0]]
    assert torch.allclose(drawn["logprob"][:, 0], said, atol=1e-6)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_logits_that_are_no_numbers(bad: float) -> None:
    logits = torch.zeros(2, 5)
    logits[1, 3] = bad
    with pytest.raises(RunError, match="row 1 has no likeliest token"):
        ops.pick(logits, c.PickConfig(), noise(2))
    with pytest.raises(RunError, match="row 0 has no likeliest token"):
        ops.pick(torch.full((1, 5), float("-inf")), c.PickConfig(), noise(1))


def test_what_follows_an_end_is_padding() -> None:
    done = torch.tensor([False, True, False])
    ids, new = torch.zeros(3, 0, dtype=torch.int64), torch.tensor([[4], [4], [7]])
    found = ops.stop(new, done, 2, ids, c.StopConfig(ids=(7,), pad_id=9))
    assert found["id"].tolist() == [[4], [9], [7]] and found["mask"].tolist() == [[True], [False], [True]]
    assert found["done"].tolist() == [False, True, True] and found["more"] and not found["over"]
    last = ops.stop(new, done, 1, ids, c.StopConfig(ids=(7,), pad_id=9))
    assert last["over"] and not last["more"]
