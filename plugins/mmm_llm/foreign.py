"""transformers' config.json of decoders <-> ours, one family after the other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmm_graph.registry import GENERIC, Fields
from mmm_llm.config import DecoderConfig
from mmm_llm.rope import SAID, read_rope, write_rope

LLAMA, MISTRAL, QWEN2, QWEN3 = (
    "LlamaForCausalLM",
    "MistralForCausalLM",
    "Qwen2ForCausalLM",
    "Qwen3ForCausalLM",
)
OPT, GPT2 = "OPTForCausalLM", "GPT2LMHeadModel"

ACTIVATIONS = {
    **{"silu": "silu", "swish": "silu", "gelu": "gelu", "relu": "relu", "quick_gelu": "quick_gelu"},
    **{"gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh", "gelu_fast": "gelu_tanh"},
}
"""Their names of an activation -> ours."""

UNREAD = GENERIC | {
    *(
        "eos_token_id",
        "pretraining_tp",
        "output_router_logits",
        "activation_dropout",
        "layerdrop",
        "init_std",
    ),
    *("embd_pdrop", "attn_pdrop", "resid_pdrop", "n_ctx", "summary_type", "summary_use_proj"),
    *("summary_activation", "summary_proj_to_labels", "summary_first_dropout", "reorder_and_upcast_attn"),
    *("is_llama_config", "transformers.js_config", "unk_token_id"),
}
"""For training, for generating, for other kinds of models: the same logits whatever they say."""

SIZES = {
    "vocab_size": ("vocab_size", 32000),
    "max_length": ("max_position_embeddings", 2048),
    "width": ("hidden_size", 4096),
    "depth": ("num_hidden_layers", 32),
    "num_heads": ("num_attention_heads", 32),
    "num_kv_heads": ("num_key_value_heads", None),
    "head_dim": ("head_dim", None),
    "hidden": ("intermediate_size", 11008),
    "eps": ("rms_norm_eps", 1e-6),
    "tied": ("tie_word_embeddings", False),
}
"""Our field -> theirs, and what it is when it is missing; of Llama."""
ONLY = {"rope_interleaved": False, "use_mrope": False}
"""Fields that some configs have, though transformers does not read them, and the only value that we compute."""
WINDOW = {"use_sliding_window": False, "sliding_window": 4096, "max_window_layers": 28, "layer_types": None}

FIELDS = {
    LLAMA: Fields(
        {**SIZES, "qkv_bias": ("attention_bias", False), "mlp_bias": ("mlp_bias", False)},
        {"hidden_act": "silu", **ONLY, **SAID},
        {"model_type": "llama"},
        UNREAD,
    ),
    MISTRAL: Fields(
        {
            **SIZES,
            "hidden": ("intermediate_size", 14336),
            "num_kv_heads": ("num_key_value_heads", 8),
            "max_length": ("max_position_embeddings", 131072),
            "window": ("sliding_window", 4096),
        },
        {"hidden_act": "silu", **ONLY, **SAID},
        {"model_type": "mistral"},
        UNREAD,
    ),
    QWEN2: Fields(
        {
            **SIZES,
            "vocab_size": ("vocab_size", 151936),
            "hidden": ("intermediate_size", 22016),
            "num_kv_heads": ("num_key_value_heads", 32),
            "max_length": ("max_position_embeddings", 32768),
        },
        {"hidden_act": "silu", **ONLY, **SAID, **WINDOW},
        {"model_type": "qwen2"},
        UNREAD,
    ),
    QWEN3: Fields(
        {
            **SIZES,
            "vocab_size": ("vocab_size", 151936),
            "hidden": ("intermediate_size", 22016),
            "num_kv_heads": ("num_key_value_heads", 32),
            "max_length": ("max_position_embeddings", 32768),
            "head_dim": ("head_dim", 128),
            "qkv_bias": ("attention_bias", False),
        },
        {"hidden_act": "silu", **ONLY, **SAID, **WINDOW},
        {"model_type": "qwen3"},
        UNREAD,
    ),
    OPT: Fields(
        {
            "vocab_size": ("vocab_size", 50272),
            "max_length": ("max_position_embeddings", 2048),
            "width": ("hidden_size", 768),
            "depth": ("num_hidden_layers", 12),
            "num_heads": ("num_attention_heads", 12),
            "hidden": ("ffn_dim", 3072),
            "embed_dim": ("word_embed_proj_dim", None),
            "pre_norm": ("do_layer_norm_before", True),
            "qkv_bias": ("enable_bias", True),
            "tied": ("tie_word_embeddings", True),
        },
        {"activation_function": "relu", "_remove_final_layer_norm": False},
        {"model_type": "opt", "layer_norm_elementwise_affine": True},
        UNREAD,
    ),
    GPT2: Fields(
        {
            "vocab_size": ("vocab_size", 50257),
            "max_length": ("n_positions", 1024),
            "width": ("n_embd", 768),
            "depth": ("n_layer", 12),
            "num_heads": ("n_head", 12),
            "hidden": ("n_inner", None),
            "eps": ("layer_norm_epsilon", 1e-5),
            "tied": ("tie_word_embeddings", True),
        },
        {"activation_function": "gelu_new"},
        {
            **{"model_type": "gpt2", "scale_attn_weights": True, "scale_attn_by_inverse_layer_idx": False},
            "add_cross_attention": False,
        },
        UNREAD,
    ),
}
"""By class: what it says."""

LEARNED = {"rope": None, "norm": "layer", "mlp": "plain"}
"""What the older families have in common."""
ALL_BIAS = ("qkv_bias", "out_bias", "mlp_bias")


def read_llama(theirs: Mapping[str, Any]) -> dict[str, Any]:
    """Our config of a LlamaForCausalLM.

    Raises:
        ValueError: here and in the other functions, a field that we do not know, or a value that we do not support.
    """
    ours, _ = _read(LLAMA, theirs)
    return {**ours, "out_bias": ours["qkv_bias"]}


def read_mistral(theirs: Mapping[str, Any]) -> dict[str, Any]:
    """Our config of a MistralForCausalLM."""
    return _read(MISTRAL, theirs)[0]


def read_qwen2(theirs: Mapping[str, Any]) -> dict[str, Any]:
    """Our config of a Qwen2ForCausalLM."""
    ours, others = _read(QWEN2, theirs)
    return {**ours, "qkv_bias": True, **_read_window(others, ours["depth"])}


def read_qwen3(theirs: Mapping[str, Any]) -> dict[str, Any]:
    """Our config of a Qwen3ForCausalLM."""
    ours, others = _read(QWEN3, theirs)
    return {**ours, "out_bias": ours["qkv_bias"], "qk_norm": True, **_read_window(others, ours["depth"])}


def read_opt(theirs: Mapping[str, Any]) -> dict[str, Any]:
    """Our config of an OPTForCausalLM."""
    ours, others = _read(OPT, theirs)
    biases = dict.fromkeys(ALL_BIAS, ours["qkv_bias"])
    final = bool(ours["pre_norm"] and not others["_remove_final_layer_norm"])
    return {**ours, **LEARNED, **biases, "final_norm": final, "position_offset": 2}


def read_gpt2(theirs: Mapping[str, Any]) -> dict[str, Any]:
    """Our config of a GPT2LMHeadModel."""
    ours, _ = _read(GPT2, theirs)
    return {"hidden": 4 * ours["width"], **ours, **LEARNED, **dict.fromkeys(ALL_BIAS, True)}


def write_llama(ours: DecoderConfig) -> dict[str, Any]:
    """Their config.json of a LlamaForCausalLM.

    Raises:
        ValueError: here and in the other functions, theirs cannot say it.
    """
    return _write(LLAMA, ours, read_llama, {})


def write_mistral(ours: DecoderConfig) -> dict[str, Any]:
    """Their config.json of a MistralForCausalLM."""
    return _write(MISTRAL, ours, read_mistral, {})


def write_qwen2(ours: DecoderConfig) -> dict[str, Any]:
    """Their config.json of a Qwen2ForCausalLM."""
    return _write(QWEN2, ours, read_qwen2, _write_window(ours))


def write_qwen3(ours: DecoderConfig) -> dict[str, Any]:
    """Their config.json of a Qwen3ForCausalLM."""
    return _write(QWEN3, ours, read_qwen3, _write_window(ours))


def write_opt(ours: DecoderConfig) -> dict[str, Any]:
    """Their config.json of an OPTForCausalLM."""
    return _write(OPT, ours, read_opt, {"_remove_final_layer_norm": ours.pre_norm and not ours.final_norm})


def write_gpt2(ours: DecoderConfig) -> dict[str, Any]:
    """Their config.json of a GPT2LMHeadModel."""
    return _write(GPT2, ours, read_gpt2, {})


def _read(name: str, theirs: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    ours, others = FIELDS[name].read(theirs)
    ours = {key: value for key, value in ours.items() if value is not None or key == "window"}
    act = others.get("hidden_act", others.get("activation_function"))
    if act not in ACTIVATIONS:
        field = "hidden_act" if "hidden_act" in others else "activation_function"
        raise ValueError(f"{field}: {act!r} is not supported; expected one of {', '.join(ACTIVATIONS)}")
    ours["activation"] = ACTIVATIONS[act]
    for field, only in ONLY.items():
        if others.get(field, only) != only:
            raise ValueError(f"{field}: {others[field]!r} is not supported; expected {only!r}")
    if "rope_theta" in others:
        ours["rope"] = read_rope(others, ours["max_length"])
    return ours, others


def _write(name: str, ours: DecoderConfig, read: Any, more: Mapping[str, Any]) -> dict[str, Any]:
    """What the class says, provided that reading it gives the same config; what is written has rows of new tokens."""
    ours = ours.model_copy(update={"new_tokens": 0})
    acts = {activation: act for act, activation in reversed(ACTIVATIONS.items())}
    fields = FIELDS[name]
    act = "hidden_act" if "hidden_act" in fields.others else "activation_function"
    theirs = {"architectures": [name], **fields.write(ours), act: acts[ours.activation], **more}
    if "rope_theta" in fields.others and ours.rope is not None:
        theirs |= write_rope(ours.rope)
    again = DecoderConfig.model_validate(read(theirs))
    differ = [key for key, value in ours if getattr(again, key) != value]
    if differ:
        said = ", ".join(f"{key}: {getattr(ours, key)}" for key in differ)
        raise ValueError(f"{said} cannot be written: a {name} has none or another")
    return theirs


def _read_window(others: Mapping[str, Any], depth: int) -> dict[str, Any]:
    """Of Qwen: the blocks from `max_window_layers` on have a window."""
    first = others["max_window_layers"] if others["use_sliding_window"] else depth
    types = others["layer_types"]
    if types is not None:
        full = [kind for kind in types if kind == "full_attention"]
        first = len(full)
        if types != (*full, *["sliding_attention"] * (depth - first)):
            message = "known are full_attention of the first layers, and sliding_attention of the others"
            raise ValueError(f"layer_types: {list(types)!r} is not supported; {message}")
    if first >= depth or others["sliding_window"] is None:
        return {}
    if not others["use_sliding_window"]:
        raise ValueError("layer_types names sliding_attention, but use_sliding_window is false")
    return {"window": others["sliding_window"], "window_from": first}


def _write_window(ours: DecoderConfig) -> dict[str, Any]:
    first = ours.window_from if ours.window is not None else ours.depth
    return {
        "use_sliding_window": ours.window is not None,
        "sliding_window": ours.window,
        "max_window_layers": first,
    }
