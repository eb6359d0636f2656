"""Groups whose members are processes: torch.distributed, with gloo or NCCL."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor

from mmm_graph.errors import RunError, problem
from mmm_graph.parallel.group import Gathering, Pending

gather_flat = getattr(dist, "all_gather_single", dist.all_gather_into_tensor)
"""The second is the name before torch 2.13."""


class ProcessGroup:
    """A member of a group of torch.distributed; see `Group` for what its methods do.

    Sums are made by hand, in the order of the members: the backends' own order differs from one to the other.

    Args:
        handle: the group, of which this process is a member. Its time-out ends the wait for a lost or silent member.

    Raises (all methods):
        RunError: E720, a member is lost or did not answer in time.
    """

    def __init__(self, handle: dist.ProcessGroup) -> None:
        self.handle = handle
        self.ranks = tuple(dist.get_process_group_ranks(handle))
        self.index, self.size = dist.get_rank(handle), dist.get_world_size(handle)
        self._staged = dist.get_backend(handle) == "gloo"
        self._met = self._staged  # NCCL connects by a collective call, which must come before any swap

    def gather(self, x: Tensor, shapes: Sequence[Sequence[int]]) -> Gathering:
        sizes = [math.prod(shape) for shape in shapes]
        width = max(sizes)
        out = self._empty(self.size * width, x)
        with self._peers("a gather"):
            flat = padded(self._outward(x), width)
            work = gather_flat(out, flat, self.handle, async_op=True)

        def parts() -> list[Tensor]:
            rows = self._inward(out, x).view(self.size, width)
            return [row[:n].view(*shape) for row, n, shape in zip(rows, sizes, shapes, strict=True)]

        return _Pending(self, [work], parts, "a gather", (flat,))

    def all_to_all(self, xs: Sequence[Tensor], shapes: Sequence[Sequence[int]]) -> list[Tensor]:
        sizes = [math.prod(shape) for shape in shapes]
        out = self._empty(sum(sizes), xs[0])
        with self._peers("an all-to-all"):
            flat = torch.cat([self._outward(x).reshape(-1) for x in xs])
            # gloo has no all-to-all of lists, but this one, also with parts of different size.
            dist.all_to_all_single(out, flat, sizes, [x.numel() for x in xs], self.handle)
        parts = self._inward(out, xs[0]).split(sizes)
        return [part.view(*shape) for part, shape in zip(parts, shapes, strict=True)]

    def all_reduce(self, x: Tensor) -> Tensor:
        share = -(-x.numel() // self.size)
        pieces = list(padded(x, self.size * share).split(share))
        mine = in_order(self.all_to_all(pieces, [(share,)] * self.size))
        sums = self.gather(mine, [(share,)] * self.size).wait()
        return torch.cat(sums)[: x.numel()].view(x.shape)

    def swap(
        self, gives: Mapping[int, Tensor], shapes: Mapping[int, Sequence[int]], like: Tensor
    ) -> dict[int, Tensor]:
        return self.start_swap(gives, shapes, like).wait()

    def start_swap(
        self, gives: Mapping[int, Tensor], shapes: Mapping[int, Sequence[int]], like: Tensor
    ) -> Pending[dict[int, Tensor]]:
        outs = {source: self._empty(math.prod(shape), like) for source, shape in shapes.items()}
        with self._peers("a swap"):
            flats = {to: self._outward(x).reshape(-1) for to, x in gives.items()}
            self._meet(like)
            ops = [self._op(dist.isend, x, to) for to, x in sorted(flats.items())]
            ops += [self._op(dist.irecv, out, source) for source, out in sorted(outs.items())]
            works = dist.batch_isend_irecv(ops) if ops else []

        def parts() -> dict[int, Tensor]:
            return {
                source: self._inward(out, like).view(*shapes[source]) for source, out in sorted(outs.items())
            }

        return _Pending(self, works, parts, "a swap", tuple(flats.values()))

    def _op(self, what: Callable[..., object], x: Tensor, member: int) -> dist.P2POp:
        return dist.P2POp(what, x, self.ranks[member], self.handle)

    def _meet(self, like: Tensor) -> None:
        if not self._met:
            gather_flat(like.new_empty(self.size), like.new_zeros(1), self.handle)
            self._met = True

    # gloo takes tensors of the host only: the next three are the whole difference.

    def _outward(self, x: Tensor) -> Tensor:
        """x as the backend takes it, contiguous."""
        return (x.cpu() if self._staged else x).contiguous()

    def _inward(self, x: Tensor, like: Tensor) -> Tensor:
        """What came, on the device of `like`."""
        return x.to(like.device)

    def _empty(self, size: int, like: Tensor) -> Tensor:
        """Room for what will come."""
        return torch.empty(size, dtype=like.dtype, device="cpu" if self._staged else like.device)

    @contextmanager
    def _peers(self, what: str) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:
            raise RunError(
                problem(
                    "E720",
                    f"rank {self.ranks[self.index]}: {what} of ranks {self.ranks} failed: {error}",
                    hint="a rank is stuck or has failed: its own message says why",
                )
            ) from error


class _Pending:
    """Works under way, and the tensors they read, which live as long."""

    def __init__(
        self,
        group: ProcessGroup,
        works: Sequence[dist.Work],
        parts: Callable[[], list[Tensor] | dict[int, Tensor]],
        what: str,
        reads: tuple[Tensor, ...],
    ) -> None:
        self.group, self.works, self.parts, self.what, self.reads = group, works, parts, what, reads
        self.found: list[list[Tensor] | dict[int, Tensor]] = []

    def wait(self) -> list[Tensor] | dict[int, Tensor]:
        if not self.found:
            with self.group._peers(self.what):
                for work in self.works:
                    work.wait()
            self.found.append(self.parts())
            self.works, self.reads = (), ()
        return self.found[0]


def padded(x: Tensor, size: int) -> Tensor:
    """x as one row of that many numbers."""
    flat = x.reshape(-1)
    return flat if flat.numel() == size else torch.cat([flat, flat.new_zeros(size - flat.numel())])


def in_order(parts: Sequence[Tensor]) -> Tensor:
    """The sum, first to last."""
    total = parts[0] + parts[1]
    for part in parts[2:]:
        total += part
    return total
