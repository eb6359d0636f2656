"""Small whole T5s, as transformers writes them and as they are read here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor

from mmm_graph.checkpoint.load import load_module
from mmm_graph.checkpoint.reader import open_checkpoint
from mmm_graph.nn.parts import run_parts
from mmm_t5.config import T5LMConfig
from mmm_t5.lm_foreign import LAYOUTS, read_lm
from mmm_t5.lm_model import T5LM
from mmm_t5.lm_parts import prefill_path, step_path

VOCAB = 61
SIZES = {
    **{"vocab_size": VOCAB, "d_model": 24, "d_kv": 8, "d_ff": 40, "num_layers": 2, "num_heads": 3},
    "decoder_start_token_id": 0,
}
CASES: dict[str, dict[str, Any]] = {
    "t5": {**SIZES, "feed_forward_proj": "relu"},
    "flan": {
        **SIZES,
        **{"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False},
        **{"num_layers": 3, "num_decoder_layers": 2},
    },
    "near": {
        **SIZES,
        **{"feed_forward_proj": "gated-relu", "num_layers": 1, "layer_norm_epsilon": 1e-3, "num_heads": 4},
        **{"relative_attention_num_buckets": 8, "relative_attention_max_distance": 10, "d_kv": 5},
        **{"tie_word_embeddings": False, "decoder_start_token_id": 7},
    },
}


def reference(case: str) -> Any:
    """A model of theirs whose answers are not the same for ever; untied logits are its own."""
    torch.manual_seed(0)
    settings = CASES[case]
    theirs = transformers.T5ForConditionalGeneration(transformers.T5Config(**settings)).eval()
    if settings.get("tie_word_embeddings") is False:
        theirs.lm_head.weight = torch.nn.Parameter(torch.randn(VOCAB, 24) * 0.5)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in theirs.parameters():
            weight.add_(torch.randn(weight.shape, generator=generator) * 0.2)
        theirs.shared.weight.mul_(0.1)  # or tied logits would be largest for the token that was read
    return theirs


def read(folder: Path, config: dict[str, Any], prefix: str = "") -> T5LM:
    """What stands in a folder of theirs, by its config."""
    ours = T5LMConfig.model_validate(read_lm(config))
    with torch.device("meta"):
        model = T5LM(ours)
    load_module(model, open_checkpoint(folder), prefix=prefix, layouts=LAYOUTS, config=ours)
    return model.eval()


def pair(folder: Path, case: str) -> tuple[T5LM, Any]:
    """(ours, theirs), by a folder that theirs wrote."""
    theirs = reference(case)
    theirs.save_pretrained(folder)
    return read(folder, theirs.config.to_dict()), theirs


def embed(model: T5LM, ids: Tensor) -> Tensor:
    return model.parts["embed"]({"ids": ids})["embeds"]


def logits(model: T5LM, ids: Tensor, targets: Tensor, **more: Any) -> Tensor:
    return model({"embeds": embed(model, ids), "targets": targets, **more})["logits"]


def prefill(model: T5LM, ids: Tensor, room: int, **more: Any) -> dict[str, Any]:
    """The state after a prompt: logits, hidden, at, cache.*."""
    state = {"embeds": embed(model, ids), "room": room, **more}
    return run_parts(model.parts, prefill_path(model.config, None), state)


def step(model: T5LM, state: dict[str, Any], ids: Tensor, **more: Any) -> dict[str, Any]:
    """One token more: the state that the next one starts from."""
    cache = {key: value for key, value in state.items() if key.startswith("cache.")}
    return run_parts(
        model.parts, step_path(model.config, None), {"ids": ids, "at": state["at"], **cache, **more}
    )


def greedy(model: T5LM, ids: Tensor, count: int, **more: Any) -> tuple[Tensor, Tensor]:
    """(ids [b,count], logits [b,count,v]) of the likeliest tokens."""
    state, found, scores = prefill(model, ids, count, **more), [], []
    for _ in range(count):
        scores.append(state["logits"])
        found.append(state["logits"].argmax(-1, keepdim=True))
        state = step(model, state, found[-1])
    return torch.cat(found, 1), torch.stack(scores, 1)
