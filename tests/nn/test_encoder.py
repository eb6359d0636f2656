"""Parts of encoders of tokens."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mmm_graph.errors import RunError
from mmm_graph.nn.encoder import EncoderBlock, FinalNorm, Tap, Vector

H = torch.randn(2, 5, 8, generator=torch.Generator().manual_seed(0))


def test_a_block_is_that_of_torch():
    ours = EncoderBlock(8, 2, 12, "gelu", eps=1e-3)
    theirs = nn.TransformerEncoderLayer(8, 2, 12, 0.0, "gelu", 1e-3, batch_first=True, norm_first=True)
    attn, mlp = ours.attn, ours.mlp
    packed = {
        f"in_proj_{end}": torch.cat([getattr(m, end) for m in (attn.q, attn.k, attn.v)])
        for end in ("weight", "bias")
    }
    theirs.self_attn.load_state_dict(packed | {f"out_proj.{k}": v for k, v in attn.out.state_dict().items()})
    theirs.linear1.load_state_dict(mlp.up.state_dict())
    theirs.linear2.load_state_dict(mlp.down.state_dict())
    with torch.no_grad():
        assert torch.allclose(ours({"h": H})["h"], theirs(H), atol=1e-6)
    assert EncoderBlock(8, 2, 12, "gelu", qkv_bias=False).attn.k.bias is None


def test_outputs():
    assert torch.equal(Tap()({"h": H})["embeds"], H)
    assert torch.equal(Tap(skip=2)({"h": H})["embeds"], H[:, 2:])
    assert torch.equal(Vector()({"pooled": H[:, 0]})["embeds"], H[:, 0])
    normed = FinalNorm(8, 1e-5)({"h": H})["h"]
    assert torch.allclose(normed.mean(-1), torch.zeros(2, 5), atol=1e-6)
    with pytest.raises(RunError, match="the encoder needs h"):
        Tap()({})
