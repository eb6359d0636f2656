"""A rank of test_world_ranks, run as rank_of_world.py FOLDER REQUESTS OUT PLAN ...: rank 0 leaves what they give."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch

from mmm_graph.runtime.process_world import ProcessWorld
from mmm_graph.runtime.supervised import follow_launcher
from tests.graphs.by_heart import load


def main() -> None:
    """All plans have as many ranks as there are processes."""
    follow_launcher()
    torch.set_num_threads(1)
    folder, requests, out, *plans = sys.argv[1:]
    with ProcessWorld.from_env(120.0) as world:
        found = {
            plan: load(Path(folder), plan, world=world).map(json.loads(Path(requests).read_text()))
            for plan in plans
        }
    if world.rank == 0:
        kept = {
            plan: {name: (dict(r.values), dict(r.owners), dict(r.absent)) for name, r in results.items()}
            for plan, results in found.items()
        }
        torch.save(kept, out)


if __name__ == "__main__":
    main()
