"""What of diffusers' configs is refused, either way."""

import pytest

from mmm_flux.config import FluxConfig
from mmm_flux.foreign import read_diffusers, write_diffusers


def test_missing_fields_have_their_defaults():
    assert FluxConfig(**read_diffusers({})) == FluxConfig(guidance=False)
    assert FluxConfig(
        **read_diffusers({"_class_name": "FluxTransformer2DModel", "guidance_embeds": True})
    ) == (FluxConfig())
    filled = FluxConfig(**read_diffusers({"in_channels": 384, "out_channels": 64}))  # FLUX.1 Fill
    assert (filled.in_channels, filled.out_channels) == (96, 16)


@pytest.mark.parametrize(
    ("theirs", "message"),
    [
        ({"patch_size": 2}, "patch_size: 2 is not supported; expected 1"),
        ({"in_channels": 62}, "in_channels: 62 is not supported; expected a multiple of 4"),
        ({"out_channels": 3}, "out_channels: 3 is not supported"),
        ({"axes_dims_rope": [64, 64]}, r"axes_dims_rope: \[64, 64\] is not supported; expected 3 even numbers"),
        ({"axes_dims_rope": [16, 56, 58]}, "axes_dims_rope: .* is not supported; .* sum up to attention_head_dim"),
        ({"axes_dims_rope": [15, 57, 56]}, "axes_dims_rope: .* is not supported"),
        ({"rope_theta": 2000}, "rope_theta: 2000 is not supported; known are attention_head_dim"),
    ],
)  # fmt: skip
def test_what_we_do_not_compute_is_refused(theirs, message):
    with pytest.raises(ValueError, match=message):
        read_diffusers(theirs)


@pytest.mark.parametrize(
    ("ours", "message"),
    [
        ({"patch_size": 4}, "patch_size: 4 cannot be written"),
        ({"mlp_ratio": 3}, "mlp_ratio: 3 cannot be written"),
        ({"eps": 1e-5}, "eps: 1e-05 cannot be written"),
        ({"time_scale": 1.0}, "times: 1.0 cannot be written"),
        ({"prediction": "v", "time_scale": 1000.0}, "prediction: v cannot be written"),
    ],
)
def test_what_they_cannot_say_is_not_written(ours, message):
    with pytest.raises(ValueError, match=message):
        write_diffusers(FluxConfig(**ours))
