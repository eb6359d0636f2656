"""The files in which the weights of decoders stand: alone, and beside the vision tower of a LLaVA."""

from __future__ import annotations

from collections.abc import Callable

from mmm_graph.registry import Layout, below
from mmm_graph.registry.layout import Rows
from mmm_llm import foreign as f
from mmm_llm import keys
from mmm_llm.config import DecoderConfig

FILE = "model.safetensors"


def _rows(table: keys.Table, under: str, head: str) -> Callable[[DecoderConfig], Rows]:
    """The table below `under`, and where the matrix of the logits stands; a tied one is the token embedding."""
    rows = below("", under, table)

    def rows_of(config: DecoderConfig) -> Rows:
        return {**rows, "head.out": rows["embed.token"] if config.tied else head}

    return rows_of


def _grows(config: DecoderConfig) -> dict[str, int]:
    """Tables that a file may have without the rows of new tokens."""
    count = config.new_tokens
    return {"embed.token.weight": count, "head.out.weight": count} if count else {}


def _unread(names: tuple[str, ...], under: str) -> tuple[str, ...]:
    return tuple(f"{under}.{name}" if under else name for name in names)


def _llama(name: str, under: str, head: str, beside: str | None = None) -> Layout:
    """A layout of the Llama family; `beside`: the prefix of the vision tower and what else stands there."""
    names = (*(f"{each}.*" for each in keys.VISION), "image_newline")
    others = _unread(names, beside) if beside is not None else ()
    unread = (head, *_unread(keys.LLAMA_UNREAD, under), *others)
    return Layout(name, _rows(keys.LLAMA, under, head), ignored=unread, file=FILE, grows=_grows)


def _class(name: str, table: keys.Table, under: str, unread: tuple[str, ...]) -> Layout:
    family = name.removesuffix("ForCausalLM").removesuffix("LMHeadModel").lower()
    return Layout(
        f"transformers, {name}",
        _rows(table, under, keys.HEAD),
        (name,),
        getattr(f, f"read_{family}"),
        getattr(f, f"write_{family}"),
        (keys.HEAD, *_unread(unread, under)),
        file=FILE,
        grows=_grows,
    )


def _idefics(config: DecoderConfig) -> Rows:
    rows = {**_rows(keys.LLAMA, "model", keys.HEAD)(config), "embed.extra": f"model.{keys.EXTRA}"}
    return {**rows, "head.extra": rows["embed.extra"] if config.tied else "lm_head.additional_fc"}


LAYOUTS = (
    *(
        _class(name, keys.LLAMA, "model", keys.LLAMA_UNREAD)
        for name in (f.LLAMA, f.MISTRAL, f.QWEN2, f.QWEN3)
    ),
    _class(f.OPT, keys.OPT, "model.decoder", ()),
    _class(f.GPT2, keys.GPT2, "transformer", keys.GPT2_UNREAD),
    Layout(
        "OpenAI's GPT-2", _rows(keys.GPT2, "", keys.HEAD), ignored=(keys.HEAD, *keys.GPT2_UNREAD), file=FILE
    ),
    Layout("OPT without model.", _rows(keys.OPT, "decoder", keys.HEAD), ignored=(keys.HEAD,), file=FILE),
    _llama("transformers, LLaVA", "language_model.model", "language_model.lm_head", beside=""),
    _llama("transformers, LLaVA in memory", "model.language_model", "lm_head", beside="model"),
    _llama("LLaVA", "model", "lm_head", beside="model"),
    Layout(
        "IDEFICS",
        _idefics,
        ignored=(
            *_unread(("vision_model.*", "perceiver_resampler.*", "gated_cross_attn_layers.*"), "model"),
            *(keys.HEAD, "lm_head.additional_fc", *_unread(keys.LLAMA_UNREAD, "model")),
        ),
        file=FILE,
    ),
)
"""`mmm export` writes the first whose class can say the config."""
