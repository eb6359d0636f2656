"""Rows of a table learn, and no other number of it moves."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mmm_graph.nn.chosen_rows import choose_rows, chosen_rows
from mmm_graph.nn.linear import Logits

ROWS = (1, 4)


def net(tied):
    torch.manual_seed(0)
    module = nn.ModuleDict({"token": nn.Embedding(6, 3), "out": Logits(3, 6)})
    if tied:
        module["out"].weight = module["token"].weight
    return module.requires_grad_(False)


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "apart"])
def test_only_these_rows_learn(tied):
    module, ids = net(tied), torch.tensor([[0, 1, 2], [4, 4, 5]])
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    plain = module["out"](module["token"](ids))
    choose_rows(module, ("token", "out"), ROWS)
    assert torch.equal(module["token"](ids), before["token.weight"][ids])
    assert torch.allclose(module["out"](module["token"](ids)), plain, atol=1e-6)
    weights = [w for w in module.parameters() if w.requires_grad]
    assert len(weights) == (1 if tied else 2) and all(w.shape == (2, 3) for w in weights)
    optimiser = torch.optim.AdamW(weights, lr=0.1, weight_decay=0.5)
    for _ in range(3):
        module["out"](module["token"](ids)).logsumexp(-1).sum().backward()
        optimiser.step()
        optimiser.zero_grad()
    assert all(torch.equal(module.state_dict()[name], tensor) for name, tensor in before.items())
    found, merged, others = chosen_rows(module), net(tied), [i for i in range(6) if i not in ROWS]
    for name in ("token", "out"):
        rows = found[id(module[name].weight)]
        whole = rows.put_into(module[name].weight, rows.embed)
        assert torch.equal(whole[others], before[f"{name}.weight"][others])
        assert (whole[list(ROWS)] != before[f"{name}.weight"][list(ROWS)]).any(1).all()
        merged[name].weight = nn.Parameter(whole)
    assert torch.allclose(merged["out"](merged["token"](ids)), module["out"](module["token"](ids)), atol=1e-6)
