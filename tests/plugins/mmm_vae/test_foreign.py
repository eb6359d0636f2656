"""Configs and files of diffusers' AutoencoderKL, and the layouts of older files."""

from __future__ import annotations

import pytest
import torch

from mmm_graph.checkpoint.load import load_module
from mmm_graph.checkpoint.reader import open_checkpoint
from mmm_graph.checkpoint.save import save_foreign, save_tensors
from mmm_vae.config import VaeConfig
from mmm_vae.foreign import LAYOUTS, read_diffusers, write_diffusers
from mmm_vae.model import AutoencoderKL
from mmm_vae.parts import vae_parts

pytestmark = pytest.mark.parity


def sizes(channels, **more):
    levels = {"down_block_types": ("DownEncoderBlock2D",) * len(channels)}
    levels |= {"up_block_types": ("UpDecoderBlock2D",) * len(channels)}
    return {"block_out_channels": channels, "norm_num_groups": 8, "sample_size": 16, **levels, **more}


NO_QUANT = {"use_quant_conv": False, "use_post_quant_conv": False}
CASES = {
    "sd": sizes((8, 16), layers_per_block=2),
    "sd3": sizes((8, 16, 16), latent_channels=16, scaling_factor=1.5305, shift_factor=0.0609, **NO_QUANT),
    "no attention": sizes((8, 16, 24), mid_block_add_attention=False),
}
PUBLISHED = {
    "SD": (sizes((128, 256, 512, 512), norm_num_groups=32, layers_per_block=2), 83_653_863),
    "FLUX": (sizes((128, 256, 512, 512), norm_num_groups=32, layers_per_block=2, latent_channels=16, **NO_QUANT),
             83_819_683),
}  # fmt: skip


def load(folder, reference):
    config = VaeConfig(**read_diffusers(dict(reference.config)))
    ours = AutoencoderKL(config)
    load_module(ours, open_checkpoint(folder), layouts=LAYOUTS, config=config, dtype=torch.float64)
    return ours, config


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(("batch", "height", "width"), [(1, 16, 16), (2, 16, 24)])
def test_a_saved_model_is_the_same(case, batch, height, width, scramble, tmp_path):
    from diffusers import AutoencoderKL as Theirs

    reference = scramble(Theirs(**CASES[case]))
    reference.save_pretrained(tmp_path / "theirs")
    ours, config = load(tmp_path / "theirs", reference)
    image = torch.rand(batch, 3, height, width, dtype=torch.float64)
    with torch.no_grad():
        posterior = reference.encode(image * 2 - 1).latent_dist
        found = ours.posterior(image)
        latents = (found["mean"] - config.shift_factor) * config.scaling_factor
        want = reference.decode(posterior.mean).sample / 2 + 0.5
        got = ours.decode(latents)
    for a, b in ((found["mean"], posterior.mean), (found["logvar"], posterior.logvar), (got, want)):
        assert (a - b).abs().max() <= 1e-10 * max(1.0, float(b.abs().max()))

    save_foreign(ours, tmp_path / "ours" / LAYOUTS[0].file, LAYOUTS[0], config)
    again = Theirs.from_config(write_diffusers(config))
    assert open_checkpoint(tmp_path / "ours").shapes == {
        n: tuple(v.shape) for n, v in again.state_dict().items()
    }


def test_old_names_of_attention(scramble, tmp_path):
    from diffusers import AutoencoderKL as Theirs

    reference = scramble(Theirs(**CASES["sd"]))
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    tensors = {}
    for name, value in reference.state_dict().items():
        for new, word in old.items():
            name = name.replace(new, word) if "mid_block.attentions" in name else name
        tensors[name] = value
    save_tensors(tensors, tmp_path / "old.safetensors")
    ours, _ = load(tmp_path / "old.safetensors", reference)
    assert torch.equal(
        ours.state_dict()["parts.dec_mid.attn.attn.q.weight"],
        reference.decoder.mid_block.attentions[0].to_q.weight,
    )


def test_the_first_layout_is_what_diffusers_converts(scramble, tmp_path):
    from diffusers import AutoencoderKL as Theirs
    from diffusers.loaders.single_file_utils import convert_ldm_vae_checkpoint

    reference = scramble(Theirs(**CASES["sd"]))
    reference.save_pretrained(tmp_path / "theirs")
    ours, config = load(tmp_path / "theirs", reference)
    save_foreign(ours, tmp_path / "original.safetensors", LAYOUTS[2], config)
    found = open_checkpoint(tmp_path / "original.safetensors")
    tensors = {f"first_stage_model.{n}": v for n, v in found.read(list(found.files))}
    convolutions = {n for n, v in tensors.items() if "attn_1" in n and v.ndim == 4}
    assert len(convolutions) == 8
    converted = convert_ldm_vae_checkpoint(dict(tensors), dict(reference.config))
    wanted = reference.state_dict()
    assert converted.keys() == wanted.keys()
    assert all(torch.equal(converted[n].reshape(v.shape), v) for n, v in wanted.items())
    save_tensors(
        {n.removeprefix("first_stage_model."): v for n, v in tensors.items()}, tmp_path / "b.safetensors"
    )
    again, _ = load(tmp_path / "b.safetensors", reference)
    assert all(torch.equal(v, ours.state_dict()[n]) for n, v in again.state_dict().items())


@pytest.mark.parametrize("name", PUBLISHED)
def test_full_size(name):
    from diffusers import AutoencoderKL as Theirs

    given, weights = PUBLISHED[name]
    with torch.device("meta"):
        reference = Theirs(**given)
        config = VaeConfig(**read_diffusers(dict(reference.config)))
        ours = AutoencoderKL(config)
    assert (
        sum(p.numel() for p in ours.parameters()) == sum(p.numel() for p in reference.parameters()) == weights
    )
    assert sum(part.params for part in vae_parts(config)) == weights


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("latents_mean", [0.0]),
        ("act_fn", "relu"),
        ("out_channels", 4),
        ("down_block_types", ["Other"]),
        ("new", 1),
    ],
)
def test_what_is_refused(field, value):
    with pytest.raises(ValueError, match=f"{field}.*not supported"):
        read_diffusers({**CASES["sd"], field: value})
