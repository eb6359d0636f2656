"""Rows in memory and on disk."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mmm_graph.errors import RunError
from mmm_graph.train.cache_store import DiskStore, MemoryStore

NAMES = [bytes([i]) * 16 for i in range(6)]
ROWS = torch.arange(12.0, dtype=torch.bfloat16).reshape(6, 2)


def test_both_give_back_rows_in_the_order_that_is_asked_for(tmp_path: Path) -> None:
    for store in (MemoryStore(), DiskStore(tmp_path)):
        store.add(NAMES[:4], ROWS[:4])
        assert NAMES[3] in store and NAMES[4] not in store
        assert torch.equal(store.take([NAMES[2], NAMES[0], NAMES[2]]), ROWS[[2, 0, 2]])
        with pytest.raises(KeyError):
            store.take([NAMES[5]])


def test_two_trainings_share_a_folder_and_shards_are_whole(tmp_path: Path) -> None:
    one, two = DiskStore(tmp_path, shard_bytes=16), DiskStore(tmp_path, shard_bytes=16)
    one.add(NAMES[:2], ROWS[:2])
    assert not list(tmp_path.iterdir())  # it waits
    for store in (one, two):
        store.add(NAMES[2:4], ROWS[2:4])
    two.add(NAMES[4:], ROWS[4:])
    one.flush()
    two.flush()
    later = DiskStore(tmp_path)
    assert torch.equal(later.take(NAMES), ROWS)
    assert {p.suffix for p in tmp_path.iterdir()} == {".safetensors"}


def test_a_file_that_is_no_shard_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(b"nonsense")
    with pytest.raises(RunError, match=r"E857.*x\.safetensors is no shard of a cache"):
        DiskStore(tmp_path)
