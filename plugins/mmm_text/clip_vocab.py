"""CLIP's vocab.json and merges.txt, or OpenAI's file of merges -> a tokenizer of the `tokenizers` library."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

VOCAB, MERGES, ADDED = "vocab.json", "merges.txt", "added_tokens.json"
CLASSES = (None, "CLIPTokenizer", "CLIPTokenizerFast")
"""What tokenizer_config.json may say that the files are; others use files of the same names, by other rules."""

WORD_END = "</w>"
START, END = "<|startoftext|>", "<|endoftext|>"
PAIRING: dict[str, Any] = {"continuing_subword_prefix": "", "end_of_word_suffix": WORD_END, "fuse_unk": False}
SPECIAL = {"bos_token": START, "eos_token": END, "unk_token": END, "pad_token": END}
WORDS = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
"""What is one word: OpenAI's pattern, which takes digits one by one and punctuation together."""

PAIRS_FILE = ".txt.gz"
"""How the name of OpenAI's file of merges ends: bpe_simple_vocab_16e6.txt.gz in their package and in OpenCLIP's."""
VOCABULARY, BYTES = 49408, 256


def read_clip(folder: Path, settings: Mapping[str, Any]) -> Tokenizer:
    """Lower case, words by OpenAI's pattern, byte pairs, a start and an end token.

    Args:
        settings: of tokenizer_config.json and special_tokens_map.json.

    Raises:
        ValueError: the files are another tokenizer's.
    Source: Radford et al. 2021 (arXiv:2103.00020), section 2.4; github.com/openai/CLIP, clip/simple_tokenizer.py.
    """
    if settings.get("tokenizer_class") not in CLASSES:
        raise ValueError(f"{VOCAB} and {MERGES} of a {settings['tokenizer_class']}; only CLIP's can be read")
    special = {name: settings.get(name) or default for name, default in SPECIAL.items()}
    files = (str(folder / VOCAB), str(folder / MERGES))
    unknown = token_text(special["unk_token"])
    tokenizer = Tokenizer(models.BPE.from_file(*files, unk_token=unknown, **PAIRING))
    if not any(token.endswith(WORD_END) for token in tokenizer.get_vocab()):
        raise ValueError(f"no token of {VOCAB} ends with {WORD_END}, as those of CLIP do")
    return _complete(tokenizer, _added(folder, settings, special), special)


def read_pairs(file: Path) -> Tokenizer:
    """OpenAI's file of merges, one pair a line below a heading, of which CLIP takes the first 48894.

    Raises:
        ValueError, OSError: it is something else, or damaged.
    Source: github.com/openai/CLIP, clip/simple_tokenizer.py: the order of the vocabulary.
    """
    with gzip.open(file, "rt", encoding="utf-8") as stream:
        heading = stream.readline()
        lines = [line.rstrip("\n") for line in islice(stream, VOCABULARY - 2 * BYTES - 2)]
    pairs = [(a, b) for a, _, b in (line.partition(" ") for line in lines if line)]
    if "#version" not in heading or not all(a and b and " " not in b for a, b in pairs):
        raise ValueError("it does not hold a pair a line below a heading, as CLIP's file of merges does")
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())  # printable bytes first, as they count them
    tokens = [*letters, *(letter + WORD_END for letter in letters), *(a + b for a, b in pairs), START, END]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(vocabulary, pairs, unk_token=END, **PAIRING))
    return _complete(tokenizer, (AddedToken(token, special=True) for token in (START, END)), SPECIAL)


def _complete(tokenizer: Tokenizer, added: Iterable[AddedToken], special: Mapping[str, Any]) -> Tokenizer:
    """With all that stands around the byte pairs.

    Args:
        special: bos_token and eos_token.
    """
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(WORDS), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.decoder = decoders.Sequence(
        [decoders.ByteLevel(), decoders.Replace(Regex(f"{WORD_END}$"), ""), decoders.Replace(WORD_END, " ")]
    )
    tokenizer.add_tokens(list(added))
    start, end = (_placed(tokenizer, special[name]) for name in ("bos_token", "eos_token"))
    tokenizer.post_processor = processors.RobertaProcessing(
        end, start, trim_offsets=False, add_prefix_space=False
    )
    return tokenizer


def token_text(token: Any) -> str | None:
    """A token in tokenizer_config.json is a text or a record with `content`."""
    return token.get("content") if isinstance(token, Mapping) else token


def _added(folder: Path, settings: Mapping[str, Any], special: Mapping[str, Any]) -> Iterator[AddedToken]:
    """Tokens that are found before the text is split into words: those that the files add, and the special ones."""
    named = {token_text(t): t if isinstance(t, Mapping) else {"content": t} for t in special.values()}
    decoder = settings.get("added_tokens_decoder") or {}
    records = {
        record["content"]: record for _, record in sorted(decoder.items(), key=lambda row: int(row[0]))
    }
    beside = folder / ADDED
    if not records and beside.is_file():
        ids = json.loads(beside.read_text(encoding="utf-8"))
        records = {text: {"content": text, "special": text in named} for text in sorted(ids, key=ids.get)}
    records = {**records, **{text: record for text, record in named.items() if text not in records}}
    for text, record in records.items():
        is_special = bool(record.get("special")) or text in named
        flags = {
            key: record[key] for key in ("single_word", "lstrip", "rstrip", "normalized") if key in record
        }
        yield AddedToken(text, special=is_special, **flags)


def _placed(tokenizer: Tokenizer, token: Any) -> tuple[str, int]:
    text = token_text(token) or ""
    found = tokenizer.token_to_id(text)
    assert found is not None  # special tokens were added
    return text, found
