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
@pytest.mark.parametrize("world", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_processes_give_the_bits_of_threads(world):
    results = processes(world, f"{__name__}:work")
    differ = [case.name for case in cases_of(world) if not same(case, [rank[case.name] for rank in results])]
    assert differ == []


def same(case, results):
    """Whether threads give these results, of all ranks."""
    whole = case.whole()
    wanted = threads(case.shape, lambda groups: case.run(groups, whole))
    return all(len(a) == len(b) and all(map(torch.equal, a, b)) for a, b in zip(results, wanted, strict=True))
