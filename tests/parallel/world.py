"""Ranks on the axes outer x inner x tensor, as threads or as processes, and what runs on each of them."""

from __future__ import annotations

import datetime
import os
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.distributed as dist

from mmm_graph.parallel.group import ALONE, Group
from mmm_graph.parallel.process_group import ProcessGroup
from mmm_graph.parallel.sharded import Groups
from mmm_graph.parallel.thread_group import Board, run_boards


class Shape(NamedTuple):
    """Members on each axis; tensor varies fastest among the ranks."""

    outer: int = 1
    inner: int = 1
    tensor: int = 1

    @property
    def members(self):
        """How many share the rows."""
        return self.outer * self.inner

    @property
    def ranks(self):
        return self.members * self.tensor

    def place(self, rank):
        """(outer, inner, tensor) of a rank."""
        member, tensor = divmod(rank, self.tensor)
        return *divmod(member, self.inner), tensor

    def peers(self, rank):
        """The ranks of the groups tokens, outer, inner and tensor of a rank."""
        i, j, k = self.place(rank)
        others = [(r, *self.place(r)) for r in range(self.ranks)]
        return (
            [r for r, _, _, c in others if c == k],
            [r for r, _, b, c in others if (b, c) == (j, k)],
            [r for r, a, _, c in others if (a, c) == (i, k)],
            [r for r, a, b, _ in others if (a, b) == (i, j)],
        )


def threads(shape: Shape, work: Callable[[Groups], object], timeout_s: float = 20.0) -> list:
    """What `work` returns on each rank."""
    boards = {
        (kind, tuple(ranks)): Board(ranks, timeout_s)
        for rank in range(shape.ranks)
        for kind, ranks in enumerate(shape.peers(rank))
    }

    def group(rank: int, kind: int, ranks: list[int]) -> Group:
        return boards[(kind, tuple(ranks))].members()[ranks.index(rank)] if len(ranks) > 1 else ALONE

    def one(rank: int) -> object:
        groups = Groups(*(group(rank, kind, ranks) for kind, ranks in enumerate(shape.peers(rank))))
        with torch.no_grad():
            return work(groups)

    return run_boards(list(boards.values()), one, shape.ranks)


def join(rank: int, world: int, folder: str, timeout_s: float = 60.0) -> None:
    """Become a rank of a world of gloo processes that meet through a file in `folder`."""
    torch.set_num_threads(1)
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    dist.init_process_group(
        "gloo",
        init_method=f"file://{folder}/store",
        rank=rank,
        world_size=world,
        timeout=datetime.timedelta(seconds=timeout_s),
    )


def process_groups(shape: Shape, timeout_s: float = 60.0) -> Groups:
    """The groups of this process; all processes of the world call it alike."""
    mine, made, timeout = dist.get_rank(), {}, datetime.timedelta(seconds=timeout_s)
    for rank in range(shape.ranks):
        for kind, ranks in enumerate(shape.peers(rank)):
            if (kind, *ranks) not in made:
                made[(kind, *ranks)] = dist.new_group(ranks, timeout) if len(ranks) > 1 else None
    handles = [made[(kind, *ranks)] for kind, ranks in enumerate(shape.peers(mine))]
    return Groups(*(ALONE if handle is None else ProcessGroup(handle) for handle in handles))
