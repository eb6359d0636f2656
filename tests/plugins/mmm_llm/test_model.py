"""What a prompt and a step do to a cache, and what is refused."""

import copy

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from mmm_graph.errors import RunError
from mmm_graph.nn.last_token import chosen
from mmm_graph.nn.parts import run_parts
from mmm_graph.parallel.exchange import install
from mmm_graph.parallel.sharded import Groups, ShardConfig, Sharded
from mmm_graph.parallel.tensor import shard_weights
from mmm_graph.parallel.thread_group import run_members
from mmm_llm.config import DecoderConfig
from mmm_llm.model import Decoder
from mmm_llm.parts import logits_at_path
from tests.plugins.mmm_llm.tiny import embed, greedy, logits, prefill, step

SMALL = {
    **{"vocab_size": 40, "max_length": 32, "width": 16, "depth": 2, "num_heads": 4, "num_kv_heads": 2},
    "hidden": 24,
}
LEARNED = {"rope": None, "norm": "layer", "mlp": "plain", "activation": "relu", "position_offset": 2}
IDS = torch.randint(0, 40, (3, 6), generator=torch.Generator().manual_seed(0))
LEFT = torch.arange(6) >= torch.tensor([[0], [2], [5]])


def decoder(**more):
    config = DecoderConfig(**{**SMALL, **more})
    torch.manual_seed(0)
    model = Decoder(config).eval().requires_grad_(False)
    for weight in model.parameters():
        weight.add_(torch.randn(weight.shape) * 0.2)
    return model, config


class Made(TorchDispatchMode):
    """How large the largest tensor is that an operation makes."""

    largest = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        known = {x.untyped_storage().data_ptr() for x in args if isinstance(x, torch.Tensor)}
        for x in out if isinstance(out, list | tuple) else [out]:
            if isinstance(x, torch.Tensor) and x.untyped_storage().data_ptr() not in known:
                self.largest = max(self.largest, x.untyped_storage().nbytes())
        return out


@pytest.mark.parametrize("mask", [None, LEFT], ids=["whole", "padded"])
@pytest.mark.parametrize("more", [{}, {"window": 3, "depth": 1}, {**LEARNED, "pre_norm": False}], ids=str)
def test_logits_at_places_are_those_among_all(more, mask):
    """The last block does no work for the others."""
    model, config = decoder(**more)
    places = torch.tensor([[5, 2], [3, 5], [5, 5]])
    state = {"embeds": embed(model, IDS), **({} if mask is None else {"mask": mask})}
    some = run_parts(model.parts, logits_at_path(config, None), {**state, "places": places})
    every = model(state)
    for name in ("logits", "hidden"):
        torch.testing.assert_close(some[name], chosen(every[name], places), rtol=0, atol=1e-5)
    assert some["h"].shape == (3, 2, 16)


@pytest.mark.parametrize("mask", [None, LEFT])
def test_a_step_writes_in_place_and_makes_nothing_as_large_as_the_keys(mask):
    model, config = decoder(max_length=4096)
    state = prefill(model, config, IDS, 3000, **({} if mask is None else {"mask": mask}))
    caches = {key: value for key, value in state.items() if key.startswith("cache.block")}
    before = {key: value.data_ptr() for key, value in caches.items()}
    state["at"] = 2000  # as if so many tokens were there
    for cache in caches.values():
        cache[..., :2000, :] = 0.1
    with Made() as made:
        after = step(model, config, state, IDS[:, :1])
    assert {key: after[key].data_ptr() for key in before} == before and after["at"] == 2001
    keys = 3 * config.num_kv_heads * 2000 * config.head_dim * 4
    assert made.largest < keys / 4
    assert (after["mask"] is None) is (mask is None)


def test_the_keys_of_a_prompt_and_of_steps_are_those_of_the_whole_text():
    model, config = decoder()
    some = prefill(model, config, IDS[:, :3], 5)
    for i in range(3, 6):
        some = step(model, config, some, IDS[:, i : i + 1])
    whole = prefill(model, config, IDS, 2)
    for i in range(config.depth):
        a, b = (state[f"cache.block{i}"][..., :6, :] for state in (some, whole))
        assert a.shape == (2, 3, 2, 6, 4) and (a - b).abs().max() < 1e-5
    assert (some["logits"] - whole["logits"]).abs().max() < 1e-5


@pytest.mark.parametrize("mask", [None, LEFT])
def test_rows_of_a_step_may_go_on_from_other_rows(mask):
    model, config = decoder()
    more, order, next_ids = {} if mask is None else {"mask": mask}, torch.tensor([2, 0, 0]), IDS[:, :1]
    state = prefill(model, config, IDS, 4, **more)
    again = {**state, **{k: copy.deepcopy(v) for k, v in state.items() if k.startswith("cache")}}
    picked = prefill(model, config, IDS[order], 4, **{k: v[order] for k, v in more.items()})
    for _ in range(2):
        got, want = step(model, config, state, next_ids, order=order), step(model, config, picked, next_ids)
        assert torch.equal(got["logits"], want["logits"])
        state, picked, order = got, want, None
    assert not torch.equal(step(model, config, again, next_ids)["logits"], got["logits"])


