"""The trained models as ranks have them: whole on each (DDP), or cut into shards (FSDP2), by PyTorch's own engines."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from mmm_graph.train.ranks import Ranks

if TYPE_CHECKING:
    from torch.distributed.fsdp import FSDPModule


class Together(nn.Module):
    """Models as one module, whose forward is whatever runs them: what DDP and FSDP2 need to see of a step."""

    def __init__(self, models: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.models = nn.ModuleDict(
            {f"model_{name.replace('.', '/')}": module for name, module in models.items()}
        )  # of included files: clip.vision

    def forward(self, run: Callable[[], Tensor]) -> Tensor:
        """The loss of a micro-batch."""
        return run()


class Replicas:
    """Runs a forward so that its backward averages the gradients of all ranks.

    Args:
        models: the trained models, with `requires_grad` as it shall be. Sharding replaces their parameters: an
            optimiser must be made afterwards.
        sharded: cut weights, gradients and what the optimiser remembers into one shard for each rank.
        uneven: models that a rank may not call where another does. Shards are gathered by all ranks or by none, so
            these stay whole.
    """

    def __init__(
        self,
        models: Mapping[str, nn.Module],
        ranks: Ranks,
        *,
        sharded: bool,
        uneven: Collection[str] = (),
    ) -> None:
        self._ranks, self.sharded = ranks, sharded
        self._uncut: list[nn.Parameter] = []
        self._root: FSDPModule | None = None
        whole = Together(models)
        if ranks.size == 1 and not sharded:
            self._run: nn.Module = whole
        elif sharded:
            stay = [model for name, model in models.items() if name in uneven]
            self._uncut = [w for w in whole.parameters() if w.dim() == 0]  # temperatures: nothing to cut
            self._uncut += [w for model in stay for w in model.parameters() if w.dim()]
            from mmm_graph.train.shards import shard  # FSDP2 takes a second to import

            self._root = shard(whole, [m for m in models.values() if m not in stay], self._uncut, ranks)
            self._run = whole
        else:
            self._run = DistributedDataParallel(whole, find_unused_parameters=True)

    def __call__(self, run: Callable[[], Tensor]) -> Tensor:
        loss: Tensor = self._run(run)
        return loss

    def silent(self) -> AbstractContextManager[None]:
        """Inside, gradients are only added up: the last backward pass of a step averages all of them."""
        if isinstance(self._run, DistributedDataParallel):
            return self._run.no_sync()
        return nullcontext()

    def finish(self) -> None:
        """After the last backward pass of a step: averages the gradients of weights that were not cut.

        What no rank has a gradient of keeps none.
        """
        weights = [weight for weight in self._uncut if weight.requires_grad]
        if not weights:
            return
        seen = self._ranks.total(torch.tensor([float(w.grad is not None) for w in weights]))
        found = [weight for weight, n in zip(weights, seen.tolist(), strict=True) if n]
        for dtype in dict.fromkeys(weight.dtype for weight in found):
            same = [weight for weight in found if weight.dtype == dtype]
            grads = [torch.zeros_like(w) if w.grad is None else w.grad for w in same]
            flat = self._ranks.total(torch.cat([grad.flatten() for grad in grads])) / self._ranks.size
            for weight, grad in zip(same, torch.split(flat, [w.numel() for w in same]), strict=True):
                weight.grad = grad.view_as(weight)

    @contextmanager
    def whole(self) -> Iterator[None]:
        """Inside, models can run outside of a step: weights that belong to no part are whole, as parts are in turn."""
        if self._root is not None:
            self._root.unshard()
        try:
            yield
        finally:
            if self._root is not None:
                self._root.reshard()
