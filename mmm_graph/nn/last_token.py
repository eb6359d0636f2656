"""Parts at the end of a language model: the last norm, and what is left where not all tokens are wanted."""

from __future__ import annotations

from torch import Tensor, nn

from mmm_graph.nn.parts import State, need

READER = "the language model"


class Hidden(nn.Module):
    """h [b,t,d] -> hidden, and features, which the logits are made of: both normalised.

    Args:
        norm: the last one of the model, or nn.Identity.
    """

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, state: State) -> dict[str, Tensor]:
        hidden = self.norm(need(state, "h", READER))
        return {"hidden": hidden, "features": hidden}


class LastToken(nn.Module):
    """hidden [b,t,d] -> hidden [b,1,d] and features [b,d], of the last token."""

    def forward(self, state: State) -> dict[str, Tensor]:
        hidden = need(state, "hidden", READER)[:, -1:]
        return {"hidden": hidden, "features": hidden[:, 0]}


def chosen(x: Tensor, places: Tensor | None) -> Tensor:
    """Of tokens [b,t,...] those at the places [b,m]; all of them where there are no places."""
    if places is None:
        return x
    index = places.view(*places.shape, *(1 for _ in x.shape[2:])).expand(-1, -1, *x.shape[2:])
    return x.gather(1, index)  # its backward has one order of sums, that of an index has not
