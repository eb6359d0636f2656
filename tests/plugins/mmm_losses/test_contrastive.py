"""Losses over pairs: against cross entropies written out, triplets against torch, and against each other."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from mmm_graph.errors import RunError
from mmm_losses.contrastive import config as c
from mmm_losses.contrastive import ops
from mmm_losses.contrastive.triplet import triplet, triplet_mined

SCALE, BIAS = torch.tensor(7.0, dtype=torch.float64), torch.tensor(-3.0, dtype=torch.float64)


def vectors(count=6, *, seed=0, width=5, parts=2):
    g = torch.Generator().manual_seed(seed)
    return torch.randn(parts, count, width, dtype=torch.float64, generator=g).unbind()


def cosines(x, y):
    return torch.tensor([[F.cosine_similarity(a, b, dim=0) for b in y] for a in x], dtype=torch.float64)


def soft(logits, targets):
    """Mean over rows of the cross entropy, by torch, which takes targets of all columns."""
    return F.cross_entropy(logits, targets)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_info_nce_is_clips(smoothing):
    """As open_clip's ClipLoss: cross entropy of rows and of columns, halved."""
    x, y = vectors()
    logits, right = 7 * cosines(x, y), torch.arange(6)
    want = sum(F.cross_entropy(v, right, label_smoothing=smoothing) for v in (logits, logits.T)) / 2
    config = c.InfoNCEConfig(smoothing=smoothing)
    torch.testing.assert_close(ops.info_nce(x, y, config, SCALE), want)
    plain = ops.info_nce(3 * x, y, c.InfoNCEConfig(temperature=1 / 7, smoothing=smoothing))
    torch.testing.assert_close(plain, want)
    raw = ops.info_nce(x, y, c.InfoNCEConfig(normalize=False), SCALE)
    torch.testing.assert_close(raw, sum(F.cross_entropy(v, right) for v in (7 * x @ y.T, 7 * y @ x.T)) / 2)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_equal_ids_share_the_target(smoothing):
    """As LAVIS has it: targets (1 - e) same / count + e / all."""
    x, y = vectors()
    ids = torch.tensor([4, 9, 4, 4, 1, 9])
    same = (ids[:, None] == ids).double()
    targets = (1 - smoothing) * same / same.sum(1, keepdim=True) + smoothing / 6
    logits = 7 * cosines(x, y)
    found = ops.info_nce(x, y, c.InfoNCEConfig(smoothing=smoothing), SCALE, ids)
    torch.testing.assert_close(found, (soft(logits, targets) + soft(logits.T, targets)) / 2)


def test_ids_of_texts_differ_from_those_of_images():
    """Three pictures, two of which have one caption; each picture's text is right for it even without equal ids."""
    x, y = vectors(3)
    ids, text_ids = torch.tensor([0, 1, 2]), torch.tensor([5, 1, 1])
    same = torch.tensor([[1, 0, 0], [0, 1, 1], [0, 0, 1.0]], dtype=torch.float64)
    logits = 7 * cosines(x, y)
    want = soft(logits, same / same.sum(1, keepdim=True)) + soft(
        logits.T, same.T / same.T.sum(1, keepdim=True)
    )
    torch.testing.assert_close(ops.info_nce(x, y, c.InfoNCEConfig(), SCALE, ids, text_ids), want / 2)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_masked_repeats_are_not_there(smoothing):
    x, y = vectors()
    ids = torch.tensor([4, 9, 4, 4, 1, 9])
    logits = 7 * cosines(x, y)
    want = []
    for side in (logits, logits.T):
        for i in range(6):
            left = [j for j in range(6) if j == i or ids[j] != ids[i]]
            right = torch.tensor([left.index(i)])
            want.append(F.cross_entropy(side[i, left][None], right, label_smoothing=smoothing))
    config = c.InfoNCEConfig(repeats="mask", smoothing=smoothing)
    torch.testing.assert_close(ops.info_nce(x, y, config, SCALE, ids), sum(want) / 12)


