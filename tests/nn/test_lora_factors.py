"""Factors of a LoRA beside a layer: nothing at first, then what a LoRA file of them adds, in every layer and dtype."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mmm_graph.nn.causal import CausalAttention
from mmm_graph.nn.conv import Conv2d
from mmm_graph.nn.drawing import Draws
from mmm_graph.nn.fused import fuse
from mmm_graph.nn.linear import RowLinear, use_products
from mmm_graph.nn.lora import Factors, attach, set_scales
from mmm_graph.nn.lora_factors import add_factors, part_projections
from mmm_graph.nn.quantized import quantize_layer

LAYERS = {
    "linear": (lambda: nn.Linear(64, 5), (2, 3, 64)),
    "row linear": (lambda: RowLinear(64, 5, bias=False), (2, 3, 64)),
    "convolution": (lambda: Conv2d(6, 5, stride=2, padding=(0, 1)), (2, 6, 4, 8)),
    "1x1 convolution": (lambda: Conv2d(6, 5, kernel=1), (2, 6, 3, 4)),
    "int8": (lambda: nn.Linear(64, 5), (2, 3, 64)),
    "int4": (lambda: nn.Linear(64, 5), (2, 3, 64)),
}


def layer(name, dtype=torch.float32):
    torch.manual_seed(0)
    module = nn.ModuleDict({"layer": LAYERS[name][0]()}).to(dtype).requires_grad_(False)
    if name.startswith("int"):
        quantize_layer(module, "layer", module["layer"].weight, name, dtype)
    return module, torch.randn(LAYERS[name][1], dtype=dtype)


def factors(module, *, dropout=0.0, seed=0):
    return add_factors(module, "layer", rank=2, alpha=6, dropout=dropout, seed=seed, label="m.layer")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["f32", "bf16"])
@pytest.mark.parametrize("name", LAYERS)
def test_adds_nothing_at_first_and_then_what_its_file_adds(name, dtype):
    module, x = layer(name, dtype)
    plain, names = module["layer"](x), set(module.state_dict())
    made = factors(module)
    assert torch.equal(module["layer"](x), plain)  # bit for bit
    with torch.autocast("cpu", torch.bfloat16):
        assert module["layer"](x).shape == plain.shape
    assert set(module.state_dict()) == names | {"layer.beside.down", "layer.beside.up"}
    assert made.down.dtype is made.up.dtype is torch.float32
    nn.init.normal_(made.up)
    other, _ = layer(name, dtype)
    attach(other, "layer", [Factors(0, made.down.detach(), made.up.detach(), 6 / 2)])
    set_scales(other, [1.0])
    far = (module["layer"](x) - plain).abs().max()
    near = (module["layer"](x) - other["layer"](x)).abs().max()
    assert far > 0.5 and near <= (1e-5 if dtype is torch.float32 else 0.02) * far


@pytest.mark.parametrize("name", LAYERS)
def test_only_factors_learn_and_the_input_gets_its_gradient(name):
    module, x = layer(name)
    made = factors(module)
    nn.init.normal_(made.up)
    x.requires_grad_(True)
    module["layer"](x).square().sum().backward()
    assert all(t.grad is not None and t.grad.abs().max() > 0 for t in (made.down, made.up, x))
    step = torch.zeros_like(x)
    step.flatten()[0] = 1e-2
    with torch.no_grad():
        change = module["layer"](x + step).square().sum() - module["layer"](x - step).square().sum()
    assert change / 2e-2 == pytest.approx(float(x.grad.flatten()[0]), rel=2e-2)
    assert [n for n, w in module.named_parameters() if w.requires_grad] == [
        "layer.beside.down",
        "layer.beside.up",
    ]


def test_the_start_is_keyed_by_seed_and_layer():
    found = [factors(layer("linear")[0], seed=seed).down for seed in (0, 0, 1)]
    assert torch.equal(found[0], found[1]) and not torch.equal(found[0], found[2])
    assert found[0].abs().max() <= 64**-0.5 and found[0].abs().max() > 0.9 * 64**-0.5


def test_dropout_is_keyed_by_step_and_sample():
    module, x = layer("linear")
    made = factors(module, dropout=0.5)
    nn.init.normal_(made.up)
    drop, module = Draws({"": module}), module.train()

    def run(seed, elements):
        drop.at((seed,) * len(elements), elements)
        state = torch.get_rng_state()
        y = module["layer"](x[[e % 2 for e in elements]])
        assert torch.equal(state, torch.get_rng_state())
        return y

    both = run(7, (0, 1))
    assert torch.equal(run(7, (0, 1)), both) and not torch.equal(run(8, (0, 1)), both)
    assert torch.equal(torch.cat([run(7, (0,)), run(7, (1,))]), both), "ranks that have one sample each"
    assert not torch.equal(run(7, (2, 3)), both)
    kept = made._kept(torch.ones(2, 1000))
    assert set(kept.unique().tolist()) == {0.0, 2.0} and 0.4 < (kept > 0).float().mean() < 0.6
    whole = run(7, (0, 1)).shape == module.eval()["layer"](x).shape
    assert whole and torch.equal(module["layer"](x), module["layer"](x))


def test_projections_that_were_joined_are_parted():
    torch.manual_seed(0)
    attention = CausalAttention(32, 4, 2, 8).requires_grad_(False)
    use_products(attention)
    fuse(attention, on_cpu=True)
    assert attention.project.fused is not None
    made = add_factors(attention, "q", rank=2, alpha=2, dropout=0, seed=0, label="q")
    part_projections(attention)
    nn.init.normal_(made.up)
    x = torch.randn(1, 3, 32)
    with torch.no_grad():
        without_gradients = attention(x)
    assert torch.allclose(without_gradients, attention(x), atol=1e-5)
    nn.init.zeros_(made.up)
    assert not torch.allclose(without_gradients, attention(x), atol=1e-2)
