"""The U-Net of clips against diffusers' UNet3DConditionModel: outputs, files, sizes, and its parts table."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError

from mmm_graph.checkpoint.load import load_module
from mmm_graph.checkpoint.reader import open_checkpoint
from mmm_graph.checkpoint.save import save_foreign
from mmm_graph.errors import RunError
from mmm_video.config import UNet3dConfig
from mmm_video.foreign import LAYOUTS, read_diffusers, write_diffusers
from mmm_video.model import UNet3d
from mmm_video.parts import COND_TOKENS, unet_parts, unet_path

SMALL = {
    "block_out_channels": (16, 32), "down_block_types": ("CrossAttnDownBlock3D", "DownBlock3D"),
    "up_block_types": ("UpBlock3D", "CrossAttnUpBlock3D"), "layers_per_block": 1, "norm_num_groups": 8,
    "cross_attention_dim": 12, "attention_head_dim": 4, "sample_size": 8,
}  # fmt: skip
OTHER = {
    **SMALL, "block_out_channels": (8, 16, 16), "layers_per_block": 2, "attention_head_dim": 8, "norm_eps": 1e-6,
    "down_block_types": ("DownBlock3D", "CrossAttnDownBlock3D", "CrossAttnDownBlock3D"), "in_channels": 5,
    "up_block_types": ("CrossAttnUpBlock3D", "CrossAttnUpBlock3D", "UpBlock3D"), "sample_size": (8, 12),
}  # fmt: skip
CASES = {"small": SMALL, "other": OTHER}


def state(config, batch, frames, height, width):
    draw = torch.Generator().manual_seed(5)

    def normal(*shape):
        return torch.randn(*shape, generator=draw, dtype=torch.float64)

    x, cond = normal(batch, config.in_channels, frames, height, width), normal(batch, 7, 12)
    return {"x": x, "t": torch.arange(batch) * 300 + 7, "cond.embeds": cond}


def read(folder, config):
    model = UNet3d(config)
    load_module(model, open_checkpoint(folder), layouts=LAYOUTS, config=config, dtype=torch.float64)
    return model


@pytest.mark.parity
@pytest.mark.parametrize("case", CASES)
def test_a_saved_model_is_the_same_and_goes_back(case, scramble, tmp_path):
    from diffusers import UNet3DConditionModel

    reference = scramble(UNet3DConditionModel(**CASES[case]))
    reference.save_pretrained(tmp_path / "theirs")
    config = UNet3dConfig(**read_diffusers(dict(reference.config)))
    ours = read(tmp_path / "theirs", config)
    for size in ((1, 3, 8, 8), (2, 4, 8, 12), (2, 1, 12, 8)):
        given = state(config, *size)
        with torch.no_grad():
            want = reference(given["x"], given["t"], given["cond.embeds"]).sample
            got = ours(given)["pred"]
        assert got.shape == want.shape
        assert (got - want).abs().max() <= 1e-10 * want.abs().max()

    save_foreign(ours, tmp_path / "ours" / LAYOUTS[0].file, LAYOUTS[0], config)
    again = UNet3DConditionModel.from_config(write_diffusers(config))
    back, wanted = open_checkpoint(tmp_path / "ours"), reference.state_dict()
    assert back.shapes == {n: tuple(v.shape) for n, v in again.state_dict().items()}
    found = dict(back.read(list(back.files)))
    assert all(torch.equal(found[name], value) for name, value in wanted.items())


@pytest.mark.parity
def test_full_size_is_zeroscope():
    from diffusers import UNet3DConditionModel

    with torch.device("meta"):
        reference = UNet3DConditionModel(sample_size=32)
        config = UNet3dConfig(**read_diffusers(dict(reference.config)))
        ours = UNet3d(config)
    assert config == UNet3dConfig(cond_dim=1024)
    rows = LAYOUTS[0].theirs({n.removeprefix("parts.") for n in ours.state_dict()}, config)
    shapes = {rows[n.removeprefix("parts.")].names[0]: tuple(v.shape) for n, v in ours.state_dict().items()}
    assert LAYOUTS[0].shapes(config).keys() <= shapes.keys()
    shapes |= LAYOUTS[0].shapes(config)
    assert shapes == {n: tuple(v.shape) for n, v in reference.state_dict().items()}
    count = sum(p.numel() for p in reference.parameters())
    assert count == sum(p.numel() for p in ours.parameters()) == sum(p.params for p in unet_parts(config))
    assert count == 1_411_233_860


@pytest.mark.parametrize("case", CASES)
def test_table_is_true_of_the_module(case, check_parts):
    config = UNet3dConfig(**{**read_diffusers(CASES[case]), "num_frames": 3})
    size = config.sample_size
    with torch.device("meta"):
        given = {"x": torch.zeros(1, config.in_channels, 3, size, size), "t": torch.zeros(1)}
        given["cond.embeds"] = torch.zeros(1, COND_TOKENS, 12)
        found = check_parts(unet_parts(config), UNet3d(config), given)
    assert found["pred"].shape == (1, 4, 3, size, size)
    assert unet_path(config, None) == tuple(part.name for part in unet_parts(config))


def test_frames_see_each_other_and_elements_do_not(scramble):
    model = scramble(UNet3d(UNet3dConfig(**read_diffusers(SMALL))))
    given = state(UNet3dConfig(), 2, 4, 8, 8)
    base = model(given)["pred"]
    alone = model({key: value[:1] for key, value in given.items()})["pred"]
    assert torch.allclose(base[:1], alone, rtol=1e-10, atol=1e-10)
    changed = {**given, "x": given["x"].clone()}
    changed["x"][0, :, 3] += 1
    moved = (model(changed)["pred"] - base).abs().amax((1, 3, 4))
    assert moved[0].min() > 1e-6 and not moved[1].any()
    mask = torch.tensor([[True] * 7, [True] * 2 + [False] * 5])
    cut = {**given, "cond.mask": mask}
    shorter = {k: v[1:] for k, v in given.items()} | {"cond.embeds": given["cond.embeds"][1:, :2]}
    assert torch.allclose(model(cut)["pred"][1:], model(shorter)["pred"], rtol=1e-9, atol=1e-9)


def test_starts_at_zero_and_learns_from_the_first_step():
    model = UNet3d(UNet3dConfig(**read_diffusers(SMALL)))
    given = {
        k: v.float() if v.is_floating_point() else v for k, v in state(UNet3dConfig(), 1, 2, 8, 8).items()
    }
    pred = model(given)["pred"]
    assert not pred.any()
    (pred - given["x"]).square().mean().backward()
    assert model.parts["head"].conv.weight.grad.abs().sum() > 0
    with pytest.raises(RunError, match=r"x of 8 x 9 .* total stride 2"):
        model({**given, "x": torch.zeros(1, 4, 2, 8, 9)})
    with pytest.raises(RunError, match=r"needs cond\.embeds"):
        model({k: v for k, v in given.items() if k != "cond.embeds"})


@pytest.mark.parametrize(
    ("field", "value"),
    [("down_block_types", ("DownBlock2D", "DownBlock3D")), ("up_block_types", ("CrossAttnUpBlock3D", "UpBlock3D")),
     ("attention_head_dim", (4, 8)), ("downsample_padding", 0), ("act_fn", "gelu"), ("time_cond_proj_dim", 8),
     ("num_attention_heads", 2), ("something_new", 1)],
)  # fmt: skip
def test_what_is_refused(field, value):
    with pytest.raises(ValueError, match=f"{field}.*not supported"):
        read_diffusers({**SMALL, field: value})


@pytest.mark.parametrize(
    ("change", "message"),
    [({"attention": ("none",)}, "attention has 1 entries"), ({"groups": 5}, "do not divide into 5 groups"),
     ({"head_dim": 5}, "heads of 5"), ({"num_frames": 0}, "num_frames")],
)  # fmt: skip
def test_configs_that_cannot_be_built_are_refused(change, message):
    with pytest.raises(ValidationError, match=message):
        UNet3dConfig(**{**read_diffusers(SMALL), **change})
