"""Group norm of rows that are on several ranks: exact, and in the ways of a displaced plan."""

from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F

from mmm_graph.errors import RunError
from mmm_graph.parallel import stats
from mmm_graph.parallel.sharded import Groups, Sharded
from tests.parallel.slices import MODES, PATCH, displaced, image, joined, members, own
from tests.parallel.toys import at

TWO, FOUR, UNEVEN2, UNEVEN4 = (0, 8, 16), (0, 4, 8, 12, 16), (0, 10, 16), (0, 2, 8, 10, 16)
GROUPS, EPS = 3, 1e-5
WEIGHT, BIAS = image(6, seed=11), image(6, seed=12)


def whole(x):
    return F.group_norm(x, GROUPS, WEIGHT, BIAS, EPS)


def normed(exchange, x, layer="norm"):
    return exchange.group_norm(layer, x, GROUPS, WEIGHT, BIAS, EPS)


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("bounds", [TWO, UNEVEN2, FOUR, UNEVEN4])
def test_equals_one_device(bounds, channels_last):
    ramp = torch.linspace(-3, 3, 16, dtype=torch.float64).view(16, 1)  # each member sees other moments
    x = image(2, 6, 16, 5, channels_last=channels_last) * ramp.exp() + 5 * ramp

    def work(exchange, member):
        y = normed(exchange, own(x, bounds, member))
        assert y.is_contiguous(memory_format=torch.channels_last) == channels_last
        return y

    got = joined(bounds, work)
    assert (got - whole(x)).abs().max() < 1e-12


def test_float32_with_a_mean_far_from_zero_is_nearer_to_float64_than_torch_s_own():
    x = (image(1, 6, 16, 64, channels_last=True) * 0.1 + 20).float()
    wanted = whole(x.double())
    w, b = WEIGHT.float(), BIAS.float()
    got = joined(UNEVEN4, lambda ex, m: ex.group_norm("n", own(x, UNEVEN4, m), GROUPS, w, b, EPS))
    assert got.dtype == torch.float32
    assert (got - wanted).abs().max() < 1e-3
    assert (got - wanted).abs().max() < (F.group_norm(x, GROUPS, w, b, EPS) - wanted).abs().max()


def test_half_precision_has_statistics_in_float32():
    x = image(1, 6, 16, 8).bfloat16()
    w, b = WEIGHT.bfloat16(), BIAS.bfloat16()
    got = joined(TWO, lambda ex, m: ex.group_norm("n", own(x, TWO, m), GROUPS, w, b, EPS))
    wanted = F.group_norm(x.float(), GROUPS, w.float(), b.float(), EPS)
    assert got.dtype == torch.bfloat16
    assert torch.equal(got, wanted.bfloat16()) or (got - wanted).abs().max() < 0.02
    assert stats.group_moments(x, GROUPS).dtype == torch.float32


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("form", ["rows", "channels_last", "strided"])
def test_the_quick_moments_are_those_of_var_mean(form, dtype):
    x = image(3, 6, 40, 30).to(dtype) + 2
    if form == "channels_last":
        x = x.contiguous(memory_format=torch.channels_last)
    if form == "strided":
        x = x.transpose(2, 3)[..., ::2]
    mean, var = stats.group_moments(x, GROUPS)
    var2, mean2 = torch.var_mean(x.double().reshape(3, GROUPS, -1), dim=2, correction=0)
    tolerance = 1e-13 if dtype == torch.float64 else 1e-5
    assert (mean - mean2).abs().max() < tolerance
    assert (var - var2).abs().max() < tolerance
    assert mean.dtype == dtype


def test_merged_parts_are_the_moments_of_the_union():
    x = image(2, 6, 16, 5)
    parts = [stats.group_moments(x[:, :, a:b], GROUPS) for a, b in ((0, 2), (2, 9), (9, 16))]
    got = stats.merge(parts, [2 / 16, 7 / 16, 7 / 16])
    assert (got - stats.group_moments(x, GROUPS)).abs().max() < 1e-14


def test_pixels_of_all_rows_in_one_dim():
    x = image(2, 6, 16, 5)
    got = joined(UNEVEN2, lambda ex, m: normed(ex, own(x, UNEVEN2, m).flatten(2).unsqueeze(3)))
    assert torch.allclose(got.view(x.shape), whole(x), atol=1e-12)


def test_all_rows_here_is_one_device():
    x, exchange = image(1, 6, 8, 4), Sharded(Groups(), PATCH)
    for bounds in ((0,), (0, 8)):
        exchange.bind(at(bounds, 0))
        assert torch.equal(normed(exchange, x), whole(x))


