"""What is told beside the time: sizes with pooled text, and the guidance scale."""

import pytest
import torch
from pydantic import ValidationError

from mmm_graph.errors import InputError, RunError
from mmm_unet.config import UNetConfig
from mmm_unet.embed import Embed

SMALL = {"channels": (16,), "attention": ("none",), "mid_attention": "none", "groups": 8}
X = {"x": torch.zeros(2, 4, 8, 8), "t": torch.tensor([3, 700])}
SIZES = {
    "cond.pooled": torch.ones(2, 10),
    "cond.sizes": torch.tensor([[64.0, 48.0, 0.0, 3.0, 64.0, 32.0]] * 2),
}
CASES = {
    "sizes": ({"size_dim": 6, "pooled_dim": 10}, SIZES),
    "guidance": ({"guidance_dim": 8}, {"cond.guidance": torch.tensor([1.5, 7.0])}),
}


@pytest.mark.parametrize("case", CASES)
def test_each_that_is_told_changes_the_time_vector(case):
    sizes, told = CASES[case]
    embed = Embed(UNetConfig(**SMALL, **sizes))
    base = embed({**X, **told})["temb"]
    assert base.shape == (2, 64)
    for key, value in told.items():
        assert not torch.allclose(embed({**X, **told, key: value + 1})["temb"], base), key
        with pytest.raises(RunError, match=f"needs {key}"):
            embed({**X, **{k: v for k, v in told.items() if k != key}})
        with pytest.raises(RunError, match=rf"{key} was given, but a U-Net without"):
            Embed(UNetConfig(**SMALL))({**X, key: value})


def test_sizes_are_exact_in_half_precision():
    embed = Embed(UNetConfig(**SMALL, size_dim=6, pooled_dim=10)).bfloat16()
    near = SIZES["cond.sizes"].clone()
    near[:, 0] += 0.2  # bfloat16 cannot tell 64 from 64.2
    half = {**X, "x": X["x"].bfloat16(), "cond.pooled": SIZES["cond.pooled"].bfloat16()}
    temb = [embed({**half, "cond.sizes": sizes})["temb"] for sizes in (SIZES["cond.sizes"], near)]
    assert temb[0].dtype is torch.bfloat16 and not torch.equal(*temb)


def test_a_size_that_does_not_divide_is_refused_with_the_next_one_that_does():
    levels = {"channels": (16, 16, 16), "attention": ("none",) * 3}
    with pytest.raises(RunError, match=r"x of 9 x 12 .* total stride 4(.|\n)*try 12 x 12"):
        Embed(UNetConfig(**{**SMALL, **levels}))({**X, "x": torch.zeros(2, 4, 9, 12)})


def test_the_width_of_the_pooled_text_must_be_known():
    with pytest.raises(InputError, match="pooled_dim is not known"):
        Embed(UNetConfig(**SMALL, size_dim=6))


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"pooled_dim": 4}, "pooled_dim is set but size_dim is not"),
        ({"size_dim": 5}, "size_dim"),
        ({"guidance_dim": 2}, "guidance_dim"),
    ],
)
def test_configs_that_cannot_be_built_are_refused(sizes, message):
    with pytest.raises(ValidationError, match=message):
        UNetConfig(**SMALL, **sizes)
