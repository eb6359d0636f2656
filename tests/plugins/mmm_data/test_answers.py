"""Metrics of answers and retrieval against cases whose answer is known."""

from __future__ import annotations

import pytest
import torch

from mmm_data.metrics.answers import accuracy, exact_match, recall_at_k
from mmm_data.metrics.config import RecallConfig
from mmm_graph.errors import RunError


def test_accuracy_takes_the_highest_score() -> None:
    out = accuracy(torch.tensor([[0.1, 2.0, -1.0], [3.0, 0.0, 2.9]]), torch.tensor([1, 2]))
    assert out["predicted"].tolist() == [1, 0]
    assert out["correct"].tolist() == [True, False] and out["mean"] == 0.5


def test_texts_match_but_for_capitals_and_white_space() -> None:
    out = exact_match(["Yes", " 1 4", "14", "no"], ["yes ", "1  4", "1 4", "none"])
    assert out["correct"].tolist() == [True, True, False, False] and out["mean"] == 0.5


def test_recall_counts_any_of_the_k_nearest_keys_with_the_id_of_the_query() -> None:
    query = torch.eye(3)
    keys = torch.tensor([[0.9, 0.1, 0.0], [1.0, 0.0, 0.0], [0.0, 0.2, 1.0]]) * 5  # length does not count
    assert recall_at_k(query, keys, RecallConfig(k=1))["correct"].tolist() == [False, False, True]
    assert recall_at_k(query, keys, RecallConfig(k=2))["correct"].tolist() == [True, False, True]
    ids = torch.tensor([7, 9, 8]), torch.tensor([9, 7, 8])
    assert recall_at_k(query, keys, RecallConfig(k=1), *ids)["correct"].tolist() == [True, False, True]
    assert recall_at_k(query, keys, RecallConfig(k=9))["mean"] == 1


def test_recall_needs_a_rule_for_what_belongs_together() -> None:
    with pytest.raises(RunError, match="E821"):
        recall_at_k(torch.eye(3), torch.eye(3)[:2], RecallConfig())
    with pytest.raises(RunError, match="E821"):
        recall_at_k(torch.eye(3), torch.eye(3), RecallConfig(), torch.arange(3))
