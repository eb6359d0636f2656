"""The parts table of T5 as a language model against the module; ranks; published sizes."""

from __future__ import annotations

import pytest
import torch
import transformers
from torch.utils.flop_counter import FlopCounterMode

from mmm_graph.testing import check_node
from mmm_t5.config import T5LMConfig
from mmm_t5.lm_foreign import LAYOUTS, read_lm
from mmm_t5.lm_model import T5LM
from mmm_t5.lm_node import T5_LM
from mmm_t5.lm_parts import (
    ANSWER,
    embed_path,
    encode_path,
    lm_parts,
    lm_sharding,
    logits_path,
    prefill_path,
    recall_path,
    step_path,
)
from mmm_t5.parts import TOKENS
from tests.plugins.conftest import Reads
from tests.plugins.mmm_t5.tiny import prefill

SMALL = {
    "vocab_size": 50,
    "width": 16,
    "depth": 2,
    "num_heads": 4,
    "head_dim": 6,
    "hidden": 24,
    "decoder_depth": 1,
}
CHANGES = {
    "v1.1": {},
    "first": {"gated": False, "activation": "relu", "tied": True, "scaled": True, "num_buckets": 8},
}


def checked(model, state, path, *, counted):
    """The state after a path, each part seen to read, write and work as the table says."""
    table = {part.name: part for part in lm_parts(model.config)}
    for name in path:
        part, seen = table[name], Reads({k: v for k, v in state.items() if k in table[name].reads})
        with FlopCounterMode(display=False) as counter:
            written = model.parts[name](seen)
        assert seen.asked == set(part.reads) and set(written) == set(part.writes), name
        if counted and (name != "head" or written["logits"].dim() == 3):
            assert counter.get_total_flops() == pytest.approx(part.flops, rel=0.03), name
            made = {
                k: v.numel() for k, v in written.items() if isinstance(v, torch.Tensor) and k in part.sizes
            }
            assert made == {k: size for k, size in part.sizes.items() if k in made}, name
        state = {**state, **written}
    return state


@pytest.mark.parametrize("name", list(CHANGES))
@torch.no_grad()
def test_table_is_true_of_the_module(name):
    config = T5LMConfig(**{**SMALL, **CHANGES[name]})
    model, table = T5LM(config).eval(), lm_parts(config)
    assert [part.name for part in table] == list(model.parts)
    held = [sum(w.numel() for w in part.parameters()) for part in model.parts.values()]
    assert [part.params for part in table] == held
    with torch.device("meta"):  # where attention is counted
        there, embeds = T5LM(config), torch.zeros(1, TOKENS, 16)
        targets = torch.zeros(1, ANSWER, dtype=torch.int64)
        whole = checked(
            there, {"embeds": embeds, "targets": targets}, logits_path(config, None), counted=True
        )
    assert whole["logits"].shape == (1, ANSWER, 50) and whole["cache.block2"] is None is whole["at"]
    ids = torch.randint(0, 50, (1, 5))
    embeds = checked(model, {"ids": ids}, embed_path(config, None), counted=False)["embeds"]
    begun = checked(model, {"embeds": embeds, "room": 3}, prefill_path(config, None), counted=False)
    assert begun["logits"].shape == (1, 50) and begun["hidden"].shape == (1, 1, 16) and begun["at"] == 1
    assert begun["cache.block2"].shape == (2, 1, 4, 4, 6) and begun["cache.across2"].shape == (2, 1, 4, 5, 6)
    read = checked(model, {"embeds": embeds}, encode_path(config, None), counted=False)
    memory = {"memory": read["memory"], "room": 3}
    again = checked(model, memory, recall_path(config, None), counted=False)
    assert torch.equal(again["logits"], begun["logits"])
    cache = {k: v for k, v in begun.items() if k.startswith("cache")}
    state = {"ids": ids[:, :1], "at": 1, **cache}
    after = checked(model, state, step_path(config, None), counted=False)
    assert after["logits"].shape == (1, 50) and after["at"] == 2


