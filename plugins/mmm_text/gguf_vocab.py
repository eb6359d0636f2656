"""What the head of a GGUF file says of its tokenizer -> a tokenizer of the `tokenizers` library, and its settings."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from mmm_graph.errors import InputError, problem
from mmm_graph.registry.gguf_header import read_header
from mmm_text.byte_level import SPLITS, byte_level

GGUF = ".gguf"
KEY = "tokenizer.ggml."
CONTROL, USER_DEFINED = 3, 4
"""Types of tokens that are found in a text before it is split: special ones, and others."""
SPECIAL = {
    "bos_token": "bos_token_id",
    "eos_token": "eos_token_id",
    "unk_token": "unknown_token_id",
    "pad_token": "padding_token_id",
}
SPACE = "\u2581"


def read_gguf(path: Path) -> tuple[Tokenizer, dict[str, Any]]:
    """The tokenizer, and settings as tokenizer_config.json has them.

    Raises:
        InputError: E757, it has none, or one of a sort that is not known; E607, it is damaged.
        RunError: E605, E633, it is no GGUF file that can be read.
    Source: github.com/ggml-org/ggml, docs/gguf.md; how texts are split: llama.cpp, src/llama-vocab.cpp.
    """
    fields = {k.removeprefix(KEY): v for k, v in read_header(path).fields.items()}
    kind = str(fields.get("model", ""))
    if kind not in MODELS or "tokens" not in fields:
        what = f"{path} has no tokenizer" if not kind else f"{path} has a tokenizer of the sort {kind!r}"
        hint = f"sorts that can be read are {', '.join(MODELS)}; or name a tokenizer.json"
        raise InputError(problem("E757", what, hint=hint))
    try:
        tokenizer = MODELS[kind](fields)
        _add_tokens(tokenizer, fields)
        return tokenizer, _settings(fields, kind)
    except (LookupError, TypeError, ValueError) as error:
        raise InputError(problem("E607", f"the tokenizer of {path} is damaged: {error!r}")) from error


def _settings(fields: Mapping[str, Any], kind: str) -> dict[str, Any]:
    tokens = fields["tokens"]
    named = {name: tokens[fields[key]] for name, key in SPECIAL.items() if key in fields}
    ends = {f"add_{end}_token": bool(fields.get(f"add_{end}_token", default)) for end, default in ENDS[kind]}
    prefix = "tokenizer.chat_template"
    templates = {
        k.removeprefix(prefix).strip(".") or "default": v for k, v in fields.items() if k.startswith(prefix)
    }
    templates = {name: text for name, text in templates.items() if isinstance(text, str)}
    return {**named, **ends, "chat_templates": templates}


def _byte_level(fields: Mapping[str, Any]) -> Tokenizer:
    """Pairs of bytes, as GPT-2 has them."""
    name = fields.get("pre", "gpt-2")
    if name not in SPLITS:
        what = f"the tokenizer splits texts in the way {name!r}, which is not known"
        hint = f"known are {', '.join(SPLITS)}; name the tokenizer.json of the model instead"
        raise InputError(problem("E757", what, hint=hint))
    vocabulary = {token: i for i, token in enumerate(fields["tokens"])}
    halves = (merge.split(" ") for merge in fields["merges"])
    return byte_level(vocabulary, [(a, b) for a, b in halves], name)


def _pieces(fields: Mapping[str, Any]) -> Tokenizer:
    """Pieces of SentencePiece, the best first; bytes where there is none."""
    tokens = fields["tokens"]
    vocabulary = {token: i for i, token in enumerate(tokens)}
    unknown = tokens[fields.get("unknown_token_id", 0)]
    pairs = list(_merges(vocabulary, fields["scores"]))
    tokenizer = Tokenizer(models.BPE(vocabulary, pairs, unk_token=unknown, fuse_unk=True, byte_fallback=True))
    prefixed = bool(fields.get("add_space_prefix", True))
    scheme = "first" if prefixed else "never"
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(SPACE, prepend_scheme=scheme, split=False)
    steps = [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    tokenizer.decoder = decoders.Sequence([*steps, *([decoders.Strip(" ", 1, 0)] if prefixed else [])])
    return tokenizer


def _merges(vocabulary: Mapping[str, int], scores: tuple[float, ...]) -> Iterator[tuple[str, str]]:
    """The pairs that make up each piece: pieces of high scores first, of one score those with a long first half."""
    found = []
    for token, number in vocabulary.items():
        halves = [(token[:i], token[i:]) for i in range(1, len(token))]
        known = [(a, b) for a, b in halves if a in vocabulary and b in vocabulary]
        known.sort(key=lambda pair: (vocabulary[pair[0]], vocabulary[pair[1]]))
        found += [(scores[number], len(a), len(b), a, b) for a, b in known]
    found.sort(key=lambda row: row[:3], reverse=True)
    return ((a, b) for *_, a, b in found)


def _add_tokens(tokenizer: Tokenizer, fields: Mapping[str, Any]) -> None:
    """Tokens that are found before the text is split."""
    typed = list(zip(fields["tokens"], fields.get("token_type", ()), strict=False))
    for kind in (CONTROL, USER_DEFINED):
        tokens = [
            AddedToken(token, normalized=False, special=kind == CONTROL)
            for token, type_ in typed
            if type_ == kind and token
        ]
        (tokenizer.add_special_tokens if kind == CONTROL else tokenizer.add_tokens)(tokens)


MODELS: Mapping[str, Callable[[Mapping[str, Any]], Tokenizer]] = {"gpt2": _byte_level, "llama": _pieces}
"""By what the file calls them."""
ENDS: Mapping[str, tuple[tuple[str, bool], ...]] = {
    "gpt2": (("bos", False), ("eos", False)),
    "llama": (("bos", True), ("eos", False)),
}
"""Whether a token begins and ends a text where the file does not say."""
