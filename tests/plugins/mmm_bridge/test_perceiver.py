"""adaptor.perceiver: the resamplers of IDEFICS and of OpenFlamingo."""

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from mmm_bridge.perceiver.config import PerceiverConfig
from mmm_bridge.perceiver.foreign import LAYOUTS, read_idefics
from mmm_bridge.perceiver.model import Perceiver
from mmm_bridge.perceiver.node import PERCEIVER
from mmm_bridge.perceiver.parts import TOKENS, perceiver_parts, perceiver_path, perceiver_sharding
from mmm_graph.checkpoint.save import as_foreign
from mmm_graph.testing import check_node
from tests.plugins.mmm_bridge.peers import close, idefics, loaded, ours_of, put_back, run, saved

PREFIX = "model.perceiver_resampler"
CASES = [
    {"resampler_n_latents": 5, "resampler_depth": 2, "resampler_n_heads": 3, "resampler_head_dim": 7},
    {
        **{"resampler_n_latents": 1, "resampler_depth": 1, "resampler_n_heads": 2, "resampler_head_dim": 6},
        "qk_layer_norms_perceiver": True,
    },
    {
        **{"resampler_n_latents": 8, "resampler_depth": 3, "resampler_n_heads": 1, "resampler_head_dim": 16},
        "qk_layer_norms_perceiver": True,
    },
]
SMALL = {"in_dim": 12, "num_latents": 3, "depth": 2, "num_heads": 2, "head_dim": 5}


def features(length=7, width=12):
    return torch.randn(2, length, width, generator=torch.Generator().manual_seed(1))


@pytest.mark.parity
@pytest.mark.parametrize("case", CASES)
def test_saved_by_transformers_and_back(tmp_path, case):
    import transformers

    theirs = idefics(case)
    file = saved(theirs, tmp_path)
    config = PerceiverConfig(**read_idefics(theirs.config.to_dict()))
    ours = loaded(PERCEIVER, config, file, PREFIX)
    with torch.no_grad():
        for length in (1, 17):
            x = features(length)
            close(run(ours, features=x)["embeds"], theirs.model.perceiver_resampler(x))
        for weight in ours.parameters():
            weight.mul_(1.5)
    put_back(ours, PERCEIVER, config, file, f"{PREFIX}.")
    again = transformers.IdeficsForVisionText2Text.from_pretrained(tmp_path)
    with torch.no_grad():
        close(again.model.perceiver_resampler(features()), run(ours, features=features())["embeds"])


class OpenFlamingoLayer(nn.Module):
    """A layer as OpenFlamingo names and computes it; written from its formulas, not from its code."""

    def __init__(self, dim, heads, head_dim):
        super().__init__()
        inner = heads * head_dim
        attn = nn.Module()
        attn.norm_media, attn.norm_latents = nn.LayerNorm(dim), nn.LayerNorm(dim)
        attn.to_q = nn.Linear(dim, inner, bias=False)
        attn.to_kv = nn.Linear(dim, 2 * inner, bias=False)
        attn.to_out = nn.Linear(inner, dim, bias=False)
        up, down = nn.Linear(dim, 4 * dim, bias=False), nn.Linear(4 * dim, dim, bias=False)
        self.pair = nn.ModuleList([attn, nn.Sequential(nn.LayerNorm(dim), up, nn.GELU(), down)])
        self.heads = heads

    def forward(self, x, media):
        attn, mlp = self.pair
        latents = attn.norm_latents(x)
        k, v = attn.to_kv(torch.cat([attn.norm_media(media), latents], 1)).chunk(2, -1)
        q, k, v = (y.unflatten(-1, (self.heads, -1)) for y in (attn.to_q(latents), k, v))
        weights = torch.einsum("bink,bjnk->bnij", q, k).div(q.shape[-1] ** 0.5).softmax(-1)
        x = x + attn.to_out(torch.einsum("bnij,bjnk->bink", weights, v).flatten(2))
        return x + mlp(x)


