"""What ranks say of their rows before they gather them; that they do is shown by tests/train/test_ranks.py."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mmm_graph.errors import RunError
from mmm_graph.parallel import rows_of_ranks as module


def heads(monkeypatch: pytest.MonkeyPatch, *rows: Tensor | None) -> list[Tensor]:
    """Of each rank, as it would say it."""
    found: list[Tensor] = []
    monkeypatch.setattr(module.dist, "get_world_size", lambda group: 1)
    monkeypatch.setattr(module.dist, "all_gather", lambda heads, head, group: found.append(head))
    for x in rows:
        module._heads(x, None)
    return found


def test_numbers_of_rows_may_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    module._check(heads(monkeypatch, torch.zeros(2, 3), None, torch.zeros(5, 3)))
    module._check(heads(monkeypatch, None, None))


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (torch.zeros(2, 4), r"rank 1 has torch.float32 \[3\], rank 2 torch.float32 \[4\]"),
        (torch.zeros(2, 3, dtype=torch.int64), r"rank 1 has torch.float32 \[3\], rank 2 torch.int64 \[3\]"),
    ],
)
def test_nothing_else_may(monkeypatch: pytest.MonkeyPatch, other: Tensor, said: str) -> None:
    with pytest.raises(RunError, match=rf"E863.*{said}"):
        module._check(heads(monkeypatch, None, torch.zeros(1, 3), other))
