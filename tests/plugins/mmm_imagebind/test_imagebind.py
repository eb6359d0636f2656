"""ImageBind's encoders of pictures, clips and sounds, held to torch's own layers under the published names."""

import math

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from mmm_graph.checkpoint.save import save_foreign
from mmm_graph.errors import RunError
from mmm_graph.nn.encoder_path import HiddenConfig
from mmm_graph.nn.parts import run_parts
from mmm_graph.testing import check_node
from mmm_imagebind.config import SoundConfig, VisionConfig
from mmm_imagebind.model import ImageBind
from mmm_imagebind.node import SOUND, VISION
from mmm_imagebind.parts import hidden_path, pooled_path, sound_parts, vision_parts
from tests.plugins.mmm_bridge.peers import loaded

SIZES = {"width": 12, "depth": 2, "num_heads": 2, "hidden": 48, "out_dim": 6}
PICTURES = VisionConfig(**SIZES, size=8, patch=4)
SOUNDS = SoundConfig(**SIZES, frames=13, bins=9, patch=4, stride=3)


class Block(nn.Module):
    def __init__(self, c):
        super().__init__()
        more = {"batch_first": True, "add_bias_kv": c.sound}
        self.attn = nn.MultiheadAttention(c.width, c.num_heads, **more)
        self.norm_1, self.norm_2 = nn.LayerNorm(c.width, 1e-6), nn.LayerNorm(c.width, 1e-6)
        self.mlp = nn.Module()
        self.mlp.fc1, self.mlp.fc2 = nn.Linear(c.width, c.hidden), nn.Linear(c.hidden, c.width)

    def forward(self, x):
        y = self.norm_1(x)
        x = x + self.attn(y, y, y, need_weights=False)[0]
        return x + self.mlp.fc2(nn.functional.gelu(self.mlp.fc1(self.norm_2(x))))


class Published(nn.Module):
    """One modality of ImageBind; a picture has been made a clip by repeating it."""

    def __init__(self, c):
        super().__init__()
        self.name = name = "audio" if c.sound else "vision"
        start, stem, helper = nn.Module(), nn.Module(), nn.Module()
        if c.sound:
            stem.proj = nn.Conv2d(1, c.width, c.patch, c.stride, bias=False)
            stem.norm_layer = nn.LayerNorm(c.width)
        else:
            kernel = (c.frames, c.patch, c.patch)
            stem.proj = nn.Sequential(nn.Identity(), nn.Conv3d(3, c.width, kernel, kernel, bias=False))
        helper.pos_embed = nn.Parameter(torch.zeros(1, c.tokens, c.width))
        start.cls_token = nn.Parameter(torch.zeros(1, 1, c.width))
        start.rgbt_stem, start.pos_embedding_helper = stem, helper
        trunk = nn.Module()
        trunk.pre_transformer_layer = nn.Sequential(nn.Identity() if c.sound else nn.LayerNorm(c.width, 1e-6))
        trunk.blocks = nn.Sequential(*(Block(c) for _ in range(c.depth)))
        head = nn.Sequential(
            nn.LayerNorm(c.width, 1e-6), nn.Identity(), nn.Linear(c.width, c.out_dim, bias=False)
        )
        end = nn.Sequential(nn.Identity(), nn.Module())
        if c.sound:
            end[1].register_buffer("log_logit_scale", torch.tensor(math.log(20.0)))
        self.modality_preprocessors, self.modality_trunks = (
            nn.ModuleDict({name: start}),
            nn.ModuleDict({name: trunk}),
        )
        self.modality_heads, self.modality_postprocessors = (
            nn.ModuleDict({name: head}),
            nn.ModuleDict({name: end}),
        )

    def forward(self, x):
        start, trunk = self.modality_preprocessors[self.name], self.modality_trunks[self.name]
        tokens = start.rgbt_stem.proj(x).flatten(2).transpose(1, 2)
        if self.name == "audio":
            tokens = start.rgbt_stem.norm_layer(tokens)
        tokens = torch.cat([start.cls_token.expand(len(x), -1, -1), tokens], dim=1)
        tokens = tokens + start.pos_embedding_helper.pos_embed
        tokens = trunk.blocks(trunk.pre_transformer_layer(tokens))
        head = self.modality_heads[self.name]
        vector = nn.functional.normalize(head[2](head[0](tokens)[:, 0]), dim=-1)
        return head[0](tokens), vector * (20.0 if self.name == "audio" else 1.0)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """Both encoders and something of a third one in one file, and the reference of each."""
    torch.manual_seed(0)
    theirs = {"vision": Published(PICTURES).eval(), "audio": Published(SOUNDS).eval()}
    with torch.no_grad():
        for weight in [w for model in theirs.values() for w in model.parameters()]:
            weight.add_(torch.randn(weight.shape) * 0.2)
    state = {k: v.contiguous() for model in theirs.values() for k, v in model.state_dict().items()}
    path = tmp_path_factory.mktemp("imagebind") / "model.safetensors"
    save_file({**state, "modality_trunks.imu.blocks.0.norm_1.weight": torch.zeros(3)}, path)
    return path, theirs, state


