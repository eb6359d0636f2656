"""The parts table of the decoder against the module."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from mmm_graph.testing import check_node
from mmm_llm.config import DecoderConfig
from mmm_llm.model import Decoder
from mmm_llm.node import DECODER
from mmm_llm.parts import (
    decoder_parts,
    decoder_sharding,
    embed_path,
    logits_at_path,
    logits_path,
    prefill_path,
    step_path,
)
from tests.plugins.conftest import Reads
from tests.plugins.mmm_llm.tiny import prefill

SMALL = {
    **{"vocab_size": 50, "width": 16, "depth": 2, "num_heads": 4, "num_kv_heads": 2, "hidden": 24},
    "max_length": 40,
}
CHANGES = {
    "llama": {},
    "learned": {"rope": None, "norm": "layer", "mlp": "plain", "position_offset": 2, "embed_dim": 8, "pre_norm": False,
                "final_norm": False},
    "biased": {"qkv_bias": True, "out_bias": True, "mlp_bias": True, "qk_norm": True, "head_dim": 6, "tied": True,
               "window": 3, "window_from": 1},
    "tokens of its own": {"extra_tokens": 3},
}  # fmt: skip


def checked(model, table, state, path):
    """The state after a path, each part seen to read and write what the table says."""
    for name in path:
        part, seen = table[name], Reads({k: v for k, v in state.items() if k in table[name].reads})
        with FlopCounterMode(display=False) as counter:
            written = model.parts[name](seen)
        assert seen.asked == set(part.reads) and set(written) == set(part.writes), name
        made = {k: v for k, v in written.items() if v is not None}
        if state.get("room") is not None and "last" not in state:  # a prompt is what the table counts
            assert counter.get_total_flops() == pytest.approx(part.flops, rel=0.03), name
            for key, size in part.sizes.items():
                found = sum(x.numel() for x in made[key]) if key == "rope" else made[key].numel()
                assert found == size, (name, key)
        state = {**state, **written}
        if name == "last":
            state["last"] = True
    return state


@pytest.mark.parametrize("name", list(CHANGES))
@torch.no_grad()
def test_table_is_true_of_the_module(name):
    config = DecoderConfig(**{**SMALL, **CHANGES[name]})
    model, table = Decoder(config).eval(), {part.name: part for part in decoder_parts(config)}
    assert list(table) == list(model.parts)
    assert [p.params for p in table.values()] == [
        sum(w.numel() for w in part.parameters()) for part in model.parts.values()
    ]
    ids = torch.randint(0, 50, (1, 40))
    checked(model, table, {"ids": ids, "room": 0}, embed_path(config, None))
    with torch.device("meta"):  # where attention is counted
        there, embeds = Decoder(config), torch.zeros(1, 40, 16)
        whole = checked(there, table, {"embeds": embeds}, logits_path(config, None))
        begun = checked(there, table, {"embeds": embeds, "room": 0}, prefill_path(config, None))
    assert whole["logits"].shape == (1, 40, 50) and whole["cache.block0"] is None is whole["at"]
    some = checked(
        *(there, table, {"embeds": embeds, "places": torch.zeros(1, 3, device="meta").long()}),
        logits_at_path(config, None),
    )
    assert some["logits"].shape == (1, 3, 50) and some["hidden"].shape == (1, 3, 16)
    assert begun["logits"].shape == (1, 50) and begun["hidden"].shape == (1, 1, 16) and begun["at"] == 40
    short = prefill(model, config, ids[:, :5], 3)
    cache = {k: v for k, v in short.items() if k.startswith("cache")}
    after = checked(model, table, {"ids": ids[:, :1], "at": 5, **cache}, step_path(config, None))
    assert after["logits"].shape == (1, 50) and after["at"] == 6


def test_paths_go_through_the_parts_in_order():
    config = DecoderConfig(**SMALL)
    names = [part.name for part in decoder_parts(config)]
    for path in (embed_path, logits_path, logits_at_path, prefill_path, step_path):
        found = [names.index(name) for name in path(config, None)]
        assert found == sorted(found)


def test_a_text_has_heads_of_keys_to_share_but_no_rows():
    said = decoder_sharding(DecoderConfig(**SMALL))
    assert said.heads == 2 and said.units == {} and "ring" in said.refused


@pytest.mark.parametrize("name", list(CHANGES))
def test_the_node_keeps_its_promises_on_two_ranks_too(name):
    config = DecoderConfig(**{**SMALL, **CHANGES[name]})
    torch.manual_seed(0)
    begun = prefill(Decoder(config).eval(), config, torch.randint(0, 50, (2, 5)), 3)
    cache = {key.removeprefix("cache."): value for key, value in begun.items() if key.startswith("cache.")}
    values = {
        "room": 3,
        "at": 5,
        "cache": cache,
        "mask": torch.ones(2, 6).bool(),
        "order": torch.tensor([1, 0]),
    }
    values["places"] = torch.tensor([[1, 0], [5, 2]])
    values["positions"] = torch.arange(6).expand(2, -1)
    check_node(DECODER, config={**SMALL, **CHANGES[name]}, values=values)
