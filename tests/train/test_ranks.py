"""Several processes train the same as one."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from mmm_graph.errors import InputError, MmmError
from mmm_graph.runtime.launch import launch
from mmm_graph.train.ranks import ALONE, Ranks
from tests.train.ranks import run

pytestmark = pytest.mark.dist
STEPS = "steps:20"
BF16 = ("ddp_lora", "fsdp_lora")
BAD = "train.stages.fit.data.config.bad:[3, 8, 9];bad_limit:3;steps:2"
LORA = "train:{body: {lora: {rank: 2, targets: [linear], dropout: 0.2}}, head: full}"
"""Frozen weights, and dropout that is keyed by the sample."""


def run_ranks(out: Path, ranks: int, cases: Mapping[str, str]) -> MmmError | None:
    errors: list[MmmError] = []
    words = [f"{name}={text}" for name, text in cases.items()]
    command = [sys.executable, "-m", "tests.train.ranks", str(out), *words]
    launch(command, ranks, 60.0, tell=errors.append, env={"OMP_NUM_THREADS": "1"})
    return errors[0] if errors else None


def weights(folder: Path) -> dict[str, Tensor]:
    return {
        f"{model}/{name}": tensor
        for model in ("body", "head", "body.lora")
        if (folder / f"{model}.safetensors").exists()
        for name, tensor in load_file(folder / f"{model}.safetensors").items()
    }


def losses(folder: Path) -> Tensor:
    with (folder / "metrics.csv").open() as file:
        return torch.tensor([float(row["loss"]) for row in csv.DictReader(file)], dtype=torch.float64)


def same(a: Path, b: Path, tolerance: float = 1e-5) -> None:
    ours, theirs = weights(a), weights(b)
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        torch.testing.assert_close(tensor, theirs[name], atol=tolerance, rtol=0)
    torch.testing.assert_close(losses(a), losses(b), atol=tolerance, rtol=0)


def test_two_ranks_train_as_one(tmp_path: Path) -> None:
    """Whole or sharded weights, with micro-batches or without; losses over pairs, over samples, and counted ones."""
    cases = {
        "ddp": STEPS,
        "fsdp": f"{STEPS};shard:true",
        "ddp_k": f"{STEPS};accumulate:2;batch:4",
        "fsdp_k": f"{STEPS};accumulate:2;batch:4;shard:true",
        "ddp_lora": f"{STEPS};{LORA}",
        "fsdp_lora": f"{STEPS};{LORA};shard:true;recompute:true",
    }
    halves = {name: f"{text};precision:bf16" for name, text in cases.items() if name in BF16}
    assert (
        run_ranks(tmp_path, 2, {**cases, **{f"{name}_bf16": t for name, t in halves.items()}, "bad": BAD})
        is None
    )
    run(tmp_path / "one", {"steps": "20"})
    run(tmp_path / "one_k", {"steps": "20", "accumulate": "2", "batch": "4"})
    assert losses(tmp_path / "one")[-1] < losses(tmp_path / "one")[0]
    for name in ("ddp", "fsdp", "ddp_k", "fsdp_k", "one_k"):
        same(tmp_path / name, tmp_path / "one")
    run(tmp_path / "one_lora", {"steps": "20", "train": LORA.removeprefix("train:")})
    for name in ("ddp_lora", "fsdp_lora"):
        same(tmp_path / name, tmp_path / "one_lora")
    # In bf16 the gradient of a micro-batch is rounded, so two halves are the same whoever takes them, and not as one.
    sets = {"steps": "20", "precision": "bf16", "accumulate": "2", "batch": "4"}
    run(tmp_path / "one_bf16", {**sets, "train": LORA.removeprefix("train:")})
    for name in BF16:
        same(tmp_path / f"{name}_bf16", tmp_path / "one_bf16")
    bad = json.loads((tmp_path / "bad" / "train.json").read_text())["stages"]["fit"]["bad_samples"]
    assert bad == {f"{i}": "OSError: it is torn" for i in (3, 8, 9)}


@pytest.mark.slow
def test_going_on_changes_no_bit(tmp_path: Path) -> None:
    """Every way; test_two_ranks_graphs.py has two of them that are fast."""
    cases = {
        "ddp": STEPS,
        "fsdp": f"{STEPS};shard:true",
        "ddp_again.1": f"{STEPS};stop:8",
        "ddp_again.2": f"{STEPS};resume:true",
        "fsdp_again.1": f"{STEPS};shard:true;stop:13",
        "fsdp_again.2": f"{STEPS};shard:true;resume:true",
        "lora": f"{STEPS};{LORA};shard:true",
        "lora_again.1": f"{STEPS};{LORA};shard:true;stop:9",
        "lora_again.2": f"{STEPS};{LORA};shard:true;resume:true",
    }
    assert run_ranks(tmp_path, 2, cases) is None
    for name in ("ddp", "fsdp", "lora"):
        same(tmp_path / f"{name}_again", tmp_path / name, tolerance=0.0)


def test_another_number_of_ranks_goes_on(tmp_path: Path) -> None:
    """Sharded on four, then on two, then whole on one."""
    shard = f"{STEPS};shard:true"
    assert run_ranks(tmp_path, 4, {"all": f"{shard};stop:6"}) is None
    assert run_ranks(tmp_path, 2, {"all": f"{shard};resume:true;stop:7"}) is None
    run(tmp_path / "all", {"steps": "20", "resume": "true"})
    run(tmp_path / "one", {"steps": "20"})
    same(tmp_path / "all", tmp_path / "one")


def test_ranks_that_skip_a_branch_stay_with_the_others(tmp_path: Path) -> None:
    """A loss over pairs and one over samples are under a condition that differs from rank to rank."""
    assert (
        run_ranks(tmp_path, 2, {"some": f"{STEPS};when:some", "micro": f"{STEPS};when:some;accumulate:2"})
        is None
    )
    for name in ("some", "micro"):
        assert losses(tmp_path / name).isfinite().all() and len(losses(tmp_path / name)) == 20


def test_a_batch_that_has_no_equal_shares(tmp_path: Path) -> None:
    error = run_ranks(tmp_path, 3, {"a": "steps:1"})
    assert "E860" in str(error) and "8 samples cannot be cut into equal shares for 3 ranks" in str(error)


def test_alone_everything_is_ours() -> None:
    x = torch.arange(3.0)
    rows, own = ALONE.gather(x)
    assert rows is x and own == slice(0, 3) and ALONE.total(x) is x
    assert Ranks(1, 2).share(8) == (4, 8)
    with pytest.raises(InputError, match="E860"):
        Ranks(0, 3).share(4)
