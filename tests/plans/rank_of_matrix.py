"""A rank of test_processes, run as rank_of_matrix.py CASES WEIGHTS OUT: does the cases, rank 0 leaves what it finds."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch

from mmm_graph.runtime.process_world import ProcessWorld
from mmm_graph.runtime.supervised import follow_launcher
from tests.plans.graphs import load


def main() -> None:
    """Every case is (name, denoiser, plan, requests)."""
    follow_launcher()
    torch.set_num_threads(1)
    cases, weights, out = (Path(word) for word in sys.argv[1:])
    found = {}
    with ProcessWorld.from_env(120.0) as world:
        for name, denoiser, plan, requests in json.loads(cases.read_text()):
            results = load(denoiser, weights / denoiser, plan, world=world).map(requests)
            for request, result in results.items():
                if result.error is not None:
                    raise result.error
                found[f"{name} {request}"] = dict(result.values)
    if world.rank == 0:
        torch.save(found, out)


if __name__ == "__main__":
    main()
