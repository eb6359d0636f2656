from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from mmm_graph.errors import RunError
from mmm_losses.distance import config as c
from mmm_losses.distance import ops


def pair(*shape, seed=0):
    return torch.randn(2, *shape, generator=torch.Generator().manual_seed(seed))


def test_errors():
    pred, target = pair(3, 2, 4)
    torch.testing.assert_close(ops.mse(pred, target, c.ErrorConfig()), F.mse_loss(pred, target))
    torch.testing.assert_close(ops.l1(pred, target, c.ErrorConfig()), F.l1_loss(pred, target))
    summed = ops.mse(pred, target, c.ErrorConfig(reduction="sum"))
    torch.testing.assert_close(summed, F.mse_loss(pred, target) * 8)


@pytest.mark.parametrize("loss", [ops.mse, ops.l1])
def test_shapes_that_would_broadcast_are_refused(loss):
    with pytest.raises(ValueError, match=r"\(3, 4\) and target \(4,\)"):
        loss(torch.zeros(3, 4), torch.zeros(4), c.ErrorConfig())


def test_half_precision_errors_are_summed_in_float32():
    pred = torch.full((1, 4096), 0.1, dtype=torch.float16)
    found = ops.mse(pred, torch.zeros_like(pred), c.ErrorConfig(reduction="sum"))
    assert found.dtype == torch.float32 and float(found) == pytest.approx(40.95, rel=1e-2)


def test_cross_entropy_over_any_leading_dims():
    logits = pair(4, 5, 7)[0]
    labels = torch.randint(7, (4, 5), generator=torch.Generator().manual_seed(1))
    labels[0, :3] = -100
    config = c.CrossEntropyConfig(smoothing=0.1)
    expected = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), label_smoothing=0.1)
    torch.testing.assert_close(ops.cross_entropy(logits, labels, config), expected)
    assert int(ops.count_labels(labels, config)) == 17
    silent = ops.cross_entropy(logits, torch.full_like(labels, -100), c.CrossEntropyConfig())
    assert float(silent) == 0


ALIGNED = {
    "l2": lambda p, t: ((p - t) ** 2).sum(-1) ** 0.5,
    "mse": lambda p, t: F.mse_loss(p, t, reduction="none").mean(-1),
    "cosine": lambda p, t: 1 - F.cosine_similarity(p, t, dim=-1),
    "smooth_l1": lambda p, t: F.smooth_l1_loss(p, t, reduction="none", beta=0.5).mean(-1),
}


@pytest.mark.parametrize("distance", ALIGNED)
def test_alignment(distance):
    pred, target = pair(3, 5, 4).double()
    config = c.AlignConfig(distance=distance, beta=0.5)
    want = ALIGNED[distance](pred, target)
    torch.testing.assert_close(ops.align(pred, target, config), want.mean())
    torch.testing.assert_close(ops.align(pred[:, 0], target[:, 0], config), want[:, 0].mean())
    mask = torch.arange(15).view(3, 5) % 4 != 3
    torch.testing.assert_close(ops.align(pred, target, config, mask), want[mask].mean())
    assert int(ops.count_vectors(mask)) == int(mask.sum()) and ops.count_vectors() == 1
    assert float(ops.align(pred, target, config, mask & False)) == 0
    x = pred[0, :2].clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda v: ops.align(v, target[0, :2], config), (x,))


@pytest.mark.parametrize("distance", ALIGNED)
def test_alignment_that_is_reached_has_a_gradient_of_zero(distance):
    """A root has no derivative at 0: NaN there ends a training."""
    target = pair(2, 3, 4)[0]
    x = target.clone().requires_grad_()
    ops.align(x, target, c.AlignConfig(distance=distance)).backward()
    assert bool((x.grad.abs() < 1e-6).all())
    zero = torch.zeros(2, 3, 4, requires_grad=True)
    ops.align(zero, target, c.AlignConfig(distance=distance)).backward()
    assert bool(zero.grad.isfinite().all()) and bool((zero.grad.abs() < 10).all())


def test_other_numbers_of_vectors_are_refused():
    pred = torch.zeros(2, 4, 8)
    for other in (torch.zeros(2, 77, 8), torch.zeros(2, 4, 6), torch.zeros(4, 8)):
        with pytest.raises(RunError, match=r"E778.*pred is \[2, 4, 8\] and target"):
            ops.align(pred, other, c.AlignConfig())
    with pytest.raises(RunError, match=r"E778.*mask is \[2, 3\]"):
        ops.align(pred, pred, c.AlignConfig(), torch.ones(2, 3))


@pytest.mark.parametrize(
    "loss",
    [
        lambda x: ops.mse(x, x.detach(), c.ErrorConfig()),
        lambda x: ops.l1(x, x.detach(), c.ErrorConfig(reduction="sum")),
        lambda x: ops.align(x, x.detach(), c.AlignConfig()),
        lambda x: ops.cross_entropy(x.flatten(1), torch.zeros(0, dtype=torch.int64), c.CrossEntropyConfig()),
    ],
)
def test_a_loss_over_no_elements_is_zero_with_a_gradient(loss):
    x = torch.zeros(0, 2, 3, requires_grad=True)
    value = loss(x)
    value.backward()
    assert float(value.detach()) == 0 and x.grad is not None and x.grad.shape == x.shape
