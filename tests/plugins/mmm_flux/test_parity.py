"""FLUX against diffusers'."""

import pytest
import torch

from mmm_flux.config import FluxConfig
from mmm_flux.foreign import LAYOUTS, read_diffusers, write_diffusers
from mmm_flux.keys import DIFFUSERS
from mmm_flux.model import Flux
from mmm_graph.checkpoint.load import load_module
from mmm_graph.checkpoint.reader import open_checkpoint

pytestmark = pytest.mark.parity

SMALL = {
    "in_channels": 16,
    "num_layers": 2,
    "num_single_layers": 2,
    "attention_head_dim": 12,
    "num_attention_heads": 2,
    "joint_attention_dim": 10,
    "pooled_projection_dim": 14,
    "axes_dims_rope": (2, 4, 6),
}
CASES = {
    "both": {},
    "both, guided": {"guidance_embeds": True},
    "double only": {"num_single_layers": 0, "guidance_embeds": True},
    "single only": {"num_layers": 0},
    "other channels out": {"out_channels": 8, "num_layers": 1, "axes_dims_rope": (4, 4, 4)},
}
SIZES = [(1, 8, 8), (2, 6, 10), (3, 12, 4)]
GUIDANCE = torch.tensor([3.5, 1.0, 7.25], dtype=torch.float64)


@pytest.fixture
def exact(monkeypatch):
    """diffusers turns queries and keys in float32; in float64 its waves are those of float32 all the same."""

    def turn(x, waves, sequence_dim):
        cos, sin = (wave.double()[None, :, None] for wave in waves)
        pairs = x.unflatten(-1, (-1, 2))
        crossed = torch.stack([-pairs[..., 1], pairs[..., 0]], -1).flatten(-2)
        return x * cos + crossed * sin

    monkeypatch.setattr("diffusers.models.transformers.transformer_flux.apply_rotary_emb", turn)


def reference(**change):
    from diffusers import FluxTransformer2DModel

    return FluxTransformer2DModel(**{**SMALL, **change})


def given(config, batch, height, width):
    draw = torch.Generator().manual_seed(batch)
    sizes = {
        "x": (batch, config.in_channels, height, width),
        "cond.embeds": (batch, 5, 10),
        "cond.pooled": (batch, 14),
    }
    state = {name: torch.randn(size, generator=draw, dtype=torch.float64) for name, size in sizes.items()}
    state["t"] = torch.tensor([0.25, 0.875, 1.0], dtype=torch.float64)[:batch]
    if config.guidance:
        state["cond.guidance"] = GUIDANCE[:batch]
    return state


def theirs_of(model, state):
    """Their model between packing and unpacking, as their pipeline has it."""
    from diffusers import FluxPipeline

    x, words = state["x"], state["cond.embeds"]
    batch, channels, height, width = x.shape
    double = {"device": x.device, "dtype": x.dtype}
    packed = model(
        hidden_states=FluxPipeline._pack_latents(x, batch, channels, height, width),
        encoder_hidden_states=words,
        pooled_projections=state["cond.pooled"],
        timestep=state["t"],
        img_ids=FluxPipeline._prepare_latent_image_ids(batch, height // 2, width // 2, **double),
        txt_ids=torch.zeros(words.shape[1], 3, dtype=x.dtype),
        guidance=state.get("cond.guidance"),
    ).sample
    return FluxPipeline._unpack_latents(packed, height * 8, width * 8, 8)


def close(got, want):
    return (got - want).abs().max() <= 1e-10 * want.abs().max()


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("case", CASES)
def test_forward(copy_weights, scramble, exact, case, size):
    model = scramble(reference(**CASES[case]))
    config = FluxConfig(**read_diffusers(model.config))
    ours = Flux(config).double()
    assert copy_weights(ours, model, DIFFUSERS) == set()
    state = given(config, *size)
    with torch.no_grad():
        want, got = theirs_of(model, state), ours(state)["pred"]
    assert got.shape == (size[0], config.out_channels, *size[1:])
    assert close(got, want)


def test_in_float32_their_own_rotation_is_ours(copy_weights, scramble):
    model = scramble(reference(guidance_embeds=True)).float()
    config = FluxConfig(**read_diffusers(model.config))
    ours = Flux(config)
    copy_weights(ours, model, DIFFUSERS)
    state = {name: value.float() for name, value in given(config, 2, 6, 10).items()}
    with torch.no_grad():
        torch.testing.assert_close(ours(state)["pred"], theirs_of(model, state), rtol=1e-4, atol=1e-4)


def test_their_file_is_read_whole(tmp_path, scramble, exact):
    model = scramble(reference(guidance_embeds=True))
    model.save_pretrained(tmp_path)
    config = FluxConfig(**read_diffusers(model.config))
    ours = Flux(config).double()
    file = open_checkpoint(tmp_path / LAYOUTS[0].file)
    load_module(ours, file, layouts=LAYOUTS, config=config)
    state = given(config, 2, 8, 4)
    with torch.no_grad():
        assert close(ours(state)["pred"], theirs_of(model, state))


@pytest.mark.parametrize("case", CASES)
def test_configs_go_both_ways(case):
    from diffusers import FluxTransformer2DModel

    first = reference(**CASES[case])
    config = FluxConfig(**read_diffusers(first.config))
    written = write_diffusers(config)
    again = FluxTransformer2DModel.from_config(written)
    shapes = {name: value.shape for name, value in first.state_dict().items()}
    assert {name: value.shape for name, value in again.state_dict().items()} == shapes
    assert FluxConfig(**read_diffusers(written)) == config


@pytest.mark.parametrize(("guided", "count"), [(True, 11_901_408_320), (False, 11_891_178_560)])
def test_full_size_is_flux_1(guided, count):
    from diffusers import FluxTransformer2DModel

    with torch.device("meta"):
        ours, model = Flux(FluxConfig(guidance=guided)), FluxTransformer2DModel(guidance_embeds=guided)
    assert FluxConfig(**read_diffusers(model.config)) == FluxConfig(guidance=guided)
    shapes = {name: value.shape for name, value in model.state_dict().items()}
    names = [name.removeprefix("parts.") for name in ours.state_dict()]
    where = LAYOUTS[0].theirs(names)
    mapped = {where[n].names[0]: v.shape for n, v in zip(names, ours.state_dict().values(), strict=True)}
    assert mapped == shapes
    assert sum(p.numel() for p in ours.parameters()) == count
