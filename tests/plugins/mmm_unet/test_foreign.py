"""Configs and files of diffusers' UNet2DConditionModel, and the layout of the first files."""

from __future__ import annotations

import pytest
import torch

from mmm_graph.checkpoint.load import load_module
from mmm_graph.checkpoint.reader import open_checkpoint
from mmm_graph.checkpoint.save import save_foreign
from mmm_unet.config import UNetConfig
from mmm_unet.foreign import LAYOUTS, read_diffusers, write_diffusers
from mmm_unet.model import UNet
from mmm_unet.parts import unet_parts

pytestmark = pytest.mark.parity

TWO = {"down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
       "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"), "block_out_channels": (16, 32),
       "norm_num_groups": 8, "cross_attention_dim": 12, "sample_size": 8}  # fmt: skip
XL = {"down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
      "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"), "block_out_channels": (16, 32, 32),
      "norm_num_groups": 8, "cross_attention_dim": 12, "sample_size": 8, "use_linear_projection": True,
      "transformer_layers_per_block": (1, 2, 3), "attention_head_dim": (2, 4, 8), "addition_embed_type": "text_time",
      "addition_time_embed_dim": 8, "projection_class_embeddings_input_dim": 58}  # fmt: skip
CASES = {
    "sd1": {**TWO, "layers_per_block": 2, "attention_head_dim": 4},
    "sd2": {**TWO, "layers_per_block": 1, "attention_head_dim": (2, 4), "use_linear_projection": True},
    "inpainting": {**TWO, "layers_per_block": 1, "attention_head_dim": 2, "in_channels": 9},
    "classes": {**TWO, "layers_per_block": 1, "num_class_embeds": 3, "attention_head_dim": 2},
    "sdxl": {**XL, "layers_per_block": 1},
    "guided": {**TWO, "layers_per_block": 1, "attention_head_dim": 2, "time_cond_proj_dim": 10},
    "pixels": {
        **TWO,
        "layers_per_block": 1,
        "attention_head_dim": (4, 4),
        "act_fn": "swish",
        "downsample_padding": 0,
        "down_block_types": ("AttnDownBlock2D", "CrossAttnDownBlock2D"),
        "freq_shift": 1,
        "up_block_types": ("CrossAttnUpBlock2D", "AttnUpBlock2D"),
        "flip_sin_to_cos": False,
    },
}
PUBLISHED = {
    "SD 1.5": ({"cross_attention_dim": 768, "attention_head_dim": 8, "sample_size": 64}, 859_520_964),
    "SD 2.1": ({"cross_attention_dim": 1024, "attention_head_dim": (5, 10, 20, 20), "sample_size": 96,
                "use_linear_projection": True, "upcast_attention": True}, 865_910_724),
    "SDXL": ({**XL, "block_out_channels": (320, 640, 1280), "norm_num_groups": 32, "cross_attention_dim": 2048,
              "sample_size": 128, "transformer_layers_per_block": (1, 2, 10), "attention_head_dim": (5, 10, 20),
              "addition_time_embed_dim": 256, "projection_class_embeddings_input_dim": 2816}, 2_567_463_684),
}  # fmt: skip


