import pytest
import torch
from pydantic import ValidationError

from mmm_graph.errors import RunError
from mmm_graph.nn.noise import Noise
from mmm_vae.config import EncodeConfig, NoiseConfig, VaeConfig
from mmm_vae.model import AutoencoderKL

SMALL = {
    "image_channels": 1,
    "channels": (8, 16, 16),
    "groups": 4,
    "layers_per_block": 1,
    "scaling_factor": 0.5,
}


@pytest.fixture
def model():
    return AutoencoderKL(VaeConfig(**SMALL))


def test_shapes_there_and_back(model):
    noise = Noise((3,), "z", (0, 1))
    got = model.encode(torch.rand(2, 1, 16, 24), EncodeConfig(), noise)
    assert {k: tuple(v.shape) for k, v in got.items()} == dict.fromkeys(
        ("latents", "mean", "logvar"), (2, 4, 4, 6)
    )
    assert model.decode(got["latents"]).shape == (2, 1, 16, 24)


def test_a_sample_is_drawn_around_the_mode_by_the_noise_it_is_given(model):
    image, noise = torch.rand(2, 1, 16, 16), Noise((3,), "z", (0, 1))
    mode = model.encode(image, EncodeConfig(), noise)
    sample = model.encode(image, EncodeConfig(sample=True), noise)["latents"]
    drawn = (sample - mode["latents"]) / 0.5 / (0.5 * mode["logvar"]).exp()
    assert torch.allclose(drawn, noise.normal((4, 4, 4)), atol=1e-4)
    again = model.encode(image, EncodeConfig(sample=True), Noise((3,), "z", (0, 1)))["latents"]
    assert torch.equal(sample, again)


def test_log_variance_is_kept_in_range(model):
    torch.nn.init.constant_(model.parts["enc_out"].quant.bias, 1e3)
    assert model.posterior(torch.rand(1, 1, 8, 8))["logvar"].max() == 20
    torch.nn.init.constant_(model.parts["enc_out"].quant.bias, -1e3)
    assert model.posterior(torch.rand(1, 1, 8, 8))["logvar"].min() == -30


def test_of_a_mask_the_nearest_pixel_decides(model):
    mask = torch.rand(2, 1, 16, 24, generator=torch.Generator().manual_seed(1)) > 0.5
    found = model.mask(mask)
    factor = model.config.factor
    nearest = torch.nn.functional.interpolate(mask.float(), size=(16 // factor, 24 // factor))
    assert factor > 1 and found.dtype == torch.float32 and torch.equal(found, nearest)


def test_noise_has_the_shape_of_latents_and_the_dtype_of_the_weights(model):
    noise = Noise((3,), "noise", (0, 1, 2))
    drawn = model.bfloat16().noise(["a", "b", "c"], NoiseConfig(height=16, width=24), noise)
    assert (tuple(drawn.shape), drawn.dtype) == ((3, 4, 4, 6), torch.bfloat16)


def test_a_size_that_does_not_divide_is_refused_with_the_next_one_that_does(model):
    with pytest.raises(RunError, match=r"18 x 24 .*factor 4(.|\n)*try 20 x 24"):
        model.noise(["a"], NoiseConfig(height=18, width=24), Noise((3,), "noise", (0,)))


def test_factor_follows_from_the_channels():
    assert VaeConfig().factor == 8
    assert VaeConfig(**SMALL).factor == 4
    assert VaeConfig.model_validate(VaeConfig(**SMALL).model_dump()).factor == 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"factor": 8}, "factor is 8, but 3 levels"),
        ({"channels": ()}, "channels is empty"),
        ({"channels": (9, 16)}, "9 channels do not divide into 4 groups"),
        ({"depth": 2}, "depth"),
    ],
)
def test_configs_that_cannot_be_built_are_refused(change, message):
    with pytest.raises(ValidationError, match=message):
        VaeConfig(**{**SMALL, **change})


def test_it_learns():
    torch.manual_seed(0)
    model = AutoencoderKL(VaeConfig(**{**SMALL, "scaling_factor": 1.0}))
    optim = torch.optim.AdamW(model.parameters(), lr=3e-3)
    image = torch.zeros(4, 1, 8, 8)
    image[:2, :, :4] = 1
    losses = []
    for _ in range(25):
        loss = (model.decode(model.posterior(image)["mean"]) - image).square().mean()
        optim.zero_grad()
        loss.backward()
        optim.step()
        losses.append(loss.item())
    assert losses[-1] < 0.2 * losses[0]