def test_paths_go_through_the_parts_in_order():
    config = T5LMConfig(**SMALL)
    names = [part.name for part in lm_parts(config)]
    for path in (embed_path, logits_path, prefill_path, encode_path, recall_path, step_path):
        found = [names.index(name) for name in path(config, None)]
        assert found == sorted(found)


def test_a_text_has_heads_to_share_but_no_rows():
    said = lm_sharding(T5LMConfig(**SMALL))
    assert said.heads == 4 and said.units == {} and "ring" in said.refused


@pytest.mark.parametrize("name", list(CHANGES))
def test_the_node_keeps_its_promises_on_two_ranks_too(name):
    config = T5LMConfig(**{**SMALL, **CHANGES[name]})
    torch.manual_seed(0)
    begun = prefill(T5LM(config).eval(), torch.randint(0, 50, (2, 5)), 3)
    cache = {key.removeprefix("cache."): value for key, value in begun.items() if key.startswith("cache.")}
    values = {
        "room": 3,
        "at": 1,
        "cache": cache,
        "mask": torch.ones(2, 6).bool(),
        "order": torch.tensor([1, 0]),
    }
    values["positions"] = torch.arange(6).expand(2, -1)
    check_node(T5_LM, config={**SMALL, **CHANGES[name]}, values=values)


FULL = {
    "flan-t5-xl": (
        {
            **{"d_model": 2048, "d_kv": 64, "d_ff": 5120, "num_layers": 24, "num_decoder_layers": 24},
            **{"num_heads": 32, "vocab_size": 32128, "feed_forward_proj": "gated-gelu", "dropout_rate": 0.1},
            **{"relative_attention_num_buckets": 32, "relative_attention_max_distance": 128, "n_positions": 512},
            **{"layer_norm_epsilon": 1e-6, "initializer_factor": 1.0, "is_encoder_decoder": True, "use_cache": True},
            **{"tie_word_embeddings": False, "decoder_start_token_id": 0, "eos_token_id": 1, "pad_token_id": 0},
            **{"model_type": "t5", "output_past": True, "architectures": ["T5ForConditionalGeneration"]},
        },
        2_849_757_184,
    ),
    "t5-small": (
        {
            **{"d_model": 512, "d_kv": 64, "d_ff": 2048, "num_layers": 6, "num_heads": 8, "vocab_size": 32128},
            **{"relative_attention_num_buckets": 32, "layer_norm_epsilon": 1e-6, "dropout_rate": 0.1},
            **{"initializer_factor": 1.0, "n_positions": 512, "output_past": True, "is_encoder_decoder": True},
            **{"decoder_start_token_id": 0, "eos_token_id": 1, "pad_token_id": 0, "model_type": "t5"},
            **{"task_specific_params": {}, "architectures": ["T5ForConditionalGeneration"]},
        },
        60_506_624,
    ),
}  # fmt: skip


@pytest.mark.parity
@pytest.mark.parametrize("name", list(FULL))
def test_full_sizes(name):
    said, count = FULL[name]
    config = T5LMConfig.model_validate(read_lm(said))
    with torch.device("meta"):
        ours, theirs = T5LM(config), transformers.T5ForConditionalGeneration(transformers.T5Config(**said))
        if not config.tied:  # transformers 5 ties them until it reads a file in which they differ
            theirs.lm_head.weight = torch.nn.Parameter(torch.empty(32128, config.width))
    shapes = {key.removeprefix("parts."): tuple(value.shape) for key, value in ours.state_dict().items()}
    found = {n: shapes[key] for key, place in LAYOUTS[0].theirs(shapes, config).items() for n in place.names}
    want = {key: tuple(value.shape) for key, value in theirs.state_dict().items()}
    copies = {f"{stack}.embed_tokens.weight" for stack in ("encoder", "decoder")}
    copies |= {"lm_head.weight"} if config.tied else set()
    assert found == {key: shape for key, shape in want.items() if key not in copies}
    assert sum(p.numel() for p in ours.parameters()) == sum(p.numel() for p in theirs.parameters()) == count
    if name == "flan-t5-xl":
        assert config == T5LMConfig(decoder_depth=24)
