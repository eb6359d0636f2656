from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

import mmm_graph
from mmm_graph.errors import RunError
from mmm_graph.nn.noise import Noise
from mmm_losses.vae import config as c
from mmm_losses.vae import ops
from mmm_losses.vae.node import sampled


def pair(*shape, seed=0):
    return torch.randn(2, *shape, generator=torch.Generator().manual_seed(seed))


def test_kl_agrees_with_torch():
    mean, logvar = pair(3, 2, 4, 4)
    normal = torch.distributions.Normal
    expected = torch.distributions.kl_divergence(normal(mean, (logvar / 2).exp()), normal(0.0, 1.0))
    torch.testing.assert_close(ops.kl(mean, logvar, c.KLConfig()), expected.sum() / 3)
    torch.testing.assert_close(ops.kl(mean, logvar, c.KLConfig(reduction="mean")), expected.mean())
    none = torch.zeros(0, 2, 1, 1, requires_grad=True)
    ops.kl(none, none, c.KLConfig()).backward()
    assert none.grad.shape == none.shape


def test_posterior_draws_have_its_moments():
    mean = torch.full((500, 2, 4, 4), 1.5)
    noise = Noise((3,), "drop", tuple(range(500)), (0,))
    config = c.SampleConfig()
    found = ops.sample_latents(mean, torch.full_like(mean, -1.0), config, noise)
    assert abs(float(found.mean()) - 1.5) < 0.02
    assert abs(float(found.std()) - float(torch.tensor(-0.5).exp())) < 0.02
    one = Noise((3,), "drop", (7,), (0,))
    alone = ops.sample_latents(mean[:1], torch.full_like(mean[:1], -1.0), config, one)
    assert torch.equal(alone[0], found[7])
    scaled = ops.sample_latents(
        mean, torch.full_like(mean, -1.0), c.SampleConfig(scale=0.5, shift=2.0), noise
    )
    torch.testing.assert_close(scaled, (found - 2.0) * 0.5)


def test_latents_are_scaled_as_those_of_the_autoencoder():
    said = {"mean.scale": 0.18215, "mean.shift": 0.0}
    assert sampled(c.SampleConfig(scale=0.18215), {}, said) == sampled(c.SampleConfig(), {}, {}) == {}
    with pytest.raises(ValueError, match=r"have scale 0\.18215 and shift 0; say so"):
        sampled(c.SampleConfig(), {}, said)


def test_perceptual_is_lpips_without_weights_of_channels():
    """Maps have their channels second, tokens last."""
    maps, tokens = pair(2, 3, 4, 5).double(), pair(2, 6, 3, seed=1).double()
    found = ops.perceptual((maps[0], tokens[0]), (maps[1], tokens[1]), c.PerceptualConfig(layers=(0.5, 2)))
    want = 0.0
    for (p, t), axis, weight in ((maps, 1, 0.5), (tokens, 2, 2)):
        apart = F.normalize(p, dim=axis) - F.normalize(t, dim=axis)
        want += weight * apart.square().sum(axis).mean()
    torch.testing.assert_close(found, want)
    raw = ops.perceptual(maps[:1].unbind(), maps[1:].unbind(), c.PerceptualConfig(normalize=False))
    torch.testing.assert_close(raw, (maps[0] - maps[1]).square().sum(1).mean())
    x = maps[0, :1, :, :2, :2].clone().requires_grad_()
    other = maps[1, :1, :, :2, :2]
    assert torch.autograd.gradcheck(lambda v: ops.perceptual([v], [other], c.PerceptualConfig()), (x,))


def test_features_of_nothing_have_no_gradient():
    """A rectifier gives places where all channels are 0; x / |x| has no derivative there."""
    x = torch.zeros(1, 3, 2, 2, requires_grad=True)
    ops.perceptual([x], [torch.ones(1, 3, 2, 2)], c.PerceptualConfig()).backward()
    assert bool((x.grad == 0).all())


def test_features_of_other_layers_are_refused():
    a, b = torch.zeros(1, 2, 3, 3), torch.zeros(1, 2, 4, 4)
    with pytest.raises(RunError, match=r"E781.*2 layers of pred, 1 of target"):
        ops.perceptual([a, a], [a], c.PerceptualConfig())
    with pytest.raises(RunError, match=r"E781.*1 layers of pred, 1 of target, 3 weights"):
        ops.perceptual([a], [a], c.PerceptualConfig(layers=(1, 1, 1)))
    with pytest.raises(RunError, match=r"E781.*layer 1 are \[1, 2, 3, 3\] and \[1, 2, 4, 4\]"):
        ops.perceptual([a, a], [a, b], c.PerceptualConfig())


def test_adversaries():
    real, fake = pair(3, 4).double()
    hinge, soft = c.AdversaryConfig(), c.AdversaryConfig(kind="non_saturating")
    torch.testing.assert_close(ops.gan_generator(fake, hinge), -fake.mean())
    want = (F.relu(1 - real).mean() + F.relu(1 + fake).mean()) / 2
    torch.testing.assert_close(ops.gan_discriminator(real, fake, hinge), want)
    # the logistic loss: cross entropy of "real", by torch
    yes, no = torch.ones_like(real), torch.zeros_like(real)
    bce = F.binary_cross_entropy_with_logits
    torch.testing.assert_close(ops.gan_generator(fake, soft), bce(fake, yes))
    torch.testing.assert_close(ops.gan_discriminator(real, fake, soft), (bce(real, yes) + bce(fake, no)) / 2)


GRAPH = """
mmm: 1
name: seen
inputs: {image: "Image[b,3,16,16]", made: "Image[b,3,16,16]"}
models:
  eye: {kind: encoder.vit, init: default, config: {size: 16, patch: 4, width: 8, depth: 2, num_heads: 2, hidden: 16}}
  judge: {kind: classifier.patch, init: default, config: {width: 4, depth: 1}}
graphs:
  layers:
    in: {image: "Image[b,3,16,16]"}
    nodes:
      low: {call: eye.hidden, config: {layer: -2}, in: {image: $in.image}}
      high: {call: eye.hidden, config: {layer: -1}, in: {image: $in.image}}
    out: {low: low, high: high}
nodes:
  a: {graph: layers, in: {image: $in.made}}
  b: {graph: layers, in: {image: $in.image}}
  seen: {op: loss.perceptual, config: {layers: [1, 2]}, in: {pred: [a.low, a.high], target: [b.low, b.high]}}
  fake: {call: judge, in: {image: $in.made}}
  real: {call: judge, in: {image: $in.image}}
  fool: {op: loss.gan_generator, in: {fake: fake}}
  tell: {op: loss.gan_discriminator, in: {real: real, fake: fake}}
outputs: {seen: seen, fool: fool, tell: tell, fake: fake, real: real}
"""


def test_a_network_and_a_discriminator_of_the_graph(tmp_path):
    """Features of a frozen model of the file; the same pictures are no difference."""
    (tmp_path / "seen.yaml").write_text(GRAPH)
    graph = mmm_graph.load(tmp_path / "seen.yaml")
    image, made = torch.rand(2, 2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    out = graph.run(image=image, made=made)
    assert float(out["seen"]) > 1e-3
    torch.testing.assert_close(out["fool"], ops.gan_generator(out["fake"], c.AdversaryConfig()))
    torch.testing.assert_close(
        out["tell"], ops.gan_discriminator(out["real"], out["fake"], c.AdversaryConfig())
    )
    assert float(graph.run(image=image, made=image)["seen"]) == 0
