import torch
import torch.nn.functional as F
from torch import nn

from mmm_graph.nn.attention import Attention, PixelAttention
from mmm_graph.nn.conv import Conv2d
from mmm_graph.nn.embed import GridEmbedding
from mmm_graph.nn.resnet import Resnet
from mmm_graph.parallel.exchange import SINGLE, Single, install
from mmm_graph.plan.ops import At


class Recorder(Single):
    """Single, and a list of who asked for what."""

    def __init__(self):
        self.asked = []

    def attention(self, layer, *args):
        self.asked.append((layer, "attention"))
        return super().attention(layer, *args)

    def conv2d(self, layer, *args):
        self.asked.append((layer, "conv2d"))
        return super().conv2d(layer, *args)

    def group_norm(self, layer, *args):
        self.asked.append((layer, "group_norm"))
        return super().group_norm(layer, *args)

    def row_linear(self, layer, *args):
        self.asked.append((layer, "row_linear"))
        return super().row_linear(layer, *args)

    def positions(self, grid, device):
        self.asked.append(("", "positions"))
        return super().positions(grid, device)


def test_install_reaches_every_layer_that_holds_one_and_names_it():
    model = nn.Sequential(Resnet(4, 8, num_groups=2), PixelAttention(8, 2, num_groups=2), nn.Linear(8, 8))
    recorder = Recorder()
    names = install(model, recorder)
    x = torch.randn(1, 4, 6, 6)
    model[:2](x)
    assert [layer for layer, _ in recorder.asked] == [
        "0.norm1", "0.conv1", "0.norm2", "0.conv2", "0.skip", "1.norm", "1.attn", "1.attn.out",
    ]  # fmt: skip
    assert set(names) == {layer for layer, _ in recorder.asked}
    assert {kind for _, kind in recorder.asked} == {"conv2d", "group_norm", "attention", "row_linear"}


def test_installing_changes_one_module_only():
    first, second = Conv2d(1, 1), Conv2d(1, 1)
    install(first, Recorder())
    assert second.exchange is SINGLE


def test_an_installed_exchange_does_not_change_numbers_or_saved_names():
    model = Resnet(4, 8, num_groups=2)
    nn.init.normal_(model.conv2.weight)
    x, keys = torch.randn(2, 4, 5, 5), set(model.state_dict())
    before = model(x)
    install(model, Recorder())
    assert torch.equal(model(x), before)
    assert set(model.state_dict()) == keys


def test_single_is_bound_by_the_planner_s_place_and_forgets_nothing():
    at = At("request", "denoise/predict", (3,))
    assert SINGLE.bind(at) is None
    assert SINGLE.clear("request") is None


def test_single_pads_below_and_right_when_asked():
    x, weight = torch.randn(1, 2, 4, 4), torch.randn(3, 2, 3, 3)
    got = SINGLE.conv2d("", x, weight, None, 2, (0, 1))
    assert torch.equal(got, F.conv2d(F.pad(x, (0, 1, 0, 1)), weight, None, 2))
    assert got.shape == (1, 3, 2, 2)


def test_positions_come_from_the_exchange():
    class Lower(Single):
        """The lower half of a grid of 8 rows."""

        def positions(self, grid, device):
            whole = super().positions((8, grid[1]), device)
            return whole._replace(rows=whole.rows[4:])

    embedding = GridEmbedding(16, base=8)
    like = torch.zeros(1)
    whole = embedding((8, 8), like)
    install(embedding, Lower())
    assert torch.equal(embedding((4, 8), like), whole[32:])


def test_attention_gives_mask_or_causality_to_the_exchange():
    seen = []

    class Spy(Single):
        def attention(self, layer, q, k, v, mask=None, causal=False):
            seen.append((mask is not None, causal))
            return super().attention(layer, q, k, v, mask, causal)

    layer = Attention(8, 2, causal=True)
    install(layer, Spy())
    x = torch.randn(1, 3, 8)
    plain = layer(x)
    masked = layer(x, torch.ones(3, 3, dtype=torch.bool).tril())
    assert seen == [(False, True), (True, False)]
    assert torch.allclose(plain, masked, atol=1e-6)
