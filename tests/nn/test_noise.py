from __future__ import annotations

import pytest
import torch

from mmm_graph.nn.noise import Noise

SHAPE = (3, 8, 8)


def noise(elements=(0, 1, 2), **kw):
    return Noise(**{"seeds": (7,), "path": "a/b", "elements": elements, "index": (4,), **kw})


def test_an_element_draws_the_same_alone_in_any_batch_and_in_any_order():
    whole = noise().normal(SHAPE)
    assert torch.equal(noise((1,)).normal(SHAPE)[0], whole[1])
    assert torch.equal(noise((2, 0)).normal(SHAPE), whole[[2, 0]])
    assert torch.equal(noise(seeds=(7, 7, 7)).normal(SHAPE), whole)


@pytest.mark.parametrize(
    "change", [{"seeds": (8,)}, {"path": "a/c"}, {"elements": (5, 6, 7)}, {"index": (5,)}]
)
def test_every_part_of_the_key_counts(change):
    assert not torch.isclose(noise(**change).normal(SHAPE), noise().normal(SHAPE)).any(dim=(1, 2, 3)).all()


def test_names_and_kinds_are_streams_of_their_own():
    source = noise()
    assert torch.equal(source.uniform(SHAPE), source.uniform(SHAPE))
    assert not torch.equal(source.uniform(SHAPE), source.uniform(SHAPE, name="other"))
    correlation = torch.corrcoef(
        torch.stack([source.normal(SHAPE).flatten(), source.uniform(SHAPE).flatten()])
    )
    assert abs(float(correlation[0, 1])) < 0.2


def test_one_seed_for_each_element():
    both = noise((0, 1), seeds=(1, 2)).normal(SHAPE)
    assert torch.equal(both[1], noise((1,), seeds=(2,)).normal(SHAPE)[0])
    with pytest.raises(ValueError, match="2 seeds for 3 elements"):
        noise(seeds=(1, 2))


def test_distributions():
    many = noise(tuple(range(64)))
    normal, uniform = many.normal((4, 32, 32)), many.uniform((4, 32, 32))
    assert abs(float(normal.mean())) < 0.01 and abs(float(normal.std()) - 1) < 0.01
    assert float(uniform.min()) >= 0 and float(uniform.max()) < 1 and abs(float(uniform.mean()) - 0.5) < 0.01
    whole = many.integers(10, (100,))
    assert whole.dtype == torch.int64 and sorted(set(whole.flatten().tolist())) == list(range(10))


def test_dtype_is_a_cast_of_the_same_numbers():
    single, double = noise().normal(SHAPE), noise().normal(SHAPE, dtype=torch.float64)
    assert double.dtype == torch.float64 and torch.equal(single, double.float())
    assert noise().uniform().shape == (3,)


def test_the_global_generator_is_left_alone_and_no_elements_give_no_rows():
    before = torch.get_rng_state()
    assert noise(()).normal(SHAPE).shape == (0, *SHAPE)
    assert noise(()).integers(5).dtype == torch.int64
    noise().normal(SHAPE)
    assert torch.equal(before, torch.get_rng_state())


def test_numbers_stay_what_they_are():
    """A saved image holds its seed, so the numbers behind a seed must never change."""
    drawn = Noise((7,), "noise", (0,), ()).normal((3,))
    torch.testing.assert_close(drawn, torch.tensor([[-0.5330423, 1.4035665, 1.2322319]]), atol=1e-6, rtol=0)
