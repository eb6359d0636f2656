"""A convolution of rows that are on several ranks is that of the whole image."""

from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F

from mmm_graph.errors import RunError
from mmm_graph.parallel.exchange import SINGLE
from mmm_graph.parallel.halo import halo_of
from mmm_graph.parallel.sharded import Groups, Sharded
from mmm_graph.parallel.thread_group import ThreadGroup
from tests.parallel.slices import PATCH, displaced, image, joined, members, own
from tests.parallel.toys import at

TWO, FOUR, UNEVEN2, UNEVEN4 = (0, 8, 16), (0, 4, 8, 12, 16), (0, 10, 16), (0, 2, 8, 10, 16)
SHAPES = [  # kernel, stride, padding
    (1, 1, (0, 0)),
    (3, 1, (1, 1)),
    (3, 2, (1, 1)),
    (3, 2, (0, 1)),
    (3, 1, (0, 2)),
    (3, 1, (2, 0)),
    (5, 1, (2, 2)),
    (4, 2, (1, 1)),
    (2, 2, (0, 0)),
    (1, 2, (0, 0)),
]


def weights(kernel, seed=9):
    return image(5, 3, kernel, kernel, seed=seed), image(5, seed=seed + 1)


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("bounds", [TWO, UNEVEN2, FOUR, UNEVEN4])
def test_equals_one_device(bounds, channels_last):
    x = image(2, 3, 16, 6, channels_last=channels_last)
    for kernel, stride, padding in SHAPES:
        weight, bias = weights(kernel)

        def work(exchange, member, args=(weight, bias, stride, padding)):
            return exchange.conv2d("conv", own(x, bounds, member), *args)

        got, wanted = joined(bounds, work), SINGLE.conv2d("", x, weight, bias, stride, padding)
        assert got.shape == wanted.shape
        assert (got - wanted).abs().max() < 1e-12, (kernel, stride, padding)
        assert got.is_contiguous() or channels_last


@pytest.mark.parametrize("padding", [(1, 1), (0, 1)])
def test_keeps_the_memory_format(padding):
    x = image(2, 3, 16, 6, channels_last=True)

    def work(exchange, member):
        exchange.bind(at(TWO, member))
        return exchange.conv2d("conv", own(x, TWO, member), *weights(3), 2, padding)

    assert all(y.is_contiguous(memory_format=torch.channels_last) for y in members(TWO, work))


def test_rows_of_another_resolution():
    x = image(1, 3, 32, 4)  # two rows for one of the input
    weight, bias = weights(3)
    got = joined(UNEVEN4, lambda ex, m: ex.conv2d("conv", own(x, UNEVEN4, m), weight, bias, 1, (1, 1)))
    assert torch.allclose(got, F.conv2d(x, weight, bias, 1, 1), atol=1e-12)


def test_no_bias():
    x, (weight, _) = image(1, 3, 16, 4), weights(3)
    got = joined(TWO, lambda ex, m: ex.conv2d("conv", own(x, TWO, m), weight, None, 1, (1, 1)))
    assert torch.allclose(got, F.conv2d(x, weight, None, 1, 1), atol=1e-12)


class Spy(ThreadGroup):
    """Notes to whom how many rows go."""

    def start_swap(self, gives, shapes, like):
        self.sent = {to: rows.shape[1] for to, rows in gives.items()}
        return super().start_swap(gives, shapes, like)


@pytest.mark.parametrize(
    ("stride", "padding", "wanted"),
    [
        (1, (1, 1), [{1: 1}, {0: 1, 2: 1}, {1: 1, 3: 1}, {2: 1}]),
        (2, (1, 1), [{1: 1}, {2: 1}, {3: 1}, {}]),
        (2, (0, 1), [{}, {0: 1}, {1: 1}, {2: 1}]),
    ],
)
def test_only_neighbours_get_only_what_they_read(stride, padding, wanted):
    def work(exchange, member):
        spy = Spy(exchange.groups.tokens.board, member)
        mine = Sharded(Groups(tokens=spy, outer=spy), PATCH)
        mine.bind(at(FOUR, member))
        mine.conv2d("conv", image(1, 3, 4, 4), *weights(3), stride, padding)
        return spy.sent

    assert members(FOUR, work) == wanted


def test_all_rows_here_is_one_device():
    x, (weight, bias) = image(1, 3, 8, 4), weights(3)
    exchange = Sharded(Groups(), PATCH)
    for bounds in ((0,), (0, 8)):
        exchange.bind(at(bounds, 0))
        assert torch.equal(exchange.conv2d("c", x, weight, bias, 1, (1, 1)), F.conv2d(x, weight, bias, 1, 1))


def test_a_rank_with_fewer_rows_than_its_neighbours_read_is_refused_on_every_rank():
    x, weight = image(1, 3, 8, 8), image(5, 3, 7, 7)

    def work(exchange, member):
        exchange.bind(at((0, 2, 8), member))
        with pytest.raises(
            RunError, match=r"E721\] conv: member 0 has 2 rows.*need 3 of them\n.*fewer ranks"
        ):
            exchange.conv2d("conv", own(x, (0, 2, 8), member), weight, None, 1, (3, 3))

    members((0, 2, 8), work)