LOCAL = {
    "info_nce": lambda x, y, own: ops.info_nce(x, y, c.InfoNCEConfig(local=True), SCALE, IDS, None, own),
    "mask": lambda x, y, own: ops.info_nce(
        x, y, c.InfoNCEConfig(local=True, repeats="mask", smoothing=0.1), SCALE, IDS, IDS.flip(0), own
    ),
    "siglip": lambda x, y, own: ops.siglip(x, y, SCALE, c.SigLIPConfig(local=True), BIAS, IDS, None, own),
    "itc": lambda x, y, own: ops.image_text_contrast(
        torch.stack([x, x.flip(1)], 1), y, c.InfoNCEConfig(local=True), SCALE, IDS, None, own
    ),
}
IDS = torch.tensor([4, 9, 4, 4, 1, 9])


@pytest.mark.parametrize("name", LOCAL)
def test_the_mean_of_local_losses_is_the_loss(name):
    """Its value and its gradients, which ranks average."""
    x, y = (v.requires_grad_() for v in vectors())
    whole = LOCAL[name](x, y, None)
    shares = [LOCAL[name](x, y, slice(k, k + 2)) for k in (0, 2, 4)]
    mean = torch.stack(shares).mean()
    torch.testing.assert_close(mean, whole)
    assert shares[0] != shares[1]
    for a, b in zip(torch.autograd.grad(mean, (x, y)), torch.autograd.grad(whole, (x, y)), strict=True):
        torch.testing.assert_close(a, b)


def test_siglip_is_the_papers_sum():
    """As open_clip's SigLipLoss; with equal ids more pairs are positive, or none of both."""
    x, y = vectors()
    logits = 7 * cosines(x, y) - 3
    want = {"positives": 0.0, "mask": 0.0, "plain": 0.0}
    for i in range(6):
        for j in range(6):
            same = bool(IDS[i] == IDS[j])
            term = math.log(1 + math.exp(-(1 if i == j else -1) * float(logits[i, j])))
            want["plain"] += term / 6
            want["mask"] += (term if i == j or not same else 0.0) / 6
            want["positives"] += math.log(1 + math.exp(-(1 if same else -1) * float(logits[i, j]))) / 6
    assert float(ops.siglip(x, y, SCALE, c.SigLIPConfig(), BIAS)) == pytest.approx(want["plain"])
    for repeats in ("positives", "mask"):
        found = ops.siglip(x, y, SCALE, c.SigLIPConfig(repeats=repeats), BIAS, IDS)
        assert float(found) == pytest.approx(want[repeats])


def test_siglip_needs_its_bias():
    with pytest.raises(RunError, match=r"E779.*got no bias"):
        ops.siglip(*vectors(), SCALE, c.SigLIPConfig())


def test_the_nearest_of_several_vectors_counts():
    """As BLIP-2's first stage: max over queries of the cosine."""
    x, y = torch.stack([*vectors(seed=1, parts=3)], 1), vectors()[0]
    sims = torch.stack([cosines(x[:, k], y) for k in range(3)]).amax(0)
    want = sum(F.cross_entropy(7 * v, torch.arange(6)) for v in (sims, sims.T)) / 2
    torch.testing.assert_close(ops.image_text_contrast(x, y, c.InfoNCEConfig(), SCALE), want)


def test_cyclip_is_its_double_sums():
    x, y = vectors()
    a, b, s = cosines(x, x), cosines(y, y), cosines(x, y)
    pairs = [(i, j) for i in range(6) for j in range(6)]
    cross = sum((s[i, j] - s[j, i]) ** 2 for i, j in pairs) / 6
    within = sum((a[i, j] - b[i, j]) ** 2 for i, j in pairs) / 6
    found = ops.cyclip(x, y, c.CyCLIPConfig(cross=0.5, within=2))
    torch.testing.assert_close(found["cross"], cross)
    torch.testing.assert_close(found["within"], within)
    torch.testing.assert_close(found["loss"], 0.5 * cross + 2 * within)


def test_derivatives():
    x, y = (v.requires_grad_() for v in vectors(3, width=2))
    scale, bias = SCALE.clone().requires_grad_(), BIAS.clone().requires_grad_()
    ids = torch.tensor([1, 1, 2])
    masked = c.InfoNCEConfig(repeats="mask", smoothing=0.1)
    assert torch.autograd.gradcheck(lambda *v: ops.info_nce(v[0], v[1], masked, v[2], ids), (x, y, scale))
    assert torch.autograd.gradcheck(
        lambda *v: ops.siglip(v[0], v[1], v[2], c.SigLIPConfig(), v[3], ids), (x, y, scale, bias)
    )
    assert torch.autograd.gradcheck(lambda *v: ops.cyclip(*v, c.CyCLIPConfig())["loss"], (x, y))