@pytest.mark.parametrize("depth", [1, 3])
def test_open_flamingo_files(tmp_path, depth):
    torch.manual_seed(0)
    layers = [OpenFlamingoLayer(12, 2, 5) for _ in range(depth)]
    latents, norm = torch.randn(3, 12), nn.LayerNorm(12)
    tensors = {"latents": latents, "norm.weight": norm.weight.data, "norm.bias": norm.bias.data}
    for i, layer in enumerate(layers):
        tensors |= {f"layers.{i}.{k}": v for k, v in layer.pair.state_dict().items()}
    file = tmp_path / "a.safetensors"
    save_file({f"perceiver.{k}": v for k, v in tensors.items()}, file)
    config = PerceiverConfig(**{**SMALL, "depth": depth, "out_dim": 12})
    ours = loaded(PERCEIVER, config, file, "perceiver")
    x, media = latents.expand(2, -1, -1), features()
    with torch.no_grad():
        for layer in layers:
            x = layer(x, media)
        close(run(ours, features=media)["embeds"], norm(x))
    back = as_foreign(ours_of(ours), LAYOUTS[1], config)
    assert back.keys() == tensors.keys() and all(torch.equal(back[k], tensors[k]) for k in back)


@pytest.mark.parity
def test_full_size_is_that_of_idefics_9b():
    import transformers
    from transformers.models.idefics.perceiver import IdeficsPerceiverResampler

    theirs = transformers.IdeficsConfig(  # HuggingFaceM4/idefics-9b
        use_resampler=True,
        vision_config={
            "embed_dim": 1280,
            "intermediate_size": 5120,
            "num_hidden_layers": 32,
            "patch_size": 14,
        },
        perceiver_config={"use_resampler": True, "qk_layer_norms_perceiver": True},
    )
    said = theirs.perceiver_config
    sizes = (said.resampler_depth, said.resampler_n_heads, said.resampler_head_dim, said.resampler_n_latents)
    config = PerceiverConfig(**read_idefics(theirs.to_dict()))
    with torch.device("meta"):
        want = IdeficsPerceiverResampler(theirs, 1280, *sizes).state_dict()
        mine = ours_of(Perceiver(config))
    where = LAYOUTS[0].theirs(mine, config)
    assert {where[k].names[0]: v.shape for k, v in mine.items()} == {k: v.shape for k, v in want.items()}
    total = sum(v.numel() for v in want.values())
    assert sum(part.params for part in perceiver_parts(config)) == total == 125_961_984


def test_widths_that_differ_are_projected():
    torch.manual_seed(0)
    plain = Perceiver(PerceiverConfig(**SMALL, out_dim=12)).eval()
    wider = Perceiver(PerceiverConfig(**SMALL, out_dim=20)).eval()
    wider.load_state_dict(plain.state_dict(), strict=False)
    proj = wider.parts["end"].proj
    close(run(wider, features=features())["embeds"], proj(run(plain, features=features())["embeds"]).detach())
    assert PerceiverConfig(**SMALL, out_dim=12, projection=True).projects
    with pytest.raises(ValueError, match="in_dim is 12 and out_dim 20, which needs a projection"):
        PerceiverConfig(**SMALL, out_dim=20, projection=False)


@pytest.mark.parametrize("changes", [{}, {"qk_norm": True, "out_dim": 20, "activation": "relu"}])
def test_table_is_true_of_the_module(check_parts, changes):
    config = PerceiverConfig(**{**SMALL, "out_dim": 12, **changes})
    with torch.device("meta"):
        given = {"features": torch.zeros(1, TOKENS, 12)}
        check_parts(perceiver_parts(config), Perceiver(config), given, perceiver_path(config, None))
    assert perceiver_sharding(config).heads == 2


def test_the_node_keeps_its_promises_on_two_ranks_too():
    check_node(PERCEIVER, config={**SMALL, "out_dim": 20, "qk_norm": True, "num_heads": 3})


def test_no_resampler_is_said():
    with pytest.raises(ValueError, match="use_resampler: False means that there is no perceiver"):
        read_idefics({"perceiver_config": {}})
