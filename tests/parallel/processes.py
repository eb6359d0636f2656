"""Worlds of gloo processes for the tests: each rank runs a function and leaves its result in a file."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import tempfile
from pathlib import Path

import torch
import torch.distributed as dist

from tests.parallel.world import join


def processes(
    world: int, work: str, timeout_s: float = 120.0, silent_s: float = 60.0, ends_well: bool = True
) -> list:
    """What `work`, "module:function" of the tests, returns on each rank; tensors and plain values only.

    Args:
        timeout_s: after so long all processes are ended.
        silent_s: time-out of the groups.
        ends_well: False = ranks may be lost, then None stands for what they return, and nobody says goodbye.
    """
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        ranks = [
            context.Process(target=run, args=(rank, world, folder, work, silent_s, ends_well), daemon=True)
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
        files = [Path(folder, f"{rank}.pt") for rank in range(world)]
        return [torch.load(file) if file.exists() else None for file in files]


def run(rank: int, world: int, folder: str, work: str, silent_s: float, ends_well: bool) -> None:
    """The life of one rank."""
    module, function = work.split(":")
    join(rank, world, folder, silent_s)
    with torch.no_grad():
        result = getattr(importlib.import_module(module), function)()
    torch.save(result, Path(folder, f"{rank}.pt"))
    if ends_well:
        dist.barrier()
        dist.destroy_process_group()
    else:
        os._exit(0)
