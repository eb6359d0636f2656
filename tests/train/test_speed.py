"""What a row of the log says of speed and memory."""

from __future__ import annotations

import torch

from mmm_graph.train.speed import speed_row


def test_rates_and_the_memory_of_this_process() -> None:
    row = speed_row(50, 0, 2.0, torch.device("cpu"))
    assert row["samples_per_s"] == 25 and "tokens_per_s" not in row
    assert 0.05 < row["memory_gb"] < 1000
    assert speed_row(50, 3000, 2.0, torch.device("cpu"))["tokens_per_s"] == 1500
