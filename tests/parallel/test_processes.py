"""The same cases on processes: every bit as on threads."""

import functools

import pytest
import torch
import torch.distributed as dist

from tests.parallel.processes import processes
from tests.parallel.scripts import DISPLACED, PATCHES
from tests.parallel.toys import EXACT
from tests.parallel.world import process_groups, threads

CASES = [*EXACT, *DISPLACED, *PATCHES]


def cases_of(world):
    return [case for case in CASES if case.shape.ranks == world]


def work():
    """All cases of this world: name -> what this rank gets."""
    groups = functools.cache(process_groups)
    return {case.name: case.run(groups(case.shape), case.whole()) for case in cases_of(dist.get_world_size())}


@pytest.mark.dist
@pytest.mark.parametrize("world", [2, 4])
def test_processes_give_the_bits_of_threads(world):
    results = processes(world, f"{__name__}:work")
    for case in cases_of(world):
        whole = case.whole()
        for rank, wanted in enumerate(threads(case.shape, lambda groups: case.run(groups, whole))):
            got = results[rank][case.name]
            assert len(got) == len(wanted)
            assert all(torch.equal(a, b) for a, b in zip(got, wanted, strict=True)), (case.name, rank)