def test_the_last_rank_may_have_fewer_rows_than_it_would_have_to_give():
    x, (weight, bias) = image(1, 3, 9, 8), (image(5, 3, 4, 4), None)  # 2 rows above, 1 below
    got = joined((0, 8, 9), lambda ex, m: ex.conv2d("c", own(x, (0, 8, 9), m), weight, bias, 1, (2, 1)))
    assert torch.allclose(got, SINGLE.conv2d("", x, weight, bias, 1, (2, 1)), atol=1e-12)


def test_rows_that_are_no_multiple_of_the_stride_are_refused():
    x = image(1, 3, 8, 8)

    def work(exchange, member):
        exchange.bind(at((0, 3, 8), member))
        with pytest.raises(RunError, match=r"E721\] conv: member 0 has 3 rows, no multiple of the stride 2"):
            exchange.conv2d("conv", own(x, (0, 3, 8), member), *weights(3), 2, (1, 1))

    members((0, 3, 8), work)


def test_patches_of_a_pipeline_are_refused_but_not_where_no_neighbour_is_read():
    x = image(1, 3, 8, 8)
    exchange = Sharded(Groups(), PATCH)
    exchange.bind(at((8, 16), 0, patch=1, total=32))
    with pytest.raises(RunError, match=r"E721\] conv: a 3x3 convolution needs .* rows 8 to 16 of 32"):
        exchange.conv2d("conv", x, *weights(3), 1, (1, 1))
    assert exchange.conv2d("conv", x, *weights(2), 2, (0, 0)).shape == (1, 5, 4, 4)


def test_a_convolution_that_changes_the_number_of_rows_is_refused():
    with pytest.raises(ValueError, match=r"conv: a 3x3 convolution of stride 1 with zeros \(0, 0\)"):
        halo_of("conv", 3, 1, (0, 0))
    with pytest.raises(ValueError, match="ranks cannot share its rows"):
        halo_of("conv", 3, 1, (2, 2))


def test_gradients_are_refused():
    x = image(1, 3, 8, 4).requires_grad_()

    def work(exchange, member):
        exchange.bind(at((0, 4, 8), member))
        with torch.enable_grad(), pytest.raises(RunError, match="E723"):
            exchange.conv2d("conv", x[:, :, :4], *weights(3), 1, (1, 1))

    members((0, 4, 8), work)


def displaced_rows(images, bounds, warmup, args):
    """Each member's rows of now between the neighbours' of the evaluation before; zeros before the first."""
    results, before = [], torch.zeros_like(images[0])
    for step, now in enumerate(images):
        around = now if step < warmup else before
        parts = []
        for a, b in pairwise(bounds):
            seen = around.clone()
            seen[:, :, a:b] = now[:, :, a:b]
            stride = args[2]
            parts.append(SINGLE.conv2d("", seen, *args)[:, :, a // stride : b // stride])
        results.append(torch.cat(parts, dim=2))
        before = now
    return results


@pytest.mark.parametrize("warmup", [0, 1, 2, 4])
@pytest.mark.parametrize(("stride", "padding"), [(1, (1, 1)), (2, (1, 1)), (2, (0, 1))])
def test_displaced_reads_the_neighbours_rows_of_the_evaluation_before(stride, padding, warmup):
    images = [image(2, 3, 16, 6, seed=seed) for seed in range(4)]
    args = (*weights(3), stride, padding)

    def work(exchange, member):
        results = []
        for step, x in enumerate(images):
            exchange.bind(at(UNEVEN4, member, step, sync=step < warmup))
            x = own(x, UNEVEN4, member)
            results.append(exchange.conv2d("conv", x, *args))
            x.zero_()  # what the model does to its own rows later must not reach the others
        exchange.clear("r")
        return results, len(exchange.state)

    parts = members(UNEVEN4, work, displaced())
    wanted = displaced_rows(images, UNEVEN4, warmup, args)
    for step, whole in enumerate(wanted):
        got = torch.cat([results[step] for results, _ in parts], dim=2)
        assert (got - whole).abs().max() < 1e-12
    assert [kept for _, kept in parts] == [0] * 4


def test_displaced_keeps_requests_nodes_shares_and_layers_apart():
    places = [{}, {"request": "other"}, {"node": "uncond"}, {"share": (1, 2)}]
    x, later = image(1, 3, 8, 4), image(1, 3, 8, 4, seed=1)
    args = (*weights(3), 1, (1, 1))

    def work(exchange, member):
        results = []
        for step, now in enumerate((x, later)):
            for index, place in enumerate(places):
                for layer in ("a", "b"):
                    exchange.bind(at((0, 4, 8), member, step, sync=step == 0, **place))
                    shifted = own(now, (0, 4, 8), member) + 10 * index + (layer == "b")
                    results.append(exchange.conv2d(layer, shifted, *args))
        return results[8:]

    got = [torch.cat(pair, dim=2) for pair in zip(*members((0, 4, 8), work, displaced()), strict=True)]
    shifts = [10 * index + (layer == "b") for index in range(4) for layer in ("a", "b")]
    for result, shift in zip(got, shifts, strict=True):
        wanted = displaced_rows([x + shift, later + shift], (0, 4, 8), 1, args)[1]
        assert (result - wanted).abs().max() < 1e-12
