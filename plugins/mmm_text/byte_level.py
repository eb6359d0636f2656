"""Pairs of bytes, as GPT-2 joins them: a vocabulary, its merges and a way to split texts -> a tokenizer."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers

from mmm_text.clip_vocab import MERGES, VOCAB, token_text

CLASSES = ("GPT2Tokenizer", "GPT2TokenizerFast")
"""What tokenizer_config.json says where vocab.json and merges.txt are of this sort: GPT-2 and OPT."""

LLAMA_3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN_2 = LLAMA_3.replace("{1,3}", "")
TEKKEN = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
    r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def byte_level(vocabulary: Mapping[str, int], pairs: list[tuple[str, str]], split: str) -> Tokenizer:
    """A tokenizer without special tokens.

    Args:
        split: of SPLITS.

    Source: Radford et al. 2019, section 2.2 (GPT-2); how others split: llama.cpp, src/llama-vocab.cpp.
    """
    tokenizer = Tokenizer(models.BPE(dict(vocabulary), pairs))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(SPLITS[split]())
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def read_byte_level(folder: Path, settings: Mapping[str, Any]) -> Tokenizer:
    """The vocab.json and merges.txt of GPT-2 and OPT.

    Raises:
        ValueError, OSError: they are damaged.
    """
    lines = (folder / MERGES).read_text(encoding="utf-8").split("\n")
    rows = [line.split(" ") for line in lines if line and not line.startswith("#version")]
    if any(len(row) != 2 for row in rows):
        raise ValueError(f"{MERGES} does not hold a pair a line")
    vocabulary = json.loads((folder / VOCAB).read_text(encoding="utf-8"))
    tokenizer = byte_level(vocabulary, [(a, b) for a, b in rows], "gpt-2")
    table = settings.get("added_tokens_decoder") or {}
    records = [record for _, record in sorted(table.items(), key=lambda row: int(row[0]))]
    named = [settings[k] for k in ("bos_token", "eos_token", "unk_token", "pad_token") if settings.get(k)]
    for record in [*records, *({"content": token_text(token), "special": True} for token in named)]:
        flags = {k: record[k] for k in ("single_word", "lstrip", "rstrip", "normalized") if k in record}
        tokenizer.add_tokens([AddedToken(record["content"], special=bool(record.get("special")), **flags)])
    return tokenizer


def _words(pattern: str) -> list[Any]:
    bytes_ = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    return [pre_tokenizers.Split(Regex(pattern), behavior="isolated"), bytes_]


def _gpt_2() -> list[Any]:
    return [pre_tokenizers.ByteLevel(add_prefix_space=False)]


SPLITS: Mapping[str, Callable[[], list[Any]]] = {
    "gpt-2": _gpt_2,
    "smollm": lambda: [pre_tokenizers.Digits(individual_digits=True), *_gpt_2()],
    **dict.fromkeys(("llama-bpe", "llama3", "llama-v3", "smaug-bpe"), lambda: _words(LLAMA_3)),
    **dict.fromkeys(("qwen2", "deepseek-r1-qwen"), lambda: _words(QWEN_2)),
    "tekken": lambda: _words(TEKKEN),
}
"""How a text is split before pairs are joined, by the name that llama.cpp has for it."""
