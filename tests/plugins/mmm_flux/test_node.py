"""denoiser.flux is held to what it declares."""

import pytest
import torch

from mmm_flux.node import FLUX
from mmm_graph.testing import check_node

CONFIG = {
    "sample_size": 8,
    "double_depth": 1,
    "single_depth": 1,
    "num_heads": 2,
    "head_dim": 8,
    "rope_dims": (2, 2, 4),
    "freq_dim": 8,
    "cond_dim": 16,
    "pooled_dim": 8,
}
COND = {"embeds": torch.ones(2, 6, 16), "pooled": torch.ones(2, 8)}


@pytest.mark.parametrize("guided", [True, False])
def test_it_keeps_its_promises(guided):
    cond = {**COND, "guidance": torch.tensor([3.5, 1.0])} if guided else COND
    check_node(FLUX, config={**CONFIG, "guidance": guided}, values={"cond": cond})
