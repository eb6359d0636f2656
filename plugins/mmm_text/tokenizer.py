"""Texts <-> token ids, by a tokenizer file of the `tokenizers` library."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor

from mmm_graph.errors import InputError, RunError, problem
from mmm_text.config import TokenizerConfig

NO_LIMIT = 10**6
"""A file that says a larger max length means that there is none."""


class HfTokenizer:
    """A `tokenizer.json`, alone or in a folder whose `tokenizer_config.json` is read too.

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
        self.is_fixed = config.pad == "max_length" or (
            config.pad is None and padding.get("length") is not None
        )
        self.pad_id = self.find_pad(
            config.pad_token or padding.get("pad_token") or token_text(extra.get("pad_token"))
        )
        self.truncate = config.truncate
        if self.is_fixed and self.max_length is None:
            raise InputError(problem("E608", "pad: max_length needs max_length; the tokenizer file has none"))
        if self.truncate:
            if self.max_length is None:
                raise InputError(
                    problem("E608", "truncate: true needs max_length; the tokenizer file has none")
                )
            self.tokenizer.enable_truncation(self.max_length)

    def encode(self, text: Sequence[str]) -> dict[str, Tensor]:
        """Ids [b,t] int64, padded on the right, and mask [b,t], True where there is text."""
        rows = [encoding.ids for encoding in self.tokenizer.encode_batch(list(text))]
        self.check(text, rows)
        longest = max(map(len, rows), default=0)
        length = self.max_length if self.is_fixed and self.max_length else longest
        if self.pad_id is None and any(len(row) < length for row in rows):
            raise RunError(
                problem(
                    "E707",
                    "texts differ in length and the tokenizer has no padding token",
                    hint="set pad_token",
                )
            )
        ids = torch.full((len(rows), length), self.pad_id or 0, dtype=torch.int64)
        mask = torch.zeros(len(rows), length, dtype=torch.bool)
        for i, row in enumerate(rows):
            ids[i, : len(row)] = torch.tensor(row, dtype=torch.int64)
            mask[i, : len(row)] = True
        return {"ids": ids, "mask": mask}

    def decode(self, ids: Tensor, mask: Tensor | None = None) -> list[str]:
        """Texts of ids [b,t], special tokens left out."""
        rows = (
            ids.tolist()
            if mask is None
            else [row[keep].tolist() for row, keep in zip(ids, mask.bool(), strict=True)]
        )
        return list(self.tokenizer.decode_batch(rows, skip_special_tokens=True))

    def check(self, text: Sequence[str], rows: Sequence[Sequence[int]]) -> None:
        """Refuse texts that are too long (with `truncate` there are none)."""
        limit = self.max_length
        if limit is None:
            return
        problems = [
            problem(
                "E708",
                f"text {i} has {len(row)} tokens, at most {limit} fit: {shorten(text[i])}",
                hint="shorten it, or set truncate: true to cut it off",
            )
            for i, row in enumerate(rows)
            if len(row) > limit
        ]
        if problems:
            raise RunError(problems)

    def find_pad(self, token: str | None) -> int | None:
        """Id of the padding token."""
        if token is None:
            return None
        found = self.tokenizer.token_to_id(token)
        if found is None:
            raise InputError(problem("E608", f"the tokenizer has no token {token!r} to pad with"))
        return int(found)


def read_tokenizer(path: Path) -> tuple[Tokenizer, dict[str, Any]]:
    """The tokenizer and what stands in `tokenizer_config.json` beside it.

    Raises:
        InputError: there is no such file, or it cannot be read.
    """
    file = path / "tokenizer.json" if path.is_dir() else path
    if not file.is_file():
        raise InputError(
            problem("E607", f"there is no tokenizer at {file}", hint="a tokenizer.json, or its folder")
        )
    try:
        tokenizer = Tokenizer.from_str(file.read_text(encoding="utf-8"))
    except Exception as error:  # the library raises bare Exception
        raise InputError(problem("E607", f"{file} is not a tokenizer file: {error}")) from error
    beside = file.parent / "tokenizer_config.json"
    return tokenizer, json.loads(
        beside.read_text(encoding="utf-8")
    ) if path.is_dir() and beside.is_file() else {}


def token_text(token: Any) -> str | None:
    """A token in tokenizer_config.json is a text or a record with `content`."""
    return token.get("content") if isinstance(token, dict) else token


def shorten(text: str, width: int = 60) -> str:
    """The beginning of a text."""
    return repr(text if len(text) <= width else text[:width] + "...")
