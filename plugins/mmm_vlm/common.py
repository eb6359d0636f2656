"""What the graphs of all language models share: params, tokenizer, answer."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from mmm_graph.config import Config
from mmm_graph.registry import Foreign, find_image_processor

Tree = dict[str, Any]
ANSWER = 256
"""Tokens of an answer where the checkpoint says nothing."""
DECODERS = {
    "llama": "LlamaForCausalLM",
    "mistral": "MistralForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
    "opt": "OPTForCausalLM",
    "gpt2": "GPT2LMHeadModel",
}
"""model_type of theirs -> the class that llm.decoder can read."""
TIED = ("opt", "gpt2")
"""Whose logits are products with the token embedding where nothing is said."""
OUTPUTS: Tree = {"text": {"from": "answer.text", "type": "Text[b]"}}
SPLICED = {"embeds": "ctx", "mask": "ctx.mask", "positions": "ctx.positions"}
"""What an answer reads after media were put into a text."""
WIDTHS = ("in_dim", "out_dim")
"""Of an adaptor, which its neighbours in a graph say."""
SETTINGS = "tokenizer_config.json"
TEMPLATES = ("chat_template.jinja", "chat_template.json")
PLAIN = {
    "top_k": 50,
    "min_p": None,
    "repetition_penalty": 1.0,
    "no_repeat_ngram_size": 0,
    "length_penalty": 1.0,
    "num_beams": 1,
}
"""What of a generation_config.json is left out, and the values that transformers has where nothing is said."""


def params(foreign: Foreign) -> Tree:
    """How long an answer is and how it is drawn, as the checkpoint's generation_config.json says."""
    said = foreign.beside("generation_config.json")
    draws = bool(said.get("do_sample", False))
    for name, usual in PLAIN.items():
        if said.get(name) not in (None, usual):
            foreign.notes.append(
                f"{name}: {said[name]} of generation_config.json is left out: see llm.generate"
            )
    temperature = float(said.get("temperature") or 1.0) if draws else 0.0
    top_p = float(said.get("top_p") or 1.0) if draws else 1.0
    return {
        "max_new_tokens": {
            "type": "int",
            "default": said.get("max_new_tokens") or ANSWER,
            "min": 1,
            "help": "most tokens of an answer",
        },
        "temperature": {"type": "float", "default": temperature, "min": 0, "help": "0 = the likeliest token"},
        "top_p": {"type": "float", "default": top_p, "min": 0, "max": 1, "help": "1 = draw among all tokens"},
    }


def answer(links: Mapping[str, str], ends: list[int]) -> Tree:
    """The node that generates.

    Args:
        links: what it reads.
        ends: tokens that end an answer.
    """
    config = {name: f"$params.{name}" for name in ("max_new_tokens", "temperature", "top_p")}
    return {
        "op": "llm.generate",
        "use": {"llm": "llm", "tokenizer": "tok"},
        "config": {**config, **({"stop_ids": ends} if ends else {})},
        "in": dict(links),
    }


def end_ids(foreign: Foreign) -> list[int]:
    """Tokens that end an answer."""
    text = foreign.config.get("text_config") or {}
    for said in (foreign.beside("generation_config.json"), foreign.config, text):
        ids = said.get("eos_token_id")
        if ids is not None:
            return list(ids) if isinstance(ids, list) else [ids]
    return []


def tokenizer(foreign: Foreign, **config: Any) -> Tree:
    """The folder's tokenizer, which pads prompts on the left."""
    settings = {**foreign.beside("special_tokens_map.json"), **foreign.beside(SETTINGS)}
    pad = {} if settings.get("pad_token") or not settings.get("eos_token") else {"pad_token": "eos"}
    return {
        "kind": "tokenizer.hf",
        "weights": foreign.link,
        "config": {"pad_side": "left", **pad, **config},
    }


def has_template(foreign: Foreign) -> bool:
    """Whether the folder says how conversations are written."""
    files = (SETTINGS, "processor_config.json")
    said = any(foreign.beside(name).get("chat_template") for name in files)
    return said or any((foreign.folder / name).is_file() for name in TEMPLATES)


