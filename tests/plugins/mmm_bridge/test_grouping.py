"""adaptor.grouping: GroupViT's blocks as transformers and NExT-GPT have them, its noise, and what goes in."""

import pytest
import torch
import transformers
from safetensors.torch import save_file
from torch import nn
from transformers.models.groupvit.modeling_groupvit import GroupViTTokenAssign

from mmm_bridge.grouping.assign import Assign, Group
from mmm_bridge.grouping.config import GroupingConfig
from mmm_bridge.grouping.model import Grouping
from mmm_bridge.grouping.node import GROUPING
from mmm_bridge.grouping.parts import TOKENS, grouping_parts, grouping_path
from mmm_graph.errors import RunError
from mmm_graph.nn.drawing import Draws
from mmm_graph.testing import check_node
from tests.plugins.mmm_bridge.peers import loaded, randomised

SMALL = {
    "in_dim": 12,
    "out_dim": 10,
    "groups": (5, 3),
    "depths": (2, 1, 1),
    "width": 8,
    "num_heads": 2,
    "hidden": 32,
}


class Mlp(nn.Module):
    def __init__(self, a, hidden, b):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(a, hidden), nn.Linear(hidden, b)

    def forward(self, x):
        return self.fc2(nn.functional.gelu(self.fc1(x)))


class Mixer(Mlp):
    def forward(self, x):
        return super().forward(x.transpose(1, 2)).transpose(1, 2)


class Attn(nn.Module):
    """Queries, keys and values of one matrix."""

    def __init__(self, c):
        super().__init__()
        self.heads, self.qkv, self.proj = (
            c.num_heads,
            nn.Linear(c.width, 3 * c.width, False),
            nn.Linear(c.width, c.width),
        )

    def forward(self, x):
        q, k, v = self.qkv(x).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        weights = (q @ k.mT * q.shape[-1] ** -0.5).softmax(-1)
        return self.proj((weights @ v).transpose(1, 2).flatten(2))


