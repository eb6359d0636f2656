"""Whole models on rows that are on several ranks: exact when synchronous, as the formulas say when displaced."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mmm_graph.nn.conv import Conv2d
from mmm_graph.nn.norm import GroupNorm
from mmm_graph.parallel.exchange import install
from mmm_graph.parallel.sharded import ShardConfig
from mmm_unet.config import UNetConfig
from mmm_unet.model import UNet
from mmm_vae.config import VaeConfig
from mmm_vae.model import AutoencoderKL
from tests.parallel.slices import MODES, displaced, evaluate, image, joined, own
from tests.parallel.test_halo import displaced_rows
from tests.parallel.test_stats import by_formula
from tests.parallel.toys import PATCH

BOUNDS = [(0, 8, 16), (0, 12, 16), (0, 4, 8, 12, 16), (0, 4, 12, 16, 24)]
"""Multiples of 4: the stride of models of three levels."""


def filled(model, seed=0):
    """The model with weights that leave nothing out, in float64."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.double().parameters():
        width = parameter[0].numel() if parameter.dim() > 1 else 4
        parameter.data.normal_(0, width**-0.5, generator=generator)
    return model.requires_grad_(False)


def check_rows(model, forward, x, bounds, scale=1.0, config=PATCH, inner=1):
    """`forward(model, rows of x)` on the members makes the rows of `forward(model, x)`."""

    def work(exchange, member):
        mine = copy.deepcopy(model)
        install(mine, exchange)
        return forward(mine, own(x, bounds, member))

    got, wanted = joined(bounds, work, config, inner), forward(model, x)
    assert got.shape == wanted.shape
    assert wanted.std() > 1e-3
    assert wanted.shape[2] == scale * x.shape[2]
    assert (got - wanted).abs().max() < 1e-10 * max(1.0, float(wanted.abs().max()))


def unet(**config):
    sizes = {"channels": (8, 12, 12), "layers_per_block": 1, "groups": 4, "num_heads": 2, "cond_dim": 6}
    return filled(UNet(UNetConfig(**{**sizes, **config})))


@pytest.mark.dist
@pytest.mark.parametrize("bounds", BOUNDS)
@pytest.mark.parametrize(
    "config",
    [
        {"attention": ("self", "cross", "none"), "mid_attention": "cross", "num_heads": (2, 3, 1)},
        {"attention": ("none", "self", "cross"), "mid_attention": "self", "down_padding": "after"},
        {"attention": ("cross", "none", "self"), "mid_attention": "none", "linear_projection": True},
    ],
)
def test_unet(config, bounds):
    cond, t = image(2, 5, 6, seed=3), torch.tensor([3.0, 700.0])
    mask = torch.ones(2, 5, dtype=torch.bool)
    mask[1, 3:] = False
    state = {"t": t, "cond.embeds": cond, "cond.mask": mask}
    check_rows(unet(**config), lambda m, x: m({"x": x, **state})["pred"], image(2, 4, bounds[-1], 8), bounds)


@pytest.mark.dist
@pytest.mark.parametrize(
    ("config", "inner"),
    [(PATCH, 2), (PATCH, 4), (ShardConfig(tokens="ring"), 1), (ShardConfig(tokens="ring"), 2)],
)
def test_unet_whose_heads_are_shared_too_or_that_goes_round_a_ring(config, inner):
    model = unet(attention=("self", "none", "none"), mid_attention="self", cond_dim=None, num_heads=(2, 1, 3))
    state, bounds = {"t": torch.tensor([3.0, 700.0])}, (0, 4, 12, 16, 24)
    x = image(2, 4, bounds[-1], 8)
    if inner == 4:
        model = unet(attention=("none",) * 3, mid_attention="self", cond_dim=None, num_heads=4)
    check_rows(model, lambda m, y: m({"x": y, **state})["pred"], x, bounds, config=config, inner=inner)


def vae():
    config = VaeConfig(
        channels=(8, 12, 16), groups=4, layers_per_block=1, latent_channels=3, scaling_factor=0.5
    )
    return filled(AutoencoderKL(config))