@pytest.mark.parametrize("more", [{}, LEARNED])
def test_positions_may_be_given_and_go_on_from_the_last(more):
    model, config = decoder(**more)
    skip = torch.tensor([[0, 1, 2, 6, 7, 8]]).expand(3, -1)
    state = prefill(model, config, IDS[:, :4], 4, positions=skip[:, :4])
    state = step(model, config, state, IDS[:, 4:5])
    got = step(model, config, state, IDS[:, 5:])["logits"]
    want = logits(model, IDS, positions=skip)[:, -1]
    assert (got - want).abs().max() < 1e-5
    assert (got - logits(model, IDS)[:, -1]).abs().max() > 1e-3


def test_holes_in_a_prompt_are_not_seen_by_what_follows():
    model, config = decoder()
    mask = torch.tensor([[1, 1, 0, 0, 1, 1]]).bool()
    got, _ = greedy(model, config, IDS[:1], 4, mask=mask)
    want, _ = greedy(model, config, IDS[:1, mask[0]], 4)
    assert torch.equal(got, want)


@pytest.mark.parametrize("more", [{"window": 3}, {"window": 3, "window_from": 1}])
def test_a_window_hides_what_is_farther_away(more):
    model, config = decoder(depth=1 + more.get("window_from", 0), **more)
    far, near = IDS[:1].clone(), IDS[:1].clone()
    far[0, 2], near[0, 3] = (far[0, 2] + 1) % 40, (near[0, 3] + 1) % 40
    base, first, second = (logits(model, ids)[:, -1] for ids in (IDS[:1], far, near))
    assert torch.equal(base, first) is ("window_from" not in more) and not torch.equal(base, second)
    for ids, want in ((IDS[:1], base), (far, first), (near, second)):
        state = prefill(model, config, ids[:, :2], 4)
        for i in range(2, 6):
            state = step(model, config, state, ids[:, i : i + 1])
        assert (state["logits"] - want).abs().max() < 1e-5


@pytest.mark.parametrize(
    "more", [{}, {"num_kv_heads": 4, **LEARNED}, {"num_kv_heads": 4, "qk_norm": True, "window": 3}]
)
@pytest.mark.parametrize("ranks", [2, 3])
def test_heads_and_columns_on_several_ranks(more, ranks):
    if ranks > more.get("num_kv_heads", 2):
        more = {**more, "num_heads": 6, "num_kv_heads": 3, "width": 24}
    model, config = decoder(**more)
    model.double()
    want, scores = greedy(model, config, IDS, 5, mask=LEFT)

    def on_rank(group):
        mine = copy.deepcopy(model)
        install(mine, Sharded(Groups(tensor=group), ShardConfig()))
        shard_weights(mine, group.index, group.size)
        with torch.no_grad():
            assert prefill(mine, config, IDS, 1)["cache.block0"].shape[2] < config.num_kv_heads
            return greedy(mine, config, IDS, 5, mask=LEFT)

    for ids, found in run_members(ranks, on_rank, 30.0):
        assert torch.equal(ids, want) and (found - scores).abs().max() < 1e-10


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_stays_what_it_is(dtype):
    model, config = decoder()
    model.to(dtype)
    state = step(model, config, prefill(model, config, IDS, 3, mask=LEFT), IDS[:, :1])
    assert state["logits"].dtype is state["cache.block0"].dtype is dtype and state["logits"].isfinite().all()


def test_all_weights_get_gradients():
    model, _ = decoder(qk_norm=True, qkv_bias=True)
    model.requires_grad_(True)
    logits(model, IDS, mask=LEFT)[LEFT].square().sum().backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


@pytest.mark.parametrize(
    ("more", "call", "code"),
    [
        ({}, lambda m, c: logits(m, IDS.repeat(1, 6)), "E747"),
        ({}, lambda m, c: prefill(m, c, IDS, 27), "E747"),
        (LEARNED, lambda m, c: logits(m, IDS, positions=torch.full_like(IDS, 32)), "E747"),
        ({}, lambda m, c: prefill(m, c, IDS, 2, mask=LEFT.flip(1)), "E748"),
        ({}, lambda m, c: logits(m, IDS + 39), "E749"),
        ({}, lambda m, c: logits(m, IDS - 40), "E749"),
        ({}, lambda m, c: step(m, c, prefill(m, c, IDS, 0), IDS[:, :1]), "E750"),
    ],
)
def test_what_cannot_be_is_refused(more, call, code):
    model, config = decoder(**more)
    with pytest.raises(RunError) as error:
        call(model, config)
    assert [p.code for p in error.value.problems] == [code]


def test_a_rope_with_a_factor_stretches_the_context():
    model, config = decoder(rope={"type": "linear", "factor": 2.0})
    assert config.context == 64 and logits(model, IDS.repeat(1, 10)).shape == (3, 60, 40)
