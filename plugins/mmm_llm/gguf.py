"""What the head of a GGUF file says of a decoder -> our config, by way of what transformers' config would say."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any

from mmm_graph.registry import Layout
from mmm_llm import foreign as f
from mmm_llm.gguf_keys import rows_of

Read = Callable[[Mapping[str, Any]], dict[str, Any]]

READERS: Mapping[str, Read] = {"llama": f.read_llama, "qwen2": f.read_qwen2, "qwen3": f.read_qwen3}
"""By architecture; Mistral and SmolLM2 are llama."""
SIZES = {
    "context_length": "max_position_embeddings",
    "block_count": "num_hidden_layers",
    "embedding_length": "hidden_size",
    "feed_forward_length": "intermediate_size",
    "attention.head_count": "num_attention_heads",
    "attention.head_count_kv": "num_key_value_heads",
    "attention.layer_norm_rms_epsilon": "rms_norm_eps",
    "attention.key_length": "head_dim",
    "rope.freq_base": "rope_theta",
    "vocab_size": "vocab_size",
}
"""Theirs, below the architecture -> transformers'."""
NEEDED = tuple(SIZES)[:5]
SCALING = {
    "type": "rope_type",
    "factor": "factor",
    "original_context_length": "original_max_position_embeddings",
    "yarn_beta_fast": "beta_fast",
    "yarn_beta_slow": "beta_slow",
}
"""Theirs, below rope.scaling."""
SHARPENED = "rope.scaling.attn_factor"
"""What llama.cpp multiplies cosines and sines by, beside what YaRN does to them."""
CHECKED = (SHARPENED, "rope.dimension_count", "attention.value_length", "expert_count")
"""Read to see that they say what we compute."""
MEANINGLESS = ("rope.scaling.finetuned", "tensor_data_layout")
OTHERS = ("general.", "tokenizer.", "quantize.", "split.", "imatrix.")
"""How fields begin that are not about the network."""


def read_gguf(said: Mapping[str, Any], *, architecture: str) -> dict[str, Any]:
    """Our config.

    Args:
        said: fields of the head, and under `tensors` the names of all tensors (which tell what is tied and has biases).

    Raises:
        ValueError: a field that we do not know, or with a value that we do not support.
    """
    own = {k.removeprefix(f"{architecture}."): v for k, v in said.items() if k.startswith(f"{architecture}.")}
    tensors: Collection[str] = said["tensors"]
    known = {*SIZES, *CHECKED, *MEANINGLESS, *(f"rope.scaling.{name}" for name in SCALING)}
    unknown = sorted(own.keys() - known) + [
        k for k in said if not k.startswith((*OTHERS, f"{architecture}.", "tensors"))
    ]
    missing = [name for name in NEEDED if name not in own]
    if unknown or missing:
        what = (
            f"has no {', '.join(missing)}"
            if missing
            else f"says {', '.join(unknown)}, which is not supported"
        )
        raise ValueError(f"the head of this {architecture} file {what}")
    if "rope_freqs.weight" in tensors:
        raise ValueError("rope_freqs.weight (rotary frequencies of Llama 3.1) is not read from GGUF files")
    theirs = {name: own[key] for key, name in SIZES.items() if key in own}
    theirs.setdefault("vocab_size", len(said.get("tokenizer.ggml.tokens", ())))
    theirs |= {"tie_word_embeddings": "output.weight" not in tensors, "rope_scaling": _scaling(own)}
    ours = READERS[architecture](theirs)
    _check(own, ours)
    biases = {"qkv_bias": "attn_q", "out_bias": "attn_output", "mlp_bias": "ffn_up"}
    return {**ours, **{field: f"blk.0.{name}.bias" in tensors for field, name in biases.items()}}


def _scaling(own: Mapping[str, Any]) -> dict[str, Any] | None:
    said = {name: own[f"rope.scaling.{key}"] for key, name in SCALING.items() if f"rope.scaling.{key}" in own}
    kind, sharper = said.get("rope_type", "none"), own.get(SHARPENED, 1.0)
    if sharper != 1:
        if kind != "yarn" or said.get("factor", 0) < 1:
            raise ValueError(f"{SHARPENED}: {sharper!r} is not supported with a scaling of type {kind}")
        said["attention_factor"] = sharper * (1 + 0.1 * math.log(said["factor"]))
    return said if kind != "none" else None


def _check(own: Mapping[str, Any], ours: Mapping[str, Any]) -> None:
    head = ours.get("head_dim") or ours["width"] // ours["num_heads"]
    expected = {"rope.dimension_count": head, "attention.value_length": head, "expert_count": 0}
    for name, value in expected.items():
        if own.get(name, value) != value:
            raise ValueError(f"{name}: {own[name]!r} is not supported; expected {value!r}")


LAYOUTS = tuple(
    Layout(
        f"GGUF, {architecture}",
        rows_of(architecture),
        (f"gguf.{architecture}",),
        partial(read_gguf, architecture=architecture),
    )
    for architecture in READERS
)