@pytest.mark.dist
@pytest.mark.parametrize("bounds", [*BOUNDS, (0, 1, 7)])
def test_vae_decodes(bounds):
    check_rows(vae(), lambda m, z: m.decode(z), image(2, 3, bounds[-1], 4), bounds, scale=4)


@pytest.mark.dist
@pytest.mark.parametrize("bounds", BOUNDS)
def test_vae_encodes(bounds):
    x = image(2, 3, bounds[-1], 8)
    check_rows(vae(), lambda m, y: m.posterior(y)["mean"], x, bounds, scale=0.25)


@pytest.mark.dist
def test_float32_is_as_near_to_float64_as_one_device():
    model, x = unet(attention=("none",) * 3, mid_attention="none", cond_dim=None), image(1, 4, 16, 8)

    def forward(m, y):
        return m({"x": y, "t": torch.tensor([9.0])})["pred"]

    exact, alone = forward(model, x), forward(copy.deepcopy(model).float(), x.float())

    def work(exchange, member):
        mine = copy.deepcopy(model).float()
        install(mine, exchange)
        return forward(mine, own(x, (0, 4, 16), member).float())

    got = joined((0, 4, 16), work)
    assert (got - exact).abs().max() < 3 * (alone - exact).abs().max()


class Net(nn.Module):
    """Convolution, norm, convolution of stride 2."""

    def __init__(self):
        super().__init__()
        self.first = Conv2d(3, 6)
        self.norm = GroupNorm(3, 6)
        self.second = Conv2d(6, 4, stride=2, padding=(0, 1))

    def forward(self, x):
        return self.second(F.silu(self.norm(self.first(x))))


def emulated(net, images, bounds, mode, warmup):
    """The same, layer after layer, of whole images."""

    def conv(layer, xs):
        args = (layer.weight, layer.bias, layer.stride, layer.padding)
        return displaced_rows(xs, bounds, warmup, args)

    affine = (net.norm.weight, net.norm.bias, net.norm.eps)
    return conv(
        net.second, [F.silu(x) for x in by_formula(mode, conv(net.first, images), bounds, warmup, *affine)]
    )


@pytest.mark.dist
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("bounds", [(0, 8, 16), (0, 2, 6, 14, 16)])
def test_displaced_net_against_the_formulas(bounds, mode):
    net = filled(Net())
    images = [image(2, 3, 16, 6, seed=seed) * (1 + 0.3 * seed) for seed in range(5)]
    got = evaluate(net, images, bounds, displaced(mode), warmup=2)
    for result, wanted in zip(got, emulated(net, images, bounds, mode, 2), strict=True):
        assert (result - wanted).abs().max() < 1e-10
    for x, result in zip(images[:2], got, strict=False):
        assert (result - net(x)).abs().max() < 1e-10
    assert (got[2] - net(images[2])).abs().max() > 1e-3


class Denoiser(nn.Module):
    """A U-Net as a function of x."""

    def __init__(self):
        super().__init__()
        self.unet = unet(attention=("none", "self", "none"), mid_attention="self", cond_dim=None)

    def forward(self, x):
        return self.unet({"x": x, "t": torch.tensor([9.0])})["pred"]


@pytest.mark.dist
@pytest.mark.parametrize("mode", MODES)
def test_displaced_with_warm_up_throughout_is_synchronous(mode):
    model, images = Denoiser(), [image(1, 4, 16, 8, seed=seed) for seed in range(3)]
    got = evaluate(model, images, (0, 4, 12, 16), displaced(mode), warmup=3)
    exact = evaluate(model, images, (0, 4, 12, 16), PATCH)
    assert all(torch.equal(a, b) for a, b in zip(got, exact, strict=True))
    assert all((a - model(x)).abs().max() < 1e-10 for a, x in zip(got, images, strict=True))


@pytest.mark.dist
@pytest.mark.parametrize("mode", MODES)
def test_displaced_is_exact_once_the_image_stands_still(mode):
    model, x = Denoiser(), image(1, 4, 16, 8)
    got = evaluate(model, [x] * 3, (0, 4, 16), displaced(mode), warmup=1)
    if mode == "separate":
        assert (got[2] - model(x)).abs().max() > 1e-3
    else:
        assert (got[2] - model(x)).abs().max() < 1e-9