def state(config, batch, height, width):
    generator = torch.Generator().manual_seed(5)

    def draw(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    found = {"x": draw(batch, config.in_channels, height, width), "t": torch.arange(batch) * 300 + 7}
    found["cond.embeds"] = draw(batch, 7, 12)
    if config.num_classes:
        found["cond.label"] = torch.arange(batch)
    if config.guidance_dim:
        found["cond.guidance"] = torch.linspace(3.5, 8, batch)
    if config.size_dim:
        found["cond.pooled"] = draw(batch, config.pooled_dim)
        found["cond.sizes"] = torch.tensor([[64.0, 48.0, 0.0, 3.0, 64.0, 32.0]]).repeat(batch, 1)
    return found


def ask(reference, state):
    from diffusers import LatentConsistencyModelPipeline

    more = {"class_labels": state.get("cond.label")}
    if "cond.guidance" in state:
        told, size = state["cond.guidance"] - 1, reference.config.time_cond_proj_dim
        told = LatentConsistencyModelPipeline.get_guidance_scale_embedding(None, told, embedding_dim=size)
        more["timestep_cond"] = told.double()
    if "cond.sizes" in state:
        more["added_cond_kwargs"] = {"text_embeds": state["cond.pooled"], "time_ids": state["cond.sizes"]}
    return reference(state["x"], state["t"], state["cond.embeds"], **more).sample


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(("batch", "height", "width"), [(1, 8, 8), (3, 8, 12)])
def test_a_saved_model_is_the_same(case, batch, height, width, scramble, tmp_path):
    from diffusers import UNet2DConditionModel

    reference = scramble(UNet2DConditionModel(**CASES[case]))
    reference.save_pretrained(tmp_path / "theirs")
    config = UNetConfig(**read_diffusers(dict(reference.config)))
    ours = UNet(config)
    load_module(
        ours, open_checkpoint(tmp_path / "theirs"), layouts=LAYOUTS, config=config, dtype=torch.float64
    )
    given = state(config, batch, height, width)
    with torch.no_grad():
        want, got = ask(reference, given), ours(given)["pred"]
    assert (got - want).abs().max() <= 1e-10 * want.abs().max()

    save_foreign(ours, tmp_path / "ours" / LAYOUTS[0].file, LAYOUTS[0], config)
    again = UNet2DConditionModel.from_config(write_diffusers(config))
    assert open_checkpoint(tmp_path / "ours").shapes == {
        n: tuple(v.shape) for n, v in again.state_dict().items()
    }


@pytest.mark.parametrize("case", ["sd1", "sd2", "sdxl"])
def test_the_first_layout_is_what_diffusers_converts(case, scramble, tmp_path):
    from diffusers import UNet2DConditionModel
    from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint

    reference = scramble(UNet2DConditionModel(**CASES[case]))
    config = UNetConfig(**read_diffusers(dict(reference.config)))
    reference.save_pretrained(tmp_path / "theirs")
    ours = UNet(config)
    load_module(
        ours, open_checkpoint(tmp_path / "theirs"), layouts=LAYOUTS, config=config, dtype=torch.float64
    )
    original = tmp_path / "original.safetensors"
    save_foreign(ours, original, LAYOUTS[1], config)
    found = open_checkpoint(original)
    tensors = {f"model.diffusion_model.{n}": v for n, v in found.read(list(found.files))}
    converted = convert_ldm_unet_checkpoint(tensors, dict(reference.config))
    wanted = reference.state_dict()
    assert converted.keys() == wanted.keys()
    assert all(torch.equal(converted[n].reshape(v.shape), v) for n, v in wanted.items())
    again = UNet(config)
    load_module(again, found, layouts=LAYOUTS, config=config, dtype=torch.float64)
    assert all(torch.equal(v, ours.state_dict()[n]) for n, v in again.state_dict().items())


@pytest.mark.parametrize("name", PUBLISHED)
def test_full_size(name):
    from diffusers import UNet2DConditionModel

    sizes, weights = PUBLISHED[name]
    with torch.device("meta"):
        reference = UNet2DConditionModel(**sizes)
        config = UNetConfig(**read_diffusers(dict(reference.config)))
        ours = UNet(config)
    theirs = {n: tuple(v.shape) for n, v in reference.state_dict().items()}
    rows = LAYOUTS[0].theirs({n.removeprefix("parts.") for n in ours.state_dict()}, config)
    shapes = {rows[n.removeprefix("parts.")].names[0]: tuple(v.shape) for n, v in ours.state_dict().items()}
    assert shapes == theirs
    assert sum(p.numel() for p in ours.parameters()) == sum(p.params for p in unet_parts(config)) == weights


@pytest.mark.parametrize(
    ("field", "value"),
    [("class_embed_type", "timestep"), ("dual_cross_attention", True), ("addition_embed_type", "image"),
     ("mid_block_type", None), ("down_block_types", ("SimpleCrossAttnDownBlock2D", "DownBlock2D")),
     ("up_block_types", ("CrossAttnUpBlock2D", "UpBlock2D")), ("only_cross_attention", [True]),
     ("mid_block_only_cross_attention", True), ("cross_attention_dim", [1, 2]), ("layers_per_block", [1, 2]),
     ("transformer_layers_per_block", [[1, 2], 1]), ("reverse_transformer_layers_per_block", [1, 2]),
     ("attention_head_dim", [1, 2, 3]), ("num_attention_heads", 2), ("time_embedding_type", "fourier"),
     ("time_embedding_dim", 32), ("act_fn", "gelu"), ("center_input_sample", True), ("conv_in_kernel", 1),
     ("downsample_padding", 2), ("resnet_time_scale_shift", "scale_shift"), ("attention_type", "gated"),
     ("encoder_hid_dim", 8), ("something_new", 1)],
)  # fmt: skip
def test_what_is_refused(field, value):
    with pytest.raises(ValueError, match=f"{field}.*not supported"):
        read_diffusers({**TWO, field: value})
