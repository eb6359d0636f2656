"""One file holds tensors and numbers exactly; damage and mix-ups are named."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mmm_graph.errors import RunError
from mmm_graph.train.checkpoint import Checkpoint, check_identity, load_checkpoint, save_checkpoint


def test_round_trip_is_exact(tmp_path: Path) -> None:
    tensors = {"model/a/w": torch.randn(3, 2), "optim/a/w/step": torch.tensor(3.0), "ema/a/w": torch.ones(1)}
    point = Checkpoint("fit", 3, 7, {"seed": "7"}, {"seconds": 0.1 + 0.2, "optim": {"a/b": 1e-17}}, tensors)
    save_checkpoint(tmp_path / "deep/fit.safetensors", point)
    back = load_checkpoint(tmp_path / "deep/fit.safetensors")
    assert (back.stage, back.step, back.seed, back.identity, back.counters) == (
        "fit",
        3,
        7,
        point.identity,
        point.counters,
    )
    assert all(torch.equal(back.tensors[name], tensor) for name, tensor in tensors.items())
    assert back.part("optim").keys() == {"a/w/step"}
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["fit.safetensors"]


def test_damage_is_an_error_of_ours(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    with pytest.raises(RunError, match="E830"):
        load_checkpoint(path)
    path.write_bytes(b"no tensors here at all")
    with pytest.raises(RunError, match=r"E830.*cannot read"):
        load_checkpoint(path)
    from safetensors.torch import save_file

    save_file({"a": torch.ones(1)}, path)
    with pytest.raises(RunError, match="is no training checkpoint"):
        load_checkpoint(path)


def test_identity_names_every_difference(tmp_path: Path) -> None:
    check_identity(tmp_path, {"a": "1"}, {"a": "1"})
    with pytest.raises(RunError, match=r"a: was 1, is 2; b: was None, is 3"):
        check_identity(tmp_path, {"a": "1"}, {"a": "2", "b": "3"})
