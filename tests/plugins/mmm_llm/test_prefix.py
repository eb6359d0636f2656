"""Prompts that begin like earlier ones give what they give computed whole: on one rank and on several."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import mmm_graph as mmm
from mmm_graph.errors import Cancelled, InputError, RunError

GENERATOR = torch.Generator().manual_seed(1)
VOCAB = 61
SYSTEM = torch.randint(1, VOCAB, (1, 50), generator=GENERATOR)
TAILS = [torch.randint(1, VOCAB, (1, n), generator=GENERATOR) for n in (9, 1, 14, 30)]
PROMPTS = [torch.cat([SYSTEM, tail], 1) for tail in TAILS]
SMALL = {
    "vocab_size": VOCAB,
    "max_length": 256,
    "width": 24,
    "depth": 3,
    "num_heads": 4,
    "num_kv_heads": 2,
    "hidden": 40,
}
FAMILIES: dict[str, dict[str, Any]] = {
    "llama": {},
    "mistral": {"window": 7, "window_from": 1},
    "opt": {
        **{"rope": None, "position_offset": 2, "norm": "layer", "pre_norm": False},
        **{"mlp": "plain", "activation": "relu"},
    },
}
PLANS = {
    "pipe": {"ranks": 2, "pipe": {"llm": 2}},
    "tensor": {"ranks": 2, "axes": {"llm": {"tensor": 2}}},
}


def session(
    mib: int = 0, plan: str | None = None, *, count: int = 4, model: Any = None, **config: Any
) -> mmm.Session:
    said = {"prefix_cache": mib} if mib else {}
    tree = {
        "mmm": 1,
        "inputs": {"ids": "Ids[b,t]", "mask": "Mask[b,t]?"},
        "models": {
            "llm": {"kind": "llm.decoder", "init": "default", "config": SMALL | config, **(model or {})}
        },
        "nodes": {
            "say": {
                "op": "llm.generate",
                "use": {"llm": "llm"},
                "in": {"ids": "$in.ids", "mask": "$in.mask"},
                "config": {"max_new_tokens": count, **said},
            },
        },
        "outputs": {"ids": "say.ids", "logprobs": "say.logprobs"},
        "parallel": {"plans": PLANS},
    }
    made, drawn = mmm.load(tree, plan=plan), torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in made.module("llm").parameters():
            weight.add_(torch.randn(weight.shape, generator=drawn) * 0.3)
    return made


@pytest.fixture
def lengths(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many tokens each prompt did not compute."""
    from mmm_graph.nn.prefix_index import PrefixIndex

    found, decide = [], PrefixIndex.decide

    def noted(self: PrefixIndex, embeds: Tensor, budget: int) -> Any:
        word = decide(self, embeds, budget)
        found.append(word.length)
        return word

    monkeypatch.setattr(PrefixIndex, "decide", noted)
    return found


def same(one: dict[str, Any], other: dict[str, Any], atol: float = 1e-5) -> bool:
    close = (one["logprobs"] - other["logprobs"]).abs().max() <= atol
    return bool(torch.equal(one["ids"], other["ids"]) and close)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_rest_of_a_prompt_gives_what_the_whole_gives(family: str, lengths: list[int]) -> None:
    whole, rest = (session(mib, count=32, **FAMILIES[family]) for mib in (0, 4))
    for ids in (*PROMPTS, PROMPTS[0]):
        assert same(whole.run(ids=ids), rest.run(ids=ids))
    assert lengths == [0, 48, 48, 48, 48]


@pytest.mark.dist
@pytest.mark.parametrize("plan", PLANS)
def test_ranks_take_what_is_theirs(plan: str, lengths: list[int]) -> None:
    whole, rest = (session(mib, plan, count=8, **FAMILIES["mistral"]) for mib in (0, 4))
    asked = [{"ids": ids, "id": str(i)} for i, ids in enumerate(PROMPTS)]
    for _ in range(
        2
    ):  # the prompts of one run pass the ranks side by side, and go on from those of runs before
        found, want = rest.map(asked), whole.map(asked)
        assert all(same(found[key].values, want[key].values) for key in want)
    deciders = 2 if plan == "tensor" else 1
    assert sorted(lengths) == [0] * 4 * deciders + [48] * 3 * deciders + [64] * deciders


def test_prompts_of_one_run_share_a_prefix(lengths: list[int]) -> None:
    session(4).map([{"ids": ids} for ids in PROMPTS])
    assert lengths == [0, 48, 48, 48]