def pictures(foreign: Foreign, op: str) -> Tree:
    """The node that prepares images as the folder says it.

    Raises:
        ValueError: it says nothing of that, or of another `op`.
    """
    found = find_image_processor(foreign.folder)
    if found is None:
        raise ValueError(
            "neither preprocessor_config.json nor processor_config.json says how images are made ready; "
            "the whole folder of the model is needed"
        )
    if found["op"] != op:
        raise ValueError(f"the image processor of the folder, {found['op']}, is none of this model, {op}")
    return short(found, foreign)


def short(pixels: Tree, foreign: Foreign) -> Tree:
    """A node that prepares images, as short as it can be."""
    config = plain(pixels["config"], foreign.registry.ops[pixels["op"]].config)
    return {"op": pixels["op"], **({"config": config} if config else {})}


def decoder(foreign: Foreign, link: str, text: Mapping[str, Any]) -> Tree:
    """llm.decoder from the `text_config` of a larger model.

    Raises:
        ValueError: a family that llm.decoder does not compute.
    """
    family = text.get("model_type", "llama")
    if family not in DECODERS:
        raise ValueError(
            f"the language model is a {family!r}, which is not supported; supported: {', '.join(DECODERS)}"
        )
    tied = foreign.config.get("tie_word_embeddings") or text.get("tie_word_embeddings", family in TIED)
    head = any(name.endswith("lm_head.weight") for name in foreign.tensors())
    said = {**text, "tie_word_embeddings": bool(tied) and not head}
    return part(foreign, DECODERS[family], link, said)


def part(
    foreign: Foreign, class_name: str, link: str, config: Mapping[str, Any], solved: Collection[str] = ()
) -> Tree:
    """A model that stands in the same file as others.

    Args:
        class_name: of theirs, which some kind has a layout of.
        config: what theirs would say.
        solved: settings that follow from the links of the graph, and are left out.
    """
    said = {**config, "architectures": [class_name]}
    made = foreign.pretend(foreign.class_name, {}, {"part": (link, said)}).part("part")
    return simple(made, solved)


def simple(foreign: Foreign, solved: Collection[str] = ()) -> Tree:
    """`kind`, `weights` and `config` of a folder with one model, as short as they can be."""
    model = foreign.model()
    config = plain(model.pop("config", {}), foreign.registry.models[model["kind"]].config)
    kept = {name: value for name, value in config.items() if name not in solved}
    return {**model, "config": kept} if kept else model


def plain(config: Tree, kind: type[Config]) -> Tree:
    """Without settings that are so anyhow, or follow from the others; equal sides are one number."""
    config = {k: v[0] if k in ("size", "crop") and _is_square(v) else v for k, v in config.items()}
    whole = kind.model_validate(config)
    for name in [*config]:
        less = {key: value for key, value in config.items() if key != name}
        if _is(kind, less, whole):
            config = less
    return config


def _is_square(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and value[0] == value[1]


def _is(kind: type[Config], config: Mapping[str, Any], whole: Config) -> bool:
    try:
        return kind.model_validate(config) == whole
    except ValueError:  # what is left goes with no default of the rest
        return False


def context(llm: Tree, foreign: Foreign) -> int | None:
    """Most tokens of a conversation; None: there is no limit."""
    config: Any = foreign.registry.models[llm["kind"]].config.model_validate(llm.get("config", {}))
    return int(config.context) if hasattr(config, "context") else None


def added_tokens(foreign: Foreign) -> Mapping[str, int]:
    """Tokens that were added to the tokenizer's vocabulary, with their ids."""
    said = foreign.beside("tokenizer.json").get("added_tokens") or []
    return {each["content"]: each["id"] for each in said}


def image_token(foreign: Foreign, index: int | None) -> str:
    """What stands in a text in the place of an image."""
    for text, number in added_tokens(foreign).items():
        if number == index:
            return text
    said = foreign.beside("processor_config.json").get("image_token", "<image>")
    return str(said["content"] if isinstance(said, dict) else said)
