"""Models cut into shards by FSDP2, and tensors cut as their weights are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from mmm_graph.train.ranks import Ranks


def shard(
    whole: nn.Module, models: Sequence[nn.Module], uncut: Sequence[nn.Parameter], ranks: Ranks
) -> FSDPModule:
    """FSDP2: every part of the models is gathered when it runs; what belongs to no part, for the whole step.

    Args:
        whole: all of them as one module, whose forward calls what it is given.
        uncut: weights that stay as they are.
    """
    mesh = init_device_mesh(ranks.device.type, (ranks.size,))
    for weight in whole.parameters():
        # Kernels in the order that a device likes better cannot be cut.
        weight.data = weight.data.contiguous()
    for model in models:
        for part in _alone(model):
            fully_shard(part, mesh=mesh, ignored_params={*uncut})
    root = fully_shard(whole, mesh=mesh, ignored_params={*uncut})
    with torch.no_grad():  # parts learn whose they are in the first forward, which may be an evaluation
        whole(lambda: torch.zeros(()))
    root.reshard()
    return root


def _alone(model: nn.Module) -> Iterator[nn.Module]:
    """Parts that share no weight with another part, such as a head that is tied to an embedding."""
    parts = dict(model.named_children()).get("parts")
    children = list(parts.children()) if parts is not None else []
    owners: dict[int, int] = {}
    for child in children:
        for weight in child.parameters():
            owners[id(weight)] = owners.get(id(weight), 0) + 1
    for child in children:
        weights = list(child.parameters())
        if any(weight.dim() for weight in weights) and all(owners[id(weight)] == 1 for weight in weights):
            yield child


def cut_like(tensor: Tensor, like: Tensor) -> Tensor:
    """A whole tensor, which every rank has, cut as `like` is; as it is where that is whole."""
    if not isinstance(like, DTensor):
        return tensor
    return distribute_tensor(tensor.to(like.device), like.device_mesh, like.placements, src_data_rank=None)
