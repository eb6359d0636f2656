"""Messages between processes, over gloo."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest
import torch

from mmm_graph.errors import MmmError
from mmm_graph.runtime.launch import launch

pytestmark = pytest.mark.dist
SCRIPT = str(Path(__file__).parent / "ranks.py")


def run(names: str, ranks: int, timeout_s: float = 60.0, device: str = "cpu") -> MmmError | None:
    errors: list[MmmError] = []
    status = launch(
        [sys.executable, SCRIPT, names, str(timeout_s), device], ranks, timeout_s, tell=errors.append
    )
    assert len(errors) == (status != 0)
    return errors[0] if errors else None


def test_values_come_as_they_were_sent() -> None:
    assert run("order,absent,both_ways,forgotten", 2) is None


def test_four_ranks_all_to_all() -> None:
    assert run("many,both_ways", 4) is None


def test_another_form_than_declared() -> None:
    text = str(run("changed", 2))
    assert "E724] rank 0" in text and "`node/x.out` (step 1" in text
    assert "float32[2, 4]" in text and "float32[2, 3]" in text


def test_gradients_do_not_travel() -> None:
    assert "E723] rank 0" in str(run("trained", 2))


def test_a_rank_that_is_gone() -> None:
    text = str(run("dead", 2))
    wanted = "rank 0 wants `node/x.out` (step 1; request r) of node node/x from rank 1, which is gone ("
    assert f"E720] {wanted}" in text
    assert "its last note is `rank 1 works` and it has ended" in text


def test_a_rank_that_is_silent() -> None:
    began = time.monotonic()
    text = str(run("silent", 3))
    assert "E720] rank 1 waited 2 s for `node/x.out` (request r) of node node/x from rank 2 in vain" in text
    assert "rank 2: its last note is `slice draw/denoise`" in text
    assert time.monotonic() - began < 30


@pytest.mark.gpu
@pytest.mark.parametrize("device", ["cuda:gloo", "cuda:nccl"])
def test_devices(device: str) -> None:
    count = torch.cuda.device_count()
    if count < (2 if device == "cuda:nccl" else 1):
        pytest.skip(f"there are {count} devices")
    assert run("order,absent,both_ways,on_device,meetings", 3 if count > 2 else 2, device=device) is None