@pytest.mark.parametrize("count", [0, 1])
def test_batches_without_negatives(count):
    x, y = (v[:count].requires_grad_() for v in vectors())
    losses = [
        ops.info_nce(x, y, c.InfoNCEConfig(), SCALE),
        ops.cyclip(x, y, c.CyCLIPConfig())["cross"],
        *(triplet_mined(x, c.MinedTripletConfig(mining=m), y)["loss"] for m in ("hard", "semi_hard", "all")),
    ]
    torch.stack(losses).sum().backward()
    assert all(float(v.detach()) == 0 for v in losses)
    assert x.grad is not None and bool(x.grad.isfinite().all())


def test_a_zero_vector_has_no_gradient_and_harms_no_other():
    x, y = vectors()
    x = x.clone()
    x[2] = 0
    x.requires_grad_()
    ops.info_nce(x, y, c.InfoNCEConfig(), SCALE).backward()
    assert bool((x.grad[2] == 0).all()) and bool((x.grad[3] != 0).any()) and bool(x.grad.isfinite().all())


def test_autocast_does_not_round_logits():
    x, y = (v.float() for v in vectors(32, width=64))
    config, scale = c.InfoNCEConfig(), torch.tensor(100.0)
    plain = ops.info_nce(x, y, config, scale)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(ops.info_nce(x, y, config, scale), plain)


def test_equal_texts_get_equal_numbers():
    ids = ops.ids_of_text(["a seven", "a two", "a seven", ""])
    assert ids.dtype == torch.int64 and ids[0] == ids[2] and len(set(ids.tolist())) == 3
    assert ids[1] == ops.ids_of_text(["a two"])[0] and bool((ids >= 0).all())


@pytest.mark.parametrize("normalize", [False, True])
def test_triplets_are_those_of_torch(normalize):
    a, p, n = vectors(parts=3)
    shown = [F.normalize(v, dim=1) if normalize else v for v in (a, p, n)]
    want = torch.nn.TripletMarginLoss(margin=0.7, eps=0)(*shown)
    found = triplet(a, p, n, c.TripletConfig(margin=0.7, normalize=normalize))
    torch.testing.assert_close(found["loss"], want)
    cosine = torch.nn.TripletMarginWithDistanceLoss(
        distance_function=lambda u, v: 1 - F.cosine_similarity(u, v), margin=0.3
    )
    config = c.TripletConfig(distance="cosine", margin=0.3)
    torch.testing.assert_close(triplet(a, p, n, config)["loss"], cosine(a, p, n))
    soft = triplet(a, p, n, c.TripletConfig(distance="squared", soft=True))["loss"]
    gap = (a - p).square().sum(1) - (a - n).square().sum(1)
    torch.testing.assert_close(soft, torch.log(1 + gap.exp()).mean())


LABELS = torch.tensor([0, 1, 0, 2, 1, 0, 1])


def mined(mining, distance, positive, margin, reverse=False):
    """Losses of the triplets that loops find."""
    losses = []
    for i in range(len(distance)):
        near = [j for j in range(len(distance)) if positive[i][j] is True]
        far = [j for j in range(len(distance)) if positive[i][j] is False]
        d = distance[i].tolist()
        if not near or not far:
            continue
        if mining == "hard":
            losses.append(max(d[j] for j in near) - min(d[j] for j in far) + margin)
        elif mining == "all":
            losses += [d[j] - d[k] + margin for j in near for k in far]
        else:
            for j in near:
                beyond = [d[k] for k in far if d[k] > d[j]]
                losses.append(d[j] - (min(beyond) if beyond else max(d[k] for k in far)) + margin)
    return [max(0.0, v) for v in losses]


