"""Groups whose members are processes: torch.distributed, with gloo or NCCL."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor

from mmm_graph.errors import RunError, problem
from mmm_graph.parallel.group import Gathering, Listed, Pending, in_order
from mmm_graph.parallel.shares import shares


class ProcessGroup:
    """A member of a group of torch.distributed; see `Group` for what its methods do.

    All is made of messages from member to member, each as large as what it carries. On gloo a gather takes half the
    time of its own, which besides wants parts of one size; and backends sum in orders of their own.

    Args:
        handle: the group, of which this process is a member. Its time-out ends the wait for a silent member; to
            `new_group` it must be given, that of the world does not count.
        ranks: the members in their order; None = ascending.

    Raises (all methods):
        RunError: E720, a member is lost or did not answer in time.
    """

    def __init__(self, handle: dist.ProcessGroup, ranks: Sequence[int] | None = None) -> None:
        self.handle = handle
        self.ranks = tuple(dist.get_process_group_ranks(handle) if ranks is None else ranks)
        self.index, self.size = self.ranks.index(dist.get_rank()), len(self.ranks)
        self._on_host = dist.get_backend(handle) == "gloo"
        self._met = self._on_host
        self._flying: set[_Flight] = set()  # whoever forgets to wait must not take away tensors under way

    def gather(self, x: Tensor, shapes: Sequence[Sequence[int]]) -> Gathering:
        return self._exchange([x] * self.size, shapes, "a gather")

    def all_to_all(self, xs: Sequence[Tensor], shapes: Sequence[Sequence[int]]) -> list[Tensor]:
        return self._exchange(xs, shapes, "an all-to-all").wait()

    def all_reduce(self, x: Tensor) -> Tensor:
        if self.size == 2:  # as many bytes as below, in one message instead of two
            return in_order(self.gather(x, [x.shape] * 2).wait())
        cuts = shares(x.numel(), self.size)
        flat, (first, last) = x.reshape(-1), cuts[self.index]
        pieces = self.all_to_all([flat[a:b] for a, b in cuts], [(last - first,)] * self.size)
        sums = self.gather(in_order(pieces), [(b - a,) for a, b in cuts]).wait()
        return torch.cat(sums).view(x.shape)

    def swap(
        self, gives: Mapping[int, Tensor], shapes: Mapping[int, Sequence[int]], like: Tensor
    ) -> dict[int, Tensor]:
        return self.start_swap(gives, shapes, like).wait()

    def start_swap(
        self, gives: Mapping[int, Tensor], shapes: Mapping[int, Sequence[int]], like: Tensor
    ) -> Pending[dict[int, Tensor]]:
        return self._start(gives, shapes, like, "a swap")

    def _exchange(self, xs: Sequence[Tensor], shapes: Sequence[Sequence[int]], what: str) -> Gathering:
        others = [member for member in range(self.size) if member != self.index]
        gives, takes = {m: xs[m] for m in others}, {m: shapes[m] for m in others}
        return Listed(self._start(gives, takes, xs[0], what), self.index, xs[self.index])

    def _start(
        self, gives: Mapping[int, Tensor], shapes: Mapping[int, Sequence[int]], like: Tensor, what: str
    ) -> Pending[dict[int, Tensor]]:
        with self.naming_peers(what):
            self._meet(like)
            given: dict[int, Tensor] = {}  # by identity: what goes to several members is staged once
            for x in gives.values():
                given.setdefault(id(x), self._outward(x))
            takes = {source: self._room(shape, like) for source, shape in sorted(shapes.items())}
            ops = [self._op(dist.isend, given[id(x)], to) for to, x in sorted(gives.items())]
            ops += [self._op(dist.irecv, room, source) for source, room in takes.items()]
            works = dist.batch_isend_irecv(ops) if ops else []
        flight = _Flight(self, what, works, list(given.values()), takes, like)
        if works:
            self._flying.add(flight)
        return flight

    def landed(self, flight: _Flight) -> None:
        """It needs not be kept any longer."""
        self._flying.discard(flight)

    def _op(self, what: Callable[..., object], x: Tensor, member: int) -> dist.P2POp:
        return dist.P2POp(what, x, self.ranks[member], self.handle)

    def _meet(self, like: Tensor) -> None:
        """NCCL connects by a call that all members make, which must come before messages between some."""
        if not self._met:
            dist.all_reduce(like.new_zeros(1), group=self.handle)
            self._met = True

    # gloo takes tensors of the host only: `_outward`, `_room` and `inward` are the whole difference.

    def _outward(self, x: Tensor) -> Tensor:
        return (x.cpu() if self._on_host else x).contiguous()

    def _room(self, shape: Sequence[int], like: Tensor) -> Tensor:
        return torch.empty(tuple(shape), dtype=like.dtype, device="cpu" if self._on_host else like.device)

    def inward(self, x: Tensor, like: Tensor) -> Tensor:
        """What came, on the device of `like`."""
        return x.to(like.device)

    @contextmanager
    def naming_peers(self, what: str) -> Iterator[None]:
        """Turn what the backend raises into an error that says between whom."""
        try:
            yield
        except RuntimeError as error:
            me = self.ranks[self.index]
            hint = "a rank is stuck or has failed: its own message says why"
            text = f"rank {me} waited for {what} among ranks {self.ranks}, which failed: {error}"
            raise RunError(problem("E720", text, hint=hint)) from error


class _Flight:
    """Messages under way, and the tensors that they read, which live as long."""

    def __init__(
        self,
        group: ProcessGroup,
        what: str,
        works: Sequence[dist.Work],
        given: list[Tensor],
        takes: dict[int, Tensor],
        like: Tensor,
    ) -> None:
        self.group, self.what, self.works, self.given = group, what, works, given
        self.takes, self.like = takes, like

    def wait(self) -> dict[int, Tensor]:
        if self.works:
            with self.group.naming_peers(self.what):
                for work in self.works:
                    work.wait()
            self.takes = {source: self.group.inward(x, self.like) for source, x in self.takes.items()}
            self.works, self.given = [], []
            self.group.landed(self)
        return self.takes
