"""Configs and files of diffusers' SD3Transformer2DModel."""

from __future__ import annotations

import pytest
import torch

from mmm_graph.checkpoint.load import load_module
from mmm_graph.checkpoint.reader import open_checkpoint
from mmm_graph.checkpoint.save import save_foreign
from mmm_mmdit.config import MMDiTConfig
from mmm_mmdit.foreign import LAYOUTS, read_diffusers, write_diffusers
from mmm_mmdit.foreign import shapes as patch_shapes
from mmm_mmdit.keys import POSITIONS
from mmm_mmdit.model import MMDiT
from mmm_mmdit.parts import mmdit_parts

pytestmark = pytest.mark.parity

SMALL = {"sample_size": 8, "num_layers": 3, "num_attention_heads": 2, "attention_head_dim": 8,
         "joint_attention_dim": 12, "caption_projection_dim": 16, "pooled_projection_dim": 10,
         "pos_embed_max_size": 12, "in_channels": 4, "out_channels": 4}  # fmt: skip
CASES = {
    "sd3": {},
    "norms": {"qk_norm": "rms_norm"},
    "dual": {"qk_norm": "rms_norm", "dual_attention_layers": (0, 1)},
    "dual without norms": {"dual_attention_layers": (2,), "out_channels": 8},
}
PUBLISHED = {
    "SD3 medium": ({"num_layers": 24, "num_attention_heads": 24, "caption_projection_dim": 1536,
                    "pos_embed_max_size": 192}, 2_028_328_000),
    "SD3.5 large": ({"num_layers": 38, "num_attention_heads": 38, "caption_projection_dim": 2432,
                     "pos_embed_max_size": 192, "qk_norm": "rms_norm"}, 8_056_627_520),
    "SD3.5 medium": ({"num_layers": 24, "num_attention_heads": 24, "caption_projection_dim": 1536,
                      "pos_embed_max_size": 384, "qk_norm": "rms_norm",
                      "dual_attention_layers": tuple(range(13))}, 2_243_171_520),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(("batch", "height", "width"), [(1, 8, 8), (3, 6, 10)])
def test_a_saved_model_is_the_same(case, batch, height, width, scramble, exact_norms, tmp_path):
    from diffusers import SD3Transformer2DModel

    reference = scramble(SD3Transformer2DModel(**{**SMALL, **CASES[case]}))
    reference.save_pretrained(tmp_path / "theirs")
    config = MMDiTConfig(**read_diffusers(dict(reference.config)))
    assert config.prediction == "flow"
    ours = MMDiT(config)
    load_module(
        ours, open_checkpoint(tmp_path / "theirs"), layouts=LAYOUTS, config=config, dtype=torch.float64
    )
    x, t = torch.randn(batch, 4, height, width, dtype=torch.float64), torch.rand(batch)
    text, pooled = torch.randn(batch, 7, 12, dtype=torch.float64), torch.randn(batch, 10, dtype=torch.float64)
    with torch.no_grad():
        want = exact_norms(reference)(x, text, pooled, t * 1000).sample
        got = ours({"x": x, "t": t, "cond.embeds": text, "cond.pooled": pooled})["pred"]
    assert (got - want).abs().max() <= 1e-10 * want.abs().max()

    save_foreign(ours, tmp_path / "ours" / LAYOUTS[0].file, LAYOUTS[0], config)
    again = SD3Transformer2DModel.from_config(write_diffusers(config))
    buffers = {"pos_embed.pos_embed"}
    written = open_checkpoint(tmp_path / "ours").shapes
    assert written == {n: tuple(v.shape) for n, v in again.state_dict().items() if n not in buffers}


@pytest.mark.parametrize("name", PUBLISHED)
def test_full_size(name):
    from diffusers import SD3Transformer2DModel

    sizes, weights = PUBLISHED[name]
    with torch.device("meta"):
        reference = SD3Transformer2DModel(attention_head_dim=64, joint_attention_dim=4096, **sizes)
        config = MMDiTConfig(**read_diffusers(dict(reference.config)))
        ours = MMDiT(config)
    rows = LAYOUTS[0].theirs({n.removeprefix("parts.") for n in ours.state_dict()}, config)
    shapes = {rows[n.removeprefix("parts.")].names[0]: tuple(v.shape) for n, v in ours.state_dict().items()}
    theirs = {n: tuple(v.shape) for n, v in reference.state_dict().items() if n != POSITIONS}
    assert {**shapes, **patch_shapes(config)} == theirs
    found = sum(p.numel() for p in ours.parameters())
    assert found == sum(p.numel() for p in reference.parameters()) == weights
    assert found == sum(part.params for part in mmdit_parts(config))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("qk_norm", "layer_norm"),
        ("caption_projection_dim", 15),
        ("new_field", 1),
        ("dual_attention_layers", (9,)),
    ],
)
def test_what_is_refused(field, value):
    with pytest.raises(ValueError, match=r"not supported|dual_blocks"):
        MMDiTConfig(**read_diffusers({**SMALL, field: value}))


@pytest.mark.parametrize(
    ("field", "value"), [("mlp_ratio", 2.0), ("freq_dim", 64), ("eps", 1e-5), ("time_scale", 1.0)]
)
def test_what_theirs_cannot_say(field, value):
    with pytest.raises(ValueError, match=f"{field}: {value} cannot be written"):
        write_diffusers(MMDiTConfig(**{field: value}))
