"""Saving: whole or not at all."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
import torch

from mmm_graph.checkpoint.reader import open_checkpoint
from mmm_graph.checkpoint.save import save_tensors


def test_a_failed_save_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    save_tensors({"x": torch.ones(2)}, path)
    with pytest.raises(Exception, match="not"):
        save_tensors({"x": torch.ones(2)}, path, metadata={"bad": 3})  # type: ignore[dict-item]
    ((_, value),) = open_checkpoint(path).read(["x"])
    assert torch.equal(value, torch.ones(2)) and len(list(tmp_path.iterdir())) == 1


def test_others_may_read_what_the_users_mask_lets_them(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        save_tensors({"x": torch.zeros(2)}, tmp_path / "w.safetensors")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "w.safetensors").stat().st_mode) == 0o644