@pytest.mark.parametrize("model", [{"dtype": "bf16"}, {"quantize": "int8"}], ids=["bf16", "int8"])
def test_narrow_weights(model: dict[str, Any], lengths: list[int]) -> None:
    whole, rest = (session(mib, model=model) for mib in (0, 4))
    for ids in PROMPTS[:2]:
        found, want = rest.run(ids=ids), whole.run(ids=ids)
        assert (found["logprobs"][:, 0] - want["logprobs"][:, 0]).abs().max() < 0.05
    assert lengths == [0, 48]


def test_batches_and_padding_are_computed_whole(lengths: list[int]) -> None:
    whole, rest = session(), session(4)
    both, mask = torch.cat([PROMPTS[0], PROMPTS[0]]), torch.arange(59)[None] >= 3
    for given in ({"ids": PROMPTS[0]}, {"ids": both}, {"ids": PROMPTS[0], "mask": mask}):
        assert same(rest.run(**given), whole.run(**given))
    assert lengths == [0]


def test_frequencies_of_the_whole_length_are_never_mixed(lengths: list[int]) -> None:
    rope = {"type": "dynamic", "factor": 2.0}
    whole, rest = (session(mib, rope=rope, max_length=56) for mib in (0, 4))
    for ids in PROMPTS[:2]:
        assert same(whole.run(ids=ids), rest.run(ids=ids), atol=0)
    assert lengths == []


def test_other_weights_compute_anew(lengths: list[int]) -> None:
    whole, rest = session(), session(4)
    rest.run(ids=PROMPTS[0])
    with torch.no_grad():
        for made in (whole, rest):
            made.module("llm").parts["block0"].attn.k.weight.mul_(1.5)
    assert same(whole.run(ids=PROMPTS[1]), rest.run(ids=PROMPTS[1]))
    assert lengths == [0, 0]


@pytest.mark.parametrize("plan", [None, pytest.param("pipe", marks=pytest.mark.dist)])
def test_a_run_that_was_stopped_leaves_nothing_half(plan: str | None, lengths: list[int]) -> None:
    whole, rest = session(plan=plan), session(4, plan)
    rest.run(ids=SYSTEM)
    asked = iter([False] * 5)
    with pytest.raises(Cancelled):
        rest.result(given={"ids": PROMPTS[3]}, cancel=lambda: next(asked, True))
    for ids in (PROMPTS[3], PROMPTS[2]):
        assert same(whole.run(ids=ids), rest.run(ids=ids))
    assert lengths[0] == 0 and lengths[-2:] == [48, 48]


def test_what_a_rank_does_not_have_is_an_error() -> None:
    rest = session(4)
    rest.run(ids=PROMPTS[0])
    rest.module("llm").parts["block1"].prefixes.forget()
    with pytest.raises(RunError, match="E766"):
        rest.run(ids=PROMPTS[1])


REFUSED = """
mmm: 1
inputs: {ids: "Ids[b,t]", media: "Embeds[m,5,12]?", index: "Ids[b,t]?"}
models:
  xattn: {kind: adaptor.gated_xattn, init: default, config: {num_heads: 2, head_dim: 5}}
  seen:
    kind: llm.decoder
    init: default
    config: {vocab_size: 40, width: 16, depth: 2, num_heads: 2, hidden: 20}
    attach: [{model: xattn, at: blocks}]
  t5:
    kind: llm.t5
    init: default
    config: {vocab_size: 40, width: 16, depth: 1, num_heads: 2, head_dim: 8, hidden: 20}
nodes:
  say: {op: llm.generate, use: {llm: MODEL}, in: {ids: $in.ids MEDIA}, config: {prefix_cache: 4}}
outputs: {ids: say.ids}
"""


@pytest.mark.parametrize(
    ("model", "media"), [("seen", ", media: $in.media, media_index: $in.index"), ("t5", "")]
)
def test_models_whose_beginning_is_not_all(model: str, media: str) -> None:
    with pytest.raises(InputError, match=f"prefix_cache: {model}"):
        mmm.load(REFUSED.replace("MODEL", model).replace(" MEDIA", media))


def test_a_beam_search_has_no_use_for_it() -> None:
    text = (
        REFUSED.replace("MODEL", "t5")
        .replace(" MEDIA", "")
        .replace("prefix_cache: 4", "prefix_cache: 4, num_beams: 2")
    )
    with pytest.raises(InputError, match="a beam search has several rows"):
        mmm.load(text)
