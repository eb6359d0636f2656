"""Encoding and decoding in tiles: against diffusers', and against the whole where tiles see all they need."""

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from mmm_graph.nn.noise import Noise
from mmm_vae.config import EncodeConfig, EncodeTilesConfig, TileConfig, VaeConfig
from mmm_vae.foreign import read_diffusers
from mmm_vae.keys import DIFFUSERS
from mmm_vae.model import AutoencoderKL
from mmm_vae.node import tiles_fit
from mmm_vae.tiles import Grid, blend, decoder_grid, encoder_grid, tiled

SMALL = VaeConfig(channels=(8, 16, 16), groups=4, layers_per_block=1)


@pytest.mark.parity
@pytest.mark.parametrize(("tile", "overlap"), [(32, 0.25), (16, 0.5), (48, 0.25)])
@pytest.mark.parametrize(("batch", "height", "width"), [(2, 40, 72), (1, 64, 48), (1, 32, 52), (1, 16, 16)])
def test_tiles_are_those_of_diffusers(copy_weights, scramble, tile, overlap, batch, height, width):
    import diffusers

    levels = {"down_block_types": ("DownEncoderBlock2D",) * 3, "up_block_types": ("UpDecoderBlock2D",) * 3}
    reference = scramble(
        diffusers.AutoencoderKL(block_out_channels=(8, 16, 16), norm_num_groups=4, sample_size=tile, **levels)
    )
    reference.enable_tiling()
    reference.tile_overlap_factor = overlap
    ours = AutoencoderKL(VaeConfig(**read_diffusers(dict(reference.config)))).double()
    assert copy_weights(ours, reference, DIFFUSERS) == set()
    image = torch.rand(batch, 3, height, width, dtype=torch.float64)
    tiles = EncodeTilesConfig(tile=tile, overlap=overlap)
    with torch.no_grad():
        want = reference.encode(image * 2 - 1).latent_dist
        got = ours.encode_tiled(image, tiles, Noise((1,), "z", tuple(range(batch))))
        picture = reference.decode(want.mean).sample / 2 + 0.5
        drawn = ours.decode_tiled(got["latents"], TileConfig(tile=tile, overlap=overlap))
    for a, b in ((got["mean"], want.mean), (got["logvar"], want.logvar), (drawn, picture)):
        assert a.shape == b.shape
        assert (a - b).abs().max() <= 1e-10 * max(1.0, float(b.abs().max()))


def test_an_image_within_one_tile_is_not_cut():
    model = AutoencoderKL(SMALL)
    image, noise = torch.rand(1, 3, 16, 12), Noise((3,), "z", (0,))
    for sample in (False, True):
        whole = model.encode(image, EncodeConfig(sample=sample), noise)
        cut = model.encode_tiled(image, EncodeTilesConfig(sample=sample, tile=16), noise)
        assert all(torch.equal(cut[key], value) for key, value in whole.items())
    latents = whole["latents"]
    assert torch.equal(model.decode_tiled(latents, TileConfig(tile=16)), model.decode(latents))


@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.4, 0.6])
@pytest.mark.parametrize(("height", "width"), [(40, 72), (33, 5), (17, 16)])
def test_work_that_looks_at_no_neighbours_is_the_same_in_tiles(overlap, height, width):
    x = torch.randn(2, 3, height, width, dtype=torch.float64)
    double, half = nn.Upsample(scale_factor=4), nn.AvgPool2d(4)
    tiles = TileConfig(tile=64, overlap=overlap)
    assert torch.allclose(tiled(double, x, decoder_grid(SMALL, tiles)), double(x), rtol=0, atol=1e-12)
    large = double(x)
    assert torch.allclose(tiled(half, large, encoder_grid(SMALL, tiles)), x, rtol=0, atol=1e-12)


def test_the_next_tile_fades_in_over_the_last_one():
    before, after = torch.zeros(1, 1, 2, 6), torch.ones(1, 1, 2, 5)
    assert blend(before, after, 4, dim=3)[0, 0, 0].tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert blend(before[..., :5], after, 9, dim=2)[0, 0, :, 0].tolist() == [0, 0.5]
    assert torch.equal(blend(before, after, 0, dim=3), after)


def test_grids_have_whole_latents():
    assert decoder_grid(VaeConfig(), TileConfig()) == Grid(64, 48, 512, 384)
    assert encoder_grid(VaeConfig(), TileConfig()) == Grid(512, 384, 64, 48)
    assert decoder_grid(SMALL, TileConfig(tile=32, overlap=0.3)) == Grid(8, 5, 32, 20)


@pytest.mark.parametrize(
    ("tiles", "message"),
    [
        ({"tile": 30}, "tile 30 is not a multiple of the autoencoder's factor 4; try 32"),
        ({"tile": 8, "overlap": 0.9}, "tiles of 8 that overlap by 0.9 do not advance"),
    ],
)
def test_tiles_that_do_not_fit_are_refused_before_the_run(tiles, message):
    assert tiles_fit(SMALL, TileConfig(tile=32), {}) == {}
    with pytest.raises(ValueError, match=message):
        tiles_fit(SMALL, TileConfig(**tiles), {})


@pytest.mark.parametrize("tiles", [{"tile": 0}, {"overlap": 1.0}, {"overlap": -0.1}])
def test_tiles_must_be_tiles(tiles):
    with pytest.raises(ValidationError):
        TileConfig(**tiles)


def test_gradients_go_through_the_seams():
    model = AutoencoderKL(SMALL)
    latents = torch.randn(1, 4, 6, 6, requires_grad=True)
    model.decode_tiled(latents, TileConfig(tile=16)).sum().backward()
    assert latents.grad is not None and bool((latents.grad != 0).all())
