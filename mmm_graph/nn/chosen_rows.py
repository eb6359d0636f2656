"""Rows of an embedding, and of the logits over the same tokens, that are trained while all others stay as they are."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmm_graph.nn.stand_in import StandIn, stand_in


class ChosenRows(nn.Module):
    """Rows of a table [v,d] in float32, beside it: the table is not touched, by no gradient and no decay.

    Args:
        table: the weight of an embedding or of logits.
        rows: which, in order.

    Attributes:
        embed: their numbers [n,d].
        index: their places in the table [n].
        slots: places in `embed` of all rows of the table [v]; -1 where one is not chosen.
    """

    index: Tensor
    slots: Tensor

    def __init__(self, table: Tensor, rows: Sequence[int]) -> None:
        super().__init__()
        index = torch.tensor(rows, device=table.device)
        slots = torch.full((len(table),), -1, device=table.device)
        slots[index] = torch.arange(len(index), device=table.device)
        self.embed = nn.Parameter(table.detach()[index].float())
        self.register_buffer("index", index, persistent=False)
        self.register_buffer("slots", slots, persistent=False)

    def put_into(self, table: Tensor, rows: Tensor) -> Tensor:
        """A copy of the table with these rows in it, which are those of `embed`."""
        return table.detach().index_copy(0, self.index.to(table.device), rows.detach().to(table.dtype))


class ChosenEmbeds(nn.Module):
    """Rows of an embedding: ids ... -> ... d."""

    def __init__(self, rows: ChosenRows) -> None:
        super().__init__()
        self.rows = rows

    def add(self, y: Tensor, ids: Tensor) -> Tensor:
        """y, which the embedding has for the ids, with the rows that are trained."""
        slots = self.rows.slots[ids]
        own = F.embedding(slots.clamp(min=0), self.rows.embed)
        return torch.where((slots >= 0)[..., None], own.to(y.dtype), y)


class ChosenLogits(nn.Module):
    """Rows of the matrix that makes logits: ... d -> ... v."""

    def __init__(self, rows: ChosenRows) -> None:
        super().__init__()
        self.rows = rows

    def add(self, y: Tensor, x: Tensor) -> Tensor:
        """y, the logits of x, with those of the rows that are trained."""
        own = F.linear(x.to(self.rows.embed.dtype), self.rows.embed).to(y.dtype)
        return y.index_copy(-1, self.rows.index, own)


def choose_rows(module: nn.Module, layers: Sequence[str], rows: Sequence[int]) -> None:
    """Train rows of some layers over the same tokens; layers with one weight have one copy of its rows.

    Args:
        layers: names of embeddings, and of layers that make logits.
    """
    made: dict[int, ChosenRows] = {}
    for name in layers:
        layer = module.get_submodule(name)
        weight = layer.get_parameter("weight")
        if id(weight) not in made:
            made[id(weight)] = ChosenRows(weight, rows)
        form = ChosenEmbeds if isinstance(layer, nn.Embedding) else ChosenLogits
        stand_in(module, name, StandIn(layer, form(made[id(weight)])))


def chosen_rows(module: nn.Module) -> dict[int, ChosenRows]:
    """Rows that are trained, by the id of the table that they are of."""
    layers = [layer for layer in module.modules() if isinstance(layer, StandIn)]
    return {
        id(layer.get_parameter("weight")): layer.beside.rows
        for layer in layers
        if isinstance(layer.beside, ChosenEmbeds | ChosenLogits)
    }
