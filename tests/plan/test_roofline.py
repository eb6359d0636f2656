"""Work and least times of parts by hand, and of the language models against what PyTorch counts."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from mmm_graph.config import Empty
from mmm_graph.errors import InputError
from mmm_graph.graph.graph import ModelNode
from mmm_graph.nn.parts import run_parts
from mmm_graph.plan.devices import Device
from mmm_graph.plan.roofline import Lengths, Share, Spent, Work, path_works, rate_of, spend, weights_read
from mmm_graph.registry import Part, TextWork
from mmm_llm.config import DecoderConfig
from mmm_llm.model import Decoder
from mmm_llm.parts import decoder_parts, prefill_path, step_path
from mmm_t5.config import T5LMConfig
from mmm_t5.lm_model import T5LM
from mmm_t5.lm_parts import lm_parts
from mmm_t5.lm_parts import prefill_path as t5_prefill_path
from mmm_t5.lm_parts import step_path as t5_step_path

MODEL = ModelNode("m", "llm.toy", Empty(), dtype="bf16")
TEXT = TextWork(8)  # tokens that all parts are counted for
EMBED = Part("embed", ("ids",), ("embeds",), 1000, sizes={"embeds": 80}, table=1000, text=TEXT)
BLOCK = Part("block0", ("embeds",), ("h", "cache"), 200, 8 * 400 + 256, sizes={"h": 80, "cache": 160}, kept=160,
             linear=200, text=replace(TEXT, pairs=256, seen=8))  # fmt: skip
LAST = Part("last", ("h",), (), text=replace(TEXT, last=True))
HEAD = Part("head", ("h",), ("logits",), 500, 8000, sizes={"logits": 400}, linear=500, logits=500, text=TEXT)
PATH = (EMBED, BLOCK, LAST, HEAD)


def works(parts: tuple[Part, ...], text: Lengths | None, **share: float) -> dict[str, Work]:
    return {part.name: work for part, work in path_works(parts, MODEL, text, Share(**share))}


def test_a_prompt() -> None:
    """Twice as many tokens as counted: twice the products, four times the pairs; of the last one only the logits."""
    found = works(PATH, Lengths(16, starts=True))
    assert found["embed"] == Work(0, 160 * 2)
    assert found["block0"] == Work(3200 * 2 + 256 * 4, (200 + 160 + 160 + 320) * 2)
    assert found["head"] == Work(1000, (500 + 160 + 50) * 2)
    assert works(PATH, Lengths(16))["head"].flops == 16000


def test_a_token_more_reads_all_weights_and_the_cache() -> None:
    found = works(PATH, Lengths(32, step=True), batch=3)
    assert found["block0"] == Work(3 * (400 + 256 / 8 * 4), (200 + 3 * (160 * 4 + 10 + 10 + 20)) * 2)
    assert found["embed"].bytes == 3 * 10 * 2
    near = replace(BLOCK, text=replace(BLOCK.text, window=16))
    assert works((near,), Lengths(32, step=True))["block0"] == Work(400 + 64, (200 + 320 + 10 + 20) * 2)


def test_what_was_done_once_is_not_done_again() -> None:
    once = replace(TEXT, pairs=256, seen=24, once_flops=1600, once_params=50)
    part = replace(BLOCK, flops=BLOCK.flops + 1600, kept=480, text=once)
    (step,) = works((part,), Lengths(24, step=True)).values()
    assert step == Work(400 + 32, (150 + 480 + 10 + 20) * 2)
    (begun,) = works((part,), Lengths(32, starts=True)).values()
    assert begun.flops == 3200 * 4 + 256 * 4 * 32 / 24 + 1600 * 32 / 16


def test_a_share_of_images() -> None:
    part = Part("conv", ("x",), ("h",), 100, 1e6, sizes={"h": 640})
    after = Part("out", ("h",), ("y",), 0, 0.0, sizes={"y": 320})
    found = works((part, after), None, batch=2, rows=0.5, scale=4)
    assert found["conv"] == Work(4e6, (100 + 640 * 4) * 2) and found["out"].bytes == (640 + 320) * 4 * 2
    halves = works((part,), None, tensor=2)["conv"]
    assert halves == Work(5e5, (50 + 640) * 2)


def test_the_longer_of_products_and_traffic_counts() -> None:
    assert spend(Work(2e9, 1e6), 1e9, 1e9) == Spent(2.0, 2.0)
    both = spend(Work(1e9, 5e9), 1e9, 1e9) + Spent(2.0, 2.0)
    assert both == Spent(7.0, 2.0) and both.bound == "memory" and Spent(2.0, 2.0).bound == "compute"


def test_quantized_weights_are_less_to_read() -> None:
    kept = [weights_read(HEAD, replace(MODEL, quantize=q)) for q in (None, "int8", "int4")]
    assert kept == [1000, 500, 500]  # logits are int8 at least
    assert [weights_read(BLOCK, replace(MODEL, quantize=q)) for q in (None, "int8", "int4")] == [
        400,
        200,
        125,
    ]


def test_rates() -> None:
    device = Device(flops={"f32": 2e12, "tf32": 8e12}, bandwidth=1e9, efficiency=0.5)
    plain = replace(MODEL, dtype=None)
    assert rate_of(device, "d", plain, tf32=False) == 1e12 and rate_of(device, "d", plain, tf32=True) == 4e12
    with pytest.raises(
        InputError, match=r"E528.*d has no flops of bf16, in which m computes; it has f32, tf32"
    ):
        rate_of(device, "d", MODEL, tf32=False)


LLM = DecoderConfig(vocab_size=50, width=16, depth=2, num_heads=4, num_kv_heads=2, hidden=24, max_length=40)
T5 = T5LMConfig(vocab_size=50, width=16, depth=2, num_heads=4, head_dim=6, hidden=24, decoder_depth=1)
SHORT = 24


@pytest.mark.parametrize("name", ["llm", "t5"])
@torch.no_grad()
def test_flops_at_another_length_are_those_that_are_counted(name: str) -> None:
    """Of a prompt and of a token more; on the meta device, where attention is counted."""
    config, table, begin, go_on = (
        (LLM, decoder_parts(LLM), prefill_path, step_path)
        if name == "llm"
        else (T5, lm_parts(T5), t5_prefill_path, t5_step_path)
    )
    with torch.device("meta"):
        model = (Decoder(LLM) if name == "llm" else T5LM(T5)).eval()
        embeds, ids = torch.zeros(1, SHORT, 16), torch.zeros(1, 1, dtype=torch.int64)
    with FlopCounterMode(display=False) as prompt:
        begun = run_parts(model.parts, begin(config, None), {"embeds": embeds, "room": 8})
    parts = {part.name: part for part in table}

    def predicted(path: tuple[str, ...], text: Lengths) -> float:
        return sum(work.flops for _, work in path_works([parts[n] for n in path], MODEL, text))

    assert predicted(begin(config, None), Lengths(SHORT, starts=True)) == pytest.approx(
        prompt.get_total_flops(), rel=0.03
    )
    cache = {key: value for key, value in begun.items() if key.startswith("cache")}
    with FlopCounterMode(display=False) as more:
        run_parts(model.parts, go_on(config, None), {"ids": ids, "at": begun["at"], **cache})
    assert predicted(go_on(config, None), Lengths(SHORT, step=True)) == pytest.approx(
        more.get_total_flops(), rel=0.03
    )