@pytest.mark.parity
def test_pictures_and_clips_are_those_of_the_published_one(file):
    path, theirs, _ = file
    ours, x = loaded(VISION, PICTURES, path), torch.randn(3, 2, 3, 8, 8)  # b f c h w
    with torch.no_grad():
        for given, clip in (({"video": x}, x), ({"image": x[:, 0]}, x[:, :1].expand_as(x))):
            embeds, pooled = theirs["vision"](clip.transpose(1, 2))
            found = ours(given)
            torch.testing.assert_close(found["embeds"], embeds, rtol=1e-5, atol=1e-5)
            torch.testing.assert_close(found["pooled"], pooled, rtol=1e-5, atol=1e-5)
            call = HiddenConfig(select="patch")
            patches = run_parts(ours.parts, hidden_path(PICTURES, call), given)["embeds"]
            torch.testing.assert_close(patches, embeds[:, 1:], rtol=1e-5, atol=1e-5)
    with pytest.raises(RunError, match=r"clips of 3 frames of 8 x 8 px, but the encoder takes 2"):
        ours({"video": torch.zeros(1, 3, 3, 8, 8)})


@pytest.mark.parity
def test_sounds_are_those_of_the_published_one(file):
    path, theirs, _ = file
    ours, mel = loaded(SOUND, SOUNDS, path), torch.randn(3, 13, 9)
    with torch.no_grad():
        embeds, pooled = theirs["audio"](mel.mT[:, None])
        found = ours({"mel": mel})
        torch.testing.assert_close(found["embeds"], embeds, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(found["pooled"], pooled, rtol=1e-5, atol=1e-5)
        vector = run_parts(ours.parts, pooled_path(SOUNDS), {"mel": mel})["embeds"]
        torch.testing.assert_close(vector.norm(dim=-1), torch.full((3,), 20.0))
    with pytest.raises(RunError, match=r"E772.*12 frames x 9 bins"):
        ours({"mel": torch.zeros(1, 12, 9)})


def test_it_is_written_as_it_was_read(file, tmp_path):
    path, _, state = file
    for kind, config, name in ((VISION, PICTURES, ".vision."), (SOUND, SOUNDS, ".audio.")):
        save_foreign(loaded(kind, config, path), tmp_path / "written.safetensors", kind.layouts[0], config)
        written = load_file(tmp_path / "written.safetensors")
        expected = {k: v for k, v in state.items() if name in k}
        assert written.keys() == expected.keys()
        assert all(torch.equal(written[k], v) for k, v in expected.items())


@pytest.mark.parametrize(
    ("config", "parts", "params", "tokens"),
    [(VisionConfig(), vision_parts, 632_829_440, 257), (SoundConfig(), sound_parts, 86_235_649, 229)],
    ids=["vision", "sound"],
)
def test_full_sizes_are_those_of_the_huge_one(config, parts, params, tokens):
    with torch.device("meta"):
        ours, theirs = ImageBind(config), Published(config)
    count = sum(t.numel() for t in theirs.state_dict().values())
    assert sum(p.numel() for p in ours.parameters()) == count == params
    assert sum(part.params for part in parts(config)) == params and config.tokens == tokens


def test_tables_are_true_of_the_modules(check_parts):
    for parts, config, given in (
        (vision_parts, PICTURES, {"image": torch.zeros(1, 3, 8, 8, device="meta")}),
        (sound_parts, SOUNDS, {"mel": torch.zeros(1, 13, 9, device="meta")}),
    ):
        with torch.device("meta"):
            model = ImageBind(config)
        call = HiddenConfig(select="patch")
        state = check_parts(parts(config), model, given, (*hidden_path(config, call), "pool"))
        assert state["embeds"].shape == (1, config.patches, 12) and state["pooled"].shape == (1, 6)


def test_the_nodes_keep_their_promises():
    check_node(VISION, config={**SIZES, "size": 8, "patch": 4})
    check_node(SOUND, config={**SIZES, "frames": 13, "bins": 9, "patch": 4, "stride": 3})
    with pytest.raises(ValueError, match="size 9 does not divide"):
        VisionConfig(**SIZES, size=9, patch=4)
    with pytest.raises(ValueError, match="has no patch of 16 x 16"):
        SoundConfig(**SIZES, bins=9)