@pytest.mark.parametrize("mining", ["hard", "semi_hard", "all"])
@pytest.mark.parametrize("distance", ["euclidean", "squared", "cosine"])
def test_mined_triplets_are_those_that_loops_find(mining, distance):
    x = vectors(7, parts=1)[0]
    apart = 1 - cosines(x, x) if distance == "cosine" else torch.linalg.vector_norm(x[:, None] - x, dim=-1)
    apart = apart**2 if distance == "squared" else apart
    same = LABELS[:, None] == LABELS
    positive = [[None if i == j else bool(same[i, j]) for j in range(7)] for i in range(7)]
    want = mined(mining, apart, positive, 0.4)
    found = triplet_mined(
        x, c.MinedTripletConfig(mining=mining, distance=distance, margin=0.4), labels=LABELS
    )
    assert int(found["triplets"]) == len(want)
    assert float(found["loss"]) == pytest.approx(sum(want) / len(want))
    assert float(found["active"]) == pytest.approx(sum(v > 0 for v in want) / len(want))
    config = c.MinedTripletConfig(mining=mining, distance=distance, margin=0.4, active_only=True)
    active = [v for v in want if v > 0]
    assert float(triplet_mined(x, config, labels=LABELS)["loss"]) == pytest.approx(sum(active) / len(active))


@pytest.mark.parametrize("mining", ["hard", "semi_hard"])
def test_images_and_texts_are_mined_both_ways(mining):
    x, y = vectors(7)
    apart = 1 - cosines(x, y)
    same = (LABELS[:, None] == LABELS).tolist()
    first = mined(mining, apart, same, 0.2)
    second = mined(mining, apart.T, same, 0.2)
    config = c.MinedTripletConfig(mining=mining, distance="cosine")
    found = triplet_mined(x, config, y, LABELS)["loss"]
    assert float(found) == pytest.approx((sum(first) / len(first) + sum(second) / len(second)) / 2)
    one = triplet_mined(x, config.model_copy(update={"both": False}), y, LABELS)["loss"]
    assert float(one) == pytest.approx(sum(first) / len(first))


def test_pairs_without_labels_are_the_hinge_of_vse():
    """sum over i of max(0, m - s_ii + max_j s_ij), for images and for texts."""
    x, y = vectors()
    s = cosines(x, y)
    worst = [s.masked_fill(torch.eye(6, dtype=torch.bool), -9).amax(k) for k in (1, 0)]
    want = sum((0.2 - s.diagonal() + w).clamp(min=0).mean() for w in worst) / 2
    found = triplet_mined(x, c.MinedTripletConfig(distance="cosine"), y)
    torch.testing.assert_close(found["loss"], want)


@pytest.mark.parametrize("mining", ["hard", "semi_hard", "all"])
@pytest.mark.parametrize("distance", ["euclidean", "squared", "cosine"])
def test_equal_vectors_have_a_gradient(mining, distance):
    """Collapse, where a root has no derivative: the gradient is finite, so training can go on."""
    x = vectors(4, parts=1)[0].clone()
    x[1] = x[0]
    x[3] = 0
    x.requires_grad_()
    labels = torch.tensor([0, 0, 1, 1])
    config = c.MinedTripletConfig(mining=mining, distance=distance, margin=5)
    triplet_mined(x, config, labels=labels)["loss"].backward()
    assert bool(x.grad.isfinite().all()) and bool((x.grad != 0).any())
    a = torch.zeros(2, 3, requires_grad=True)
    triplet(a, a, a, c.TripletConfig(distance=distance))["loss"].backward()
    assert bool((a.grad == 0).all())


def test_no_two_of_a_label_or_no_other_label_is_no_triplet():
    x = vectors(4, parts=1)[0].requires_grad_()
    for labels in ([0, 1, 2, 3], [5, 5, 5, 5]):
        found = triplet_mined(x, c.MinedTripletConfig(), labels=torch.tensor(labels))
        assert float(found["triplets"]) == 0 and float(found["loss"].detach()) == 0
        found["loss"].backward()
    assert bool((x.grad == 0).all())


def test_derivatives_of_triplets():
    x = vectors(7, parts=1)[0].requires_grad_()
    for mining in ("hard", "semi_hard", "all"):
        config = c.MinedTripletConfig(mining=mining, margin=3)
        assert torch.autograd.gradcheck(
            lambda v, config=config: triplet_mined(v, config, labels=LABELS)["loss"], (x,)
        )
