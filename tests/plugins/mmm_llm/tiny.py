"""Small decoders of every family, as transformers writes them and as they are read here."""

from pathlib import Path

import torch
import transformers

from mmm_graph.checkpoint.load import load_module
from mmm_graph.checkpoint.reader import open_checkpoint
from mmm_graph.nn.parts import run_parts
from mmm_llm.config import DecoderConfig
from mmm_llm.layouts import LAYOUTS
from mmm_llm.model import Decoder
from mmm_llm.parts import prefill_path, step_path

VOCAB = 61
SIZES = {
    **{"vocab_size": VOCAB, "hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 2},
    **{"num_attention_heads": 4, "max_position_embeddings": 96, "bos_token_id": None, "eos_token_id": None},
    "pad_token_id": 0,
}
OPT = {
    **{
        "vocab_size": VOCAB,
        "hidden_size": 24,
        "ffn_dim": 40,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
    },
    **{"max_position_embeddings": 96, "word_embed_proj_dim": None, "pad_token_id": 0, "eos_token_id": None},
    "bos_token_id": None,
}
GPT2 = {
    **{"vocab_size": VOCAB, "n_embd": 24, "n_layer": 2, "n_head": 4, "n_positions": 96, "eos_token_id": None},
    **{"bos_token_id": None, "pad_token_id": 0},
}

CASES = {
    "llama": ("LlamaForCausalLM", {**SIZES}),
    "llama-grouped": ("LlamaForCausalLM", {**SIZES, "num_key_value_heads": 2, "tie_word_embeddings": True}),
    "llama-biased": (
        "LlamaForCausalLM",
        {**SIZES, "num_key_value_heads": 1, "attention_bias": True, "mlp_bias": True, "head_dim": 10,
         "hidden_act": "gelu", "rms_norm_eps": 1e-3},
    ),
    "mistral": ("MistralForCausalLM", {**SIZES, "num_key_value_heads": 2, "sliding_window": None}),
    "mistral-window": ("MistralForCausalLM", {**SIZES, "num_key_value_heads": 2, "sliding_window": 7}),
    "mistral-wide": (
        "MistralForCausalLM",
        {**SIZES, "num_key_value_heads": 4, "sliding_window": 3, "head_dim": 8, "num_hidden_layers": 3},
    ),
    "qwen2": ("Qwen2ForCausalLM", {**SIZES, "num_key_value_heads": 2}),
    "qwen2-tied": ("Qwen2ForCausalLM", {**SIZES, "num_key_value_heads": 1, "tie_word_embeddings": True}),
    "qwen2-window": (
        "Qwen2ForCausalLM",
        {**SIZES, "num_key_value_heads": 2, "num_hidden_layers": 3, "use_sliding_window": True,
         "sliding_window": 5, "max_window_layers": 1},
    ),
    "qwen3": ("Qwen3ForCausalLM", {**SIZES, "num_key_value_heads": 2, "head_dim": 10}),
    "qwen3-tied": (
        "Qwen3ForCausalLM",
        {**SIZES, "num_key_value_heads": 4, "head_dim": 6, "tie_word_embeddings": True, "rms_norm_eps": 1e-3},
    ),
    "qwen3-biased": ("Qwen3ForCausalLM", {**SIZES, "num_key_value_heads": 1, "head_dim": 8, "attention_bias": True}),
    "opt": ("OPTForCausalLM", {**OPT}),
    "opt-after": ("OPTForCausalLM", {**OPT, "do_layer_norm_before": False, "word_embed_proj_dim": 16}),
    "opt-plain": (
        "OPTForCausalLM",
        {**OPT, "enable_bias": False, "activation_function": "gelu", "_remove_final_layer_norm": True,
         "tie_word_embeddings": False},
    ),
    "gpt2": ("GPT2LMHeadModel", {**GPT2}),
    "gpt2-narrow": ("GPT2LMHeadModel", {**GPT2, "n_inner": 30, "activation_function": "gelu", "n_head": 3}),
    "gpt2-untied": ("GPT2LMHeadModel", {**GPT2, "tie_word_embeddings": False, "layer_norm_epsilon": 1e-3}),
}  # fmt: skip


def reference(name, settings):
    """A model of theirs with weights large enough to tell tokens apart, and nothing left at zero or one."""
    kind = getattr(transformers, name)
    torch.manual_seed(0)
    theirs = kind(kind.config_class(**settings)).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in theirs.parameters():
            weight.add_(torch.randn(weight.shape, generator=generator) * 0.15)
    return theirs


def layout_of(name):
    (found,) = [layout for layout in LAYOUTS if name in layout.classes]
    return found


def read(path, name, config) -> tuple[Decoder, DecoderConfig]:
    """What stands in a folder of theirs, by its config."""
    ours = DecoderConfig.model_validate(layout_of(name).read_config(config))
    with torch.device("meta"):
        model = Decoder(ours)
    load_module(model, open_checkpoint(Path(path)), layouts=LAYOUTS, config=ours)
    return model.eval(), ours


def pair(folder, name, settings):
    """(ours, its config, theirs), by a folder that theirs wrote."""
    theirs = reference(name, settings)
    theirs.save_pretrained(folder)
    return *read(folder, name, theirs.config.to_dict()), theirs


def embed(model, ids):
    return model.parts["embed"]({"ids": ids})["embeds"]


def logits(model, ids, **more):
    return model({"embeds": embed(model, ids), **more})["logits"]


def prefill(model, config, ids, room, **more):
    """The state after a prompt: logits, hidden, at, cache.*."""
    return run_parts(
        model.parts, prefill_path(config, None), {"embeds": embed(model, ids), "room": room, **more}
    )


def step(model, config, state, ids, **more):
    """One token more: the state that the next one starts from."""
    cache = {key: value for key, value in state.items() if key.startswith("cache.")}
    return run_parts(model.parts, step_path(config, None), {"ids": ids, "at": state["at"], **cache, **more})


def greedy(model, config, ids, count, **more):
    """(ids [b,count], logits [b,count,v]) of the likeliest tokens."""
    state = prefill(model, config, ids, count, **more)
    found, scores = [], []
    for _ in range(count):
        scores.append(state["logits"])
        found.append(state["logits"].argmax(-1, keepdim=True))
        state = step(model, config, state, found[-1])
    return torch.cat(found, 1), torch.stack(scores, 1)