def test_patches_of_a_pipeline_are_refused():
    exchange = Sharded(Groups(), PATCH)
    exchange.bind(at((8, 16), 0, patch=1, total=32))
    with pytest.raises(RunError, match=r"E721\] norm: a group norm needs the whole image"):
        normed(exchange, image(1, 6, 8, 4))


def test_gradients_are_refused():
    def work(exchange, member):
        exchange.bind(at(TWO, member))
        with torch.enable_grad(), pytest.raises(RunError, match="E723"):
            normed(exchange, image(1, 6, 8, 4).requires_grad_())

    members(TWO, work)


def raw(x):
    """E[x], E[x^2] of each group; 2 b g."""
    x = x.reshape(len(x), GROUPS, -1)
    return torch.stack([x.mean(2), x.square().mean(2)])


def by_formula(mode, images, bounds, warmup, weight=WEIGHT, bias=BIAS, eps=EPS):
    """What each member makes of its rows, evaluation after evaluation, as the paper's formulas say."""
    pairs = list(pairwise(bounds))
    shares = [(b - a) / bounds[-1] for a, b in pairs]
    before, results = None, []
    for step, x in enumerate(images):
        now, parts = [raw(x[:, :, a:b]) for a, b in pairs], []
        for member, (a, b) in enumerate(pairs):
            seen = {
                "sync": now,
                "separate": [now[member]] * len(pairs),
                "stale": [now[m] if m == member else old for m, old in enumerate(before or now)],
                "corrected": [old + now[member] - before[member] for old in before] if before else now,
            }[mode]
            if step < warmup:
                seen = now
            elif before is None and mode != "sync":
                seen = [now[member]] * len(pairs)
            mean, square = sum(share * part for share, part in zip(shares, seen, strict=True))
            var = square - mean**2
            var = torch.where(var < 0, now[member][1] - now[member][0] ** 2, var)
            y = (x[:, :, a:b].reshape(len(x), GROUPS, -1) - mean[..., None]) / (var[..., None] + eps).sqrt()
            y = y.reshape(x[:, :, a:b].shape)
            parts.append(y * weight.view(-1, 1, 1) + bias.view(-1, 1, 1))
        results.append(torch.cat(parts, dim=2))
        before = now
    return results


def in_turn(images, bounds, config, warmup):
    def work(exchange, member):
        results = []
        for step, x in enumerate(images):
            exchange.bind(at(bounds, member, step, sync=step < warmup))
            results.append(normed(exchange, own(x, bounds, member)))
        exchange.clear("r")
        assert len(exchange.state) == 0
        return results

    return [torch.cat(parts, dim=2) for parts in zip(*members(bounds, work, config), strict=True)]


@pytest.mark.parametrize("warmup", [0, 1, 2, 4])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("bounds", [TWO, UNEVEN4])
def test_modes_of_a_displaced_plan(bounds, mode, warmup):
    images = [image(2, 6, 16, 5, seed=seed) * (1 + 0.2 * seed) + seed for seed in range(4)]
    got = in_turn(images, bounds, displaced(mode), warmup)
    for result, wanted in zip(got, by_formula(mode, images, bounds, warmup), strict=True):
        assert (result - wanted).abs().max() < 1e-11
    for step in range(4 if mode == "sync" else warmup):
        assert (got[step] - whole(images[step])).abs().max() < 1e-12


def test_a_negative_corrected_variance_is_replaced_by_the_own_one():
    first = image(1, 6, 16, 5) * 3
    second = first.clone()
    second[:, :, :8] = second[:, :, :8] * 1e-3 + 4  # what member 0 loses is more than all had
    images = [first, second]
    moments = [raw(x[:, :, :8]) for x in images]
    corrected = raw(first) + moments[1] - moments[0]
    assert (corrected[1] < corrected[0] ** 2).any()
    got = in_turn(images, TWO, displaced("corrected"), 1)
    wanted = by_formula("corrected", images, TWO, 1)
    assert torch.allclose(got[1], wanted[1], atol=1e-9)


def test_only_own_statistics_are_not_exchanged():
    """`separate` asks nobody once warm: one member alone goes on."""
    x = image(1, 6, 16, 4)

    def work(exchange, member):
        exchange.bind(at(TWO, member, 0, sync=True))
        normed(exchange, own(x, TWO, member))
        if member == 0:
            exchange.bind(at(TWO, member, 1, sync=False))
            return normed(exchange, own(x, TWO, member))
        return None

    got = members(TWO, work, displaced("separate"))[0]
    assert torch.allclose(got, whole(x[:, :, :8]), atol=1e-12)
