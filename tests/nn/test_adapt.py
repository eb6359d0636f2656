"""A U-Net of diffusers on rows that are on several ranks, without a line of it changed."""

import copy
import pickle

import pytest
import torch
import torch.nn.functional as F
from diffusers import UNet2DConditionModel
from torch import nn
from torch.overrides import _get_current_function_mode_stack

from mmm_graph.nn.adapt import adapt, outermost
from mmm_graph.parallel.exchange import SINGLE, Single, install
from mmm_graph.parallel.sharded import ShardConfig, Sharded
from tests.parallel.processes import processes
from tests.parallel.slices import displaced, image, joined, members, own
from tests.parallel.toys import PATCH, at
from tests.parallel.world import Shape, process_groups

pytestmark = pytest.mark.parity
CONDITION = {"encoder_hidden_states": image(2, 5, 6, seed=3), "timestep": torch.tensor([3, 700])}
SIZES = {
    "sample_size": 16,
    "in_channels": 4,
    "out_channels": 4,
    "layers_per_block": 1,
    "norm_num_groups": 3,
    "cross_attention_dim": 6,
    "block_out_channels": (6, 12, 12),
    "attention_head_dim": 3,  # diffusers' word for the number of heads here
}
UNETS = {
    "cross": {
        "down_block_types": ("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
    },
    "linear, resnets that resample": {
        "down_block_types": ("ResnetDownsampleBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D", "ResnetUpsampleBlock2D"),
        "use_linear_projection": True,
        "resnet_time_scale_shift": "scale_shift",
    },
    "attention without a condition": {
        "down_block_types": ("DownBlock2D", "AttnDownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
        "attention_head_dim": 2,
    },
}
PATTERNS = ("*.attn1", "down_blocks.1.attentions.*", "up_blocks.1.attentions.*")
"""Pixels attend to pixels; the last two are AttnDownBlock2D and AttnUpBlock2D, where they are."""


def build(name="cross"):
    torch.manual_seed(0)
    unet = UNet2DConditionModel(**{**SIZES, **UNETS[name]}).double().eval().requires_grad_(False)
    for parameter in unet.parameters():
        parameter.add_(0.05 * torch.randn_like(parameter))
    return unet


def patterns(name):
    return PATTERNS if name == "attention without a condition" else "*.attn1"


def predict(unet, sample):
    return unet(sample, **CONDITION).sample


def on_ranks(unet, x, bounds, self_attention="*.attn1", config=PATCH):
    def work(exchange, member):
        mine = copy.deepcopy(unet)
        adapt(mine, exchange, self_attention)
        return predict(mine, own(x, bounds, member))

    return joined(bounds, work, config)


@pytest.mark.dist
@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("bounds", [(0, 8, 16), (0, 12, 16), (0, 4, 8, 12, 16), (0, 4, 12, 16, 24)])
@pytest.mark.parametrize("name", UNETS)
def test_patches_equal_one_device(name, bounds, channels_last):
    unet, x = build(name), image(2, 4, bounds[-1], 8, channels_last=channels_last)
    wanted = predict(unet, x)
    assert (on_ranks(unet, x, bounds, patterns(name)) - wanted).abs().max() < 1e-10
    assert wanted.std() > 1e-2


@pytest.mark.dist
def test_a_ring_and_shared_heads_equal_one_device():
    unet, x, bounds = build(), image(2, 4, 16, 8), (0, 4, 8, 12, 16)
    wanted = predict(unet, x)
    assert (on_ranks(unet, x, bounds, config=ShardConfig(tokens="ring")) - wanted).abs().max() < 1e-10

    def work(exchange, member):
        mine = copy.deepcopy(unet)
        adapt(mine, exchange)
        return predict(mine, own(x, bounds, member))

    assert (joined(bounds, work, PATCH, inner=2) - wanted).abs().max() < 1e-10


def one_process():
    """What a process of a world of two makes of its rows."""
    groups = process_groups(Shape(2))
    exchange, unet, bounds = Sharded(groups, PATCH), build(), (0, 12, 16)
    adapt(unet, exchange)
    exchange.bind(at(bounds, groups.tokens.index))
    return predict(unet, own(image(2, 4, 16, 8), bounds, groups.tokens.index))


@pytest.mark.dist
def test_two_processes_equal_one_device():
    got = torch.cat(processes(2, f"{__name__}:one_process", timeout_s=240.0, silent_s=120.0), dim=2)
    assert (got - predict(build(), image(2, 4, 16, 8))).abs().max() < 1e-10


@pytest.mark.dist
def test_displaced_becomes_exact_when_the_image_stands_still():
    unet, x, bounds = build(), image(2, 4, 16, 8), (0, 8, 16)
    other = image(2, 4, 16, 8, seed=1)

    def work(exchange, member):
        mine = copy.deepcopy(unet)
        adapt(mine, exchange)
        results = []
        for step, sample in enumerate((other, x, x, x)):
            exchange.bind(at(bounds, member, step, sync=step == 0))
            results.append(predict(mine, own(sample, bounds, member)))
        exchange.clear("r")
        return results

    got = [torch.cat(pair, dim=2) for pair in zip(*members(bounds, work, displaced()), strict=True)]
    wanted = predict(unet, x)
    errors = [(y - wanted).abs().max() for y in got[1:]]
    assert errors[0] > 1e-6
    assert errors[2] < errors[0]
    assert (got[0] - predict(unet, other)).abs().max() < 1e-10


class Recorder(Single):
    def __init__(self):
        self.asked = []

    def conv2d(self, layer, *args):
        self.asked.append(layer)
        return super().conv2d(layer, *args)

    def group_norm(self, layer, *args):
        self.asked.append(layer)
        return super().group_norm(layer, *args)

    def attention(self, layer, *args):
        self.asked.append(layer)
        return super().attention(layer, *args)


def test_every_layer_asks_and_cross_attention_does_not():
    unet, x, recorder = build(), image(2, 4, 8, 8), Recorder()
    wanted = predict(unet, x)
    adapted = adapt(unet, recorder)
    assert torch.equal(predict(unet, x), wanted)
    layers = {n: m for n, m in unet.named_modules() if isinstance(m, nn.Conv2d | nn.GroupNorm)}
    local = {n for n, m in layers.items() if isinstance(m, nn.Conv2d) and m.kernel_size == (1, 1)}
    attentions = {n for n, _ in unet.named_modules() if n.endswith(".attn1")}
    assert local
    assert attentions
    assert set(recorder.asked) == set(adapted.names) == (layers.keys() - local) | attentions


def test_names_and_classes_stay_and_nothing_is_left_when_taken_back():
    unet, x = build(), image(2, 4, 8, 8)
    names, classes = list(unet.state_dict()), [type(m) for m in unet.modules()]
    before = [sorted(vars(m)) for m in unet.modules()]
    parameters = [id(p) for p in unet.parameters()]
    recorder = Recorder()
    with adapt(unet, recorder):
        assert list(unet.state_dict()) == names
        assert [type(m) for m in unet.modules()] == classes
        assert [id(p) for p in unet.parameters()] == parameters
    asked = len(recorder.asked)
    predict(unet, x)
    assert len(recorder.asked) == asked
    assert [sorted(vars(m)) for m in unet.modules()] == before


def test_taking_back_twice_does_nothing_and_adapting_again_works():
    unet = build()
    adapted = adapt(unet, SINGLE)
    with pytest.raises(ValueError, match="conv_in: asks an exchange already"):
        adapt(unet, SINGLE)
    adapted.undo()
    adapted.undo()
    adapt(unet, SINGLE).undo()


def test_a_copy_has_its_own_layers_and_another_exchange_can_be_installed():
    unet, x, first, second = build(), image(2, 4, 8, 8), Recorder(), Recorder()
    adapt(unet, first)
    twin = pickle.loads(pickle.dumps(copy.deepcopy(unet)))
    install(twin, second)
    twin.conv_in.weight.data.zero_()
    predict(twin, x)
    assert first.asked == []
    assert "down_blocks.0.attentions.0.transformer_blocks.0.attn1" in second.asked
    assert unet.conv_in.weight.any()


def test_nothing_global_is_patched():
    unet, before = build(), (F.scaled_dot_product_attention, F.conv2d, F.group_norm)
    seen = []

    class Spy(Single):
        def attention(self, layer, q, k, v, mask=None, causal=False):
            seen.append(len(_get_current_function_mode_stack()))
            return super().attention(layer, q, k, v, mask, causal)

    adapt(unet, Spy())
    predict(unet, image(2, 4, 8, 8))
    assert seen
    assert _get_current_function_mode_stack() == []
    assert (F.scaled_dot_product_attention, F.conv2d, F.group_norm) == before


class Attend(nn.Module):
    """Attention in a way of one's choosing."""

    def __init__(self, attend):
        super().__init__()
        self.attend = attend

    def forward(self, q, k):
        return self.attend(q, k)


Q, K = image(1, 4, 6, 8), image(1, 2, 6, 8, seed=1)


@pytest.mark.parametrize(
    ("attend", "why"),
    [
        (lambda q, k: q.softmax(-1), "attn: its forward did not call F.scaled_dot_product_attention"),
        (lambda q, k: F.scaled_dot_product_attention(q, q, q, dropout_p=0.5), "with dropout 0.5"),
        (lambda q, k: F.scaled_dot_product_attention(q, q, q, scale=1.0), "with scale 1.0"),
        (lambda q, k: F.scaled_dot_product_attention(q, k, k, enable_gqa=True), "with grouped queries"),
        (lambda q, k: F.scaled_dot_product_attention(q, q[:, :, :5], q[:, :, :5]), "6 queries over 5 keys"),
    ],
)
def test_attention_that_cannot_be_shared_is_refused_and_leaves_no_mode(attend, why):
    module = nn.ModuleDict({"attn": Attend(attend)})
    adapt(module, SINGLE, "attn")
    with pytest.raises(ValueError, match=why):
        module["attn"](Q, K)
    assert _get_current_function_mode_stack() == []


def test_the_usual_scale_and_grouped_queries_of_one_group_are_fine():
    module = nn.ModuleDict(
        {"attn": Attend(lambda q, k: F.scaled_dot_product_attention(q, q, q, scale=8**-0.5))}
    )
    adapt(module, SINGLE, "attn")
    assert torch.equal(module["attn"](Q, K), F.scaled_dot_product_attention(Q, Q, Q))


def test_what_cannot_be_shared_is_refused_by_name_and_nothing_is_changed():
    module = nn.Sequential(
        nn.Conv2d(4, 4, 3, padding=1),
        nn.Conv2d(4, 4, 3, padding=1, groups=4),
        nn.ModuleDict({"deep": nn.Conv2d(4, 4, 3, padding=2, dilation=2)}),
        nn.InstanceNorm2d(4),
    )
    wanted = (
        r"rows of Sequential cannot be shared: 1: a convolution of 4 groups; 2.deep: a convolution of dilation .*; "
        r"3: reads all rows; \*.attn1: matches no sub-module"
    )
    with pytest.raises(ValueError, match=wanted):
        adapt(module, SINGLE)
    assert "forward" not in vars(module[0])
    assert adapt(module[0], SINGLE, ()).names == ("",)


def test_a_forward_that_somebody_replaced_is_refused():
    module = nn.Sequential(nn.GroupNorm(2, 4))
    module[0].forward = lambda x: x
    with pytest.raises(ValueError, match="0: its forward is replaced already"):
        adapt(module, SINGLE, ())


def test_group_norms_of_flat_pixels():
    norm, x = nn.Sequential(nn.GroupNorm(2, 4)).double(), image(2, 4, 6)
    wanted = norm(x)
    adapt(norm, SINGLE, ())
    assert torch.allclose(norm(x), wanted, atol=1e-14)


def test_of_nested_matches_the_outermost_is_meant():
    assert outermost(["a.b", "a.b.c", "a-b", "d.e.f", "d"]) == {"a.b", "a-b", "d"}
    assert outermost(["", "a"]) == {""}
