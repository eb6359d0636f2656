"""Worlds of gloo processes for the tests: each rank runs a function and leaves its result in a file."""

from __future__ import annotations

import importlib
import multiprocessing
import sys
import tempfile
from pathlib import Path

import torch
import torch.distributed as dist

from tests.parallel.world import join


def processes(world: int, work: str, timeout_s: float = 120.0, silent_s: float = 60.0) -> list:
    """What `work`, "module:function" of the tests, returns on each rank; tensors and plain values only.

    Args:
        timeout_s: after so long all processes are ended.
        silent_s: time-out of the groups.
    """
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        ranks = [
            context.Process(target=run, args=(rank, world, folder, work, silent_s), daemon=True)
            for rank in range(world)
        ]
        for rank in ranks:
            rank.start()
        for rank in ranks:
            rank.join(timeout_s)
        codes = [rank.exitcode for rank in ranks]
        for rank in ranks:
            rank.kill()
            rank.join()
        assert codes == [0] * world, codes
        return [torch.load(Path(folder, f"{rank}.pt")) for rank in range(world)]


def run(rank: int, world: int, folder: str, work: str, silent_s: float) -> None:
    """The life of one rank."""
    module, function = work.split(":")
    join(rank, world, folder, silent_s)
    with torch.no_grad():
        result = getattr(importlib.import_module(module), function)()
    torch.save(result, Path(folder, f"{rank}.pt"))
    sys.stdout.flush()
    dist.barrier()
    dist.destroy_process_group()