class Block(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.norm1, self.attn, self.norm2 = nn.LayerNorm(c.width), Attn(c), nn.LayerNorm(c.width)
        self.mlp = Mlp(c.width, c.hidden, c.width)

    def forward(self, x):
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


def peer_block(c, count):
    """transformers' grouping block."""
    said = {"hidden_size": c.width, "num_attention_heads": c.num_heads, "intermediate_size": c.hidden}
    config = transformers.GroupViTVisionConfig(
        **said, hidden_act="gelu", assign_mlp_ratio=[0.5, c.hidden / c.width]
    )
    return GroupViTTokenAssign(config, count, count)


class Published(nn.Module):
    """NExT-GPT's projector by groups, whose grouping blocks are here those of transformers."""

    def __init__(self, c):
        super().__init__()
        self.in_fc, self.norm, self.out_fc = (
            nn.Linear(c.in_dim, c.width),
            nn.LayerNorm(c.width),
            nn.Linear(c.width, c.out_dim),
        )
        self.layers = nn.ModuleList()
        for i, depth in enumerate(c.depths):
            layer = nn.Module()
            layer.blocks = nn.ModuleList(Block(c) for _ in range(depth))
            if i < len(c.groups):
                layer.group_token = nn.Parameter(torch.zeros(1, c.groups[i], c.width))
                layer.downsample = peer_block(c, c.groups[i])
            if 0 < i < len(c.groups):
                mixer = Mixer(c.groups[i - 1], c.width // 2, c.groups[i])
                layer.group_projector = nn.Sequential(nn.LayerNorm(c.width), mixer)
            self.layers.append(layer)

    def forward(self, x):
        x, groups = self.in_fc(x), None
        for layer in self.layers:
            tokens = getattr(layer, "group_token", x[:1, :0])
            tokens = tokens.expand(len(x), -1, -1)
            if hasattr(layer, "group_projector"):
                tokens = tokens + layer.group_projector(groups)
            length = x.shape[1]
            x = torch.cat([x, tokens], dim=1)
            for block in layer.blocks:
                x = block(x)
            if hasattr(layer, "downsample"):
                groups = x[:, length:]
                x, _ = layer.downsample(x[:, :length], groups)
        return self.out_fc(self.norm(x))

    def names(self):
        """As NExT-GPT has them: attention before the assignment ends with `proj` there."""
        return {k.replace("attn.out_proj", "attn.proj"): v for k, v in self.state_dict().items()}


@pytest.mark.parity
def test_it_is_the_published_one(tmp_path):
    config = GroupingConfig(**SMALL)
    theirs = randomised(Published(config))
    save_file(
        {f"mm_input_projector.{k}": v for k, v in theirs.names().items()}, tmp_path / "model.safetensors"
    )
    ours = loaded(GROUPING, config, tmp_path / "model.safetensors", "mm_input_projector")
    x = torch.randn(3, 7, 12, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        torch.testing.assert_close(ours({"features": x})["embeds"], theirs(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parity
def test_gradients_are_those_of_transformers_with_the_same_noise(monkeypatch):
    config = GroupingConfig(**SMALL)
    theirs = randomised(peer_block(config, 5)).train()
    ours = Group(config, 0)
    copy = {k.replace("_proj.", "."): v for k, v in theirs.state_dict().items()}
    renamed = {
        "norm_tokens": "norm_groups",
        "norm_post_tokens": "norm_mixed",
        "mlp_inter": "mixer",
        "mlp_channels": "mlp",
    }
    renamed |= {
        "pre_assign_attn.attn": "cross",
        "pre_assign_attn.mlp": "look",
        "pre_assign_attn.norm2": "norm_look",
    }
    renamed |= {
        "pre_assign_attn.norm_post": "norm_looked",
        "norm_new_x": "norm_mlp",
        "assign.proj": "assign.out",
    }
    for old, new in {**renamed, "fc1": "up", "fc2": "down"}.items():
        copy = {k.replace(old, new): v for k, v in copy.items()}
    ours.load_state_dict(copy)
    noise = -torch.log(-torch.log(torch.rand(2, 5, 7, generator=torch.Generator().manual_seed(2))))
    monkeypatch.setattr(Assign, "_gumbel", lambda self, scores: noise)
    monkeypatch.setattr(torch.distributions.gumbel.Gumbel, "sample", lambda self, shape: noise)
    h = torch.randn(2, 12, 8, generator=torch.Generator().manual_seed(3), requires_grad=True)
    found = ours.train()({"h": h})["h"]
    expected, _ = theirs(h[:, :7], h[:, 7:])
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    (a,), (b,) = (torch.autograd.grad(y.square().sum(), h) for y in (found, expected))
    torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


def test_full_size_is_that_of_next_gpt():
    config = GroupingConfig(in_dim=1024, out_dim=4096)
    with torch.device("meta"):
        ours, theirs = Grouping(config), Published(config)
    params = sum(p.numel() for p in ours.parameters())
    assert params == sum(p.numel() for p in theirs.parameters()) == 53_144_912
    assert sum(part.params for part in grouping_parts(config)) == params


@pytest.mark.parametrize("more", [{}, {"groups": (4,), "depths": (2,)}, {"groups": (4,), "depths": (0, 1)}])
def test_table_is_true_of_the_module(check_parts, more):
    config = GroupingConfig(**{**SMALL, **more})
    with torch.device("meta"):
        given = {"features": torch.zeros(1, TOKENS, 12)}
        state = check_parts(
            grouping_parts(config), Grouping(config).eval(), given, grouping_path(config, None)
        )
    assert state["embeds"].shape == (1, config.num_embeds, 10)


def test_each_patch_is_in_one_group_and_inference_draws_nothing():
    torch.manual_seed(0)
    assign = Assign(8, 1.0, "group0").eval()
    groups, x = torch.randn(2, 3, 8), torch.randn(2, 7, 8)
    chosen = assign.assignment(groups, x)
    with torch.no_grad():
        hard = assign.assignment(groups, x)
    torch.testing.assert_close(chosen, hard)
    assert set(hard.unique().tolist()) == {0.0, 1.0} and torch.equal(hard.sum(1), torch.ones(2, 7))
    assert (hard.sum((0, 2)) > 0).sum() > 1, "not all in one group"


def test_noise_is_keyed_by_step_and_sample():
    torch.manual_seed(0)
    model = Grouping(GroupingConfig(**SMALL))
    x = torch.randn(4, 7, 12)
    draws = Draws({"see": model.train()})

    def run(seed, elements):
        draws.at((seed,) * len(elements), elements)
        state = torch.get_rng_state()
        y = model({"features": x[list(elements)]})["embeds"]
        assert torch.equal(state, torch.get_rng_state())
        return y

    whole = run(7, (0, 1, 2, 3))
    assert torch.equal(run(7, (0, 1, 2, 3)), whole) and not torch.equal(run(8, (0, 1, 2, 3)), whole)
    parts = torch.cat([run(7, (0, 1)), run(7, (2, 3))])
    torch.testing.assert_close(parts, whole)
    with pytest.raises(RunError, match="E789"):
        Grouping(GroupingConfig(**SMALL)).train()({"features": x})


def test_the_node_keeps_its_promises():
    check_node(GROUPING, config=SMALL, dims={"l": 7})
    for said, match in [
        ({"width": 9}, "9 does not divide into 2 heads"),
        ({"depths": (1,)}, "1 depths for 2 groups"),
        ({"groups": (3, 5)}, "become fewer"),
        ({"groups": (3, 0)}, "1 or more"),
    ]:
        with pytest.raises(ValueError, match=match):
            GroupingConfig(**{**SMALL, **said})
