"""Texts <-> token ids, by the files of a tokenizer and the `tokenizers` library."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Encoding, Tokenizer
from torch import Tensor

from mmm_graph.errors import InputError, RunError, problem
from mmm_text.clip_vocab import MERGES, PAIRS_FILE, VOCAB, read_clip, read_pairs, token_text
from mmm_text.config import TokenizerConfig

NO_LIMIT = 10**6
"""A file that says a larger max length means that there is none."""
SENTENCEPIECE = ("spiece.model", "sentencepiece.bpe.model", "tokenizer.model")


class HfTokenizer:
    """A `tokenizer.json`, alone or in a folder whose settings are read too, or CLIP's vocabulary: folder or merges.

    Raises:
        InputError: there is no file, or it says nothing of what the config needs.
    """

    def __init__(self, config: TokenizerConfig, path: Path | str | None = None) -> None:
        if path is None:
            raise InputError(
                problem(
                    "E607", "tokenizer.hf needs a file", hint='weights: "file:..." naming a tokenizer.json'
                )
            )
        self.tokenizer, extra = read_tokenizer(Path(path))
        padding, truncation = self.tokenizer.padding or {}, self.tokenizer.truncation or {}
        self.tokenizer.no_padding()
        self.tokenizer.no_truncation()
        length = config.max_length or truncation.get("max_length") or padding.get("length")
        length = length or extra.get("model_max_length")
        self.max_length: int | None = int(length) if length and length < NO_LIMIT else None
        self.chunk = config.chunk
        self.is_fixed = (
            config.chunk
            or config.pad == "max_length"
            or (config.pad is None and padding.get("length") is not None)
        )
        self.pad_id = self.find_pad(
            config.pad_token or padding.get("pad_token") or token_text(extra.get("pad_token"))
        )
        self.check_length(config)
        if self.max_length is not None and (config.truncate or config.chunk):
            self.tokenizer.enable_truncation(self.max_length)

    def encode(self, text: Sequence[str]) -> dict[str, Tensor]:
        """Ids [b,t] int64, padded on the right, and mask [b,t], True where there is text.

        With `chunk` t is windows x max_length; a text with fewer windows than others gets empty ones.
        """
        windows = [self.windows(encoding) for encoding in self.tokenizer.encode_batch(list(text))]
        self.check(text, windows)
        count = max(map(len, windows), default=1)
        blank = self.tokenizer.encode("").ids if count > 1 else []
        rows = [row for each in windows for row in (*each, *[blank] * (count - len(each)))]
        ids, mask = self.pad(rows)
        shape = (len(windows), count * ids.shape[1])
        return {"ids": ids.reshape(shape), "mask": mask.reshape(shape)}

    def windows(self, encoding: Encoding) -> list[list[int]]:
        """Ids of one text; with `chunk` of as many windows as it needs, each with start and end tokens."""
        return [encoding.ids, *(more.ids for more in encoding.overflowing if self.chunk)]

    def pad(self, rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
        """Ids and mask of rows of one length."""
        longest = max(map(len, rows), default=0)
        length = self.max_length if self.is_fixed and self.max_length else longest
        if self.pad_id is None and any(len(row) < length for row in rows):
            message = "texts differ in length and the tokenizer has no padding token"
            raise RunError(problem("E707", message, hint="set pad_token"))
        ids = torch.full((len(rows), length), self.pad_id or 0, dtype=torch.int64)
        mask = torch.zeros(len(rows), length, dtype=torch.bool)
        for i, row in enumerate(rows):
            ids[i, : len(row)] = torch.tensor(row, dtype=torch.int64)
            mask[i, : len(row)] = True
        return ids, mask

    def decode(self, ids: Tensor, mask: Tensor | None = None) -> list[str]:
        """Texts of ids [b,t], special tokens left out."""
        rows = (
            ids.tolist()
            if mask is None
            else [row[keep].tolist() for row, keep in zip(ids, mask.bool(), strict=True)]
        )
        return list(self.tokenizer.decode_batch(rows, skip_special_tokens=True))

    def check(self, text: Sequence[str], windows: Sequence[Sequence[Sequence[int]]]) -> None:
        """Refuse texts that are too long (with `truncate` and `chunk` there are none)."""
        limit = self.max_length
        if limit is None:
            return
        problems = [
            problem(
                "E708",
                f"text {i} has {len(row)} tokens, at most {limit} fit, {len(row) - limit} too many: {shorten(text[i])}",
                hint="shorten it, set truncate: true to cut it off, or chunk: true to encode it in several windows",
            )
            for i, (row, *_) in enumerate(windows)
            if len(row) > limit
        ]
        if problems:
            raise RunError(problems)

    def check_length(self, config: TokenizerConfig) -> None:
        """Refuse settings that need a max_length that nobody says, or leave no room for text."""
        wants = {
            "pad: max_length": self.is_fixed,
            "truncate: true": config.truncate,
            "chunk: true": config.chunk,
        }
        for name, wanted in reversed(wants.items()):
            if wanted and self.max_length is None:
                raise InputError(problem("E608", f"{name} needs max_length; the tokenizer file has none"))
        special = self.tokenizer.num_special_tokens_to_add(is_pair=False)
        if config.chunk and self.max_length is not None and self.max_length <= special:
            message = f"chunk: true with max_length {self.max_length}, but {special} tokens of each window are special"
            raise InputError(problem("E608", message))

    def find_pad(self, token: str | None) -> int | None:
        """Id of the padding token."""
        if token is None:
            return None
        found = self.tokenizer.token_to_id(token)
        if found is None:
            raise InputError(problem("E608", f"the tokenizer has no token {token!r} to pad with"))
        return int(found)


def read_tokenizer(path: Path) -> tuple[Tokenizer, dict[str, Any]]:
    """The tokenizer and what stands beside it.

    Raises:
        InputError: there is no such file, or it cannot be read.
    """
    settings = read_settings(path)
    file = path / "tokenizer.json" if path.is_dir() else path
    try:
        if file.name.endswith(PAIRS_FILE) and file.is_file():
            return read_pairs(file), settings
        if file.is_file():
            return Tokenizer.from_str(file.read_text(encoding="utf-8")), settings
        if all((path / name).is_file() for name in (VOCAB, MERGES)):
            return read_clip(path, settings), settings
    except Exception as error:  # the library raises bare Exception
        raise InputError(
            problem("E607", f"{file if file.is_file() else path} is not a tokenizer file: {error}")
        ) from error
    found = [name for name in SENTENCEPIECE if (path / name).is_file()]
    if found:
        message = f"{path} has a {found[0]}, which the tokenizers library cannot read, and no tokenizer.json"
        save = "transformers.AutoTokenizer.from_pretrained(folder).save_pretrained(folder)"
        raise InputError(problem("E607", message, hint=f"make one, once: {save}"))
    hint = f"a tokenizer.json, its folder, a folder with CLIP's {VOCAB} and {MERGES}, or its *{PAIRS_FILE}"
    raise InputError(problem("E607", f"there is no tokenizer at {file}", hint=hint))


def read_settings(folder: Path) -> dict[str, Any]:
    """tokenizer_config.json; where that has no table of added tokens, special_tokens_map.json goes before it.

    Raises:
        InputError: one of them is not JSON.
    """
    found: list[dict[str, Any]] = []
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        file = folder / name
        try:
            found.append(json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {})
        except ValueError as error:
            raise InputError(problem("E607", f"{file} is not JSON: {error}")) from error
    config, special = found
    return config if "added_tokens_decoder" in config else {**config, **special}


def shorten(text: str, width: int = 60) -> str:
    """The beginning of a text."""
    return repr(text if len(text) <= width else text[:width] + "...")
