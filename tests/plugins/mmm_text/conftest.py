"""A small vocabulary in the files of CLIP's tokenizer."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers

from mmm_text.clip_vocab import END, START, WORDS

TEXTS = [
    "a photo of a red car and a blue car, it's 2024!",
    "the quick brown fox jumps over the lazy dog; don't we'll they've i'm",
    "un café très élégant à la plage, 1234 photos of an astronaut riding a horse",
]
RECORD = {"lstrip": False, "normalized": True, "rstrip": False, "single_word": False}


@pytest.fixture
def clip_folder(tmp_path: Path) -> Callable[..., Path]:
    """Writes a folder as the tokenizers of diffusers' checkpoints have it: vocab.json, merges.txt and settings."""

    def write(pad: Any = END, **settings: Any) -> Path:
        tokens, merges = vocabulary()
        (tmp_path / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(tokens)}))
        lines = ["#version: 0.2", *(" ".join(pair) for pair in merges)]
        (tmp_path / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
        special = {"bos_token": {"content": START, **RECORD}, "eos_token": {"content": END, **RECORD}}
        special |= {"unk_token": {"content": END, **RECORD}, "pad_token": pad}
        (tmp_path / "special_tokens_map.json").write_text(json.dumps(special))
        typed = {
            name: {"__type": "AddedToken", **t} if isinstance(t, dict) else t for name, t in special.items()
        }
        config = {
            **typed,
            "tokenizer_class": "CLIPTokenizer",
            "model_max_length": 77,
            "do_lower_case": True,
            **settings,
        }
        (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
        return tmp_path

    return write


def vocabulary() -> tuple[list[str], list[tuple[str, str]]]:
    """Tokens in the order of CLIP's: bytes, bytes that end a word, pairs, start and end."""
    tokenizer = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(WORDS), "removed", invert=True), pre_tokenizers.ByteLevel(False)]
    )
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=600, initial_alphabet=alphabet, end_of_word_suffix="</w>", show_progress=False
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    merges = [tuple(pair) for pair in json.loads(tokenizer.to_str())["model"]["merges"]]
    pairs = dict.fromkeys(a + b for a, b in merges)
    return [*alphabet, *(f"{letter}</w>" for letter in alphabet), *pairs, START, END], merges
