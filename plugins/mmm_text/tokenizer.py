"""Texts and conversations <-> token ids, by the files of a tokenizer and the `tokenizers` library."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Encoding
from torch import Tensor

from mmm_graph.errors import InputError, RunError, problem
from mmm_graph.spec.chat import MEDIA
from mmm_text.chat import IGNORED, NO_MEDIUM, Chats, Rows
from mmm_text.chat_config import ChatConfig, DecodeConfig, PromptConfig
from mmm_text.config import TokenizerConfig
from mmm_text.padding import Padding
from mmm_text.signals import Signals, signal_tokens
from mmm_text.tokenizer_files import read_tokenizer

NO_LIMIT = 10**6
"""A file that says a larger max length means that there is none."""
EOS = "eos"
"""In place of a padding token: the one that ends a text."""


class HfTokenizer:
    """A `tokenizer.json`, alone or in a folder whose settings are read too; CLIP's vocabulary; or that of a GGUF file.

    Raises:
        InputError: there is no file, it cannot be read, or it says nothing of what the config needs.
    """

    def __init__(self, config: TokenizerConfig, path: Path | str | None = None) -> None:
        if path is None:
            hint = 'weights: "file:..." naming a tokenizer.json, its folder, or a *.gguf'
            raise InputError(problem("E607", "tokenizer.hf needs a file", hint=hint))
        self.config = config
        self.tokenizer, settings = read_tokenizer(Path(path))
        signals = signal_tokens(config.signals)
        added = (*config.add_tokens, *(token for run in signals.values() for token in run))
        self.tokenizer.add_special_tokens([AddedToken(token, special=True) for token in added])
        self.signals: dict[str, tuple[int, ...]] = {
            kind: tuple(self.tokenizer.token_to_id(token) for token in run) for kind, run in signals.items()
        }
        padding, truncation = self.tokenizer.padding or {}, self.tokenizer.truncation or {}
        self.tokenizer.no_padding()
        self.tokenizer.no_truncation()
        length = config.max_length or truncation.get("max_length") or padding.get("length")
        length = length or settings.get("model_max_length")
        self.max_length: int | None = int(length) if length and length < NO_LIMIT else None
        is_fixed = (
            config.chunk
            or config.pad == "max_length"
            or (config.pad is None and padding.get("length") is not None)
        )
        self.check_length(config, is_fixed)
        side = config.pad_side or settings.get("padding_side") or padding.get("direction")
        if config.chunk and side == "left":
            raise InputError(problem("E608", "chunk: true makes windows that are padded on the right"))
        self.pad_id = self.find_pad(config.pad_token or padding.get("pad_token"), settings)
        self.end_ids = self.find_ends(settings)
        self.padding = Padding(self.pad_id, self.max_length if is_fixed else None, side == "left")
        self.chats = Chats(
            self.tokenizer, settings, self.find_media(config, settings), Signals(signals, self.signals)
        )
        if self.max_length is not None and (config.truncate or config.chunk):
            self.tokenizer.enable_truncation(self.max_length)

    def encode(self, text: Sequence[str]) -> dict[str, Tensor]:
        """Ids [b,t] int64, padded, and mask [b,t], True where there is text.

        With `chunk` t is windows x max_length; a text with fewer windows than others gets empty ones.
        """
        special = self.config.add_special
        encodings = self.tokenizer.encode_batch(list(text), add_special_tokens=special)
        windows = [self.windows(encoding) for encoding in encodings]
        self.check("text", [row for row, *_ in windows], text)
        count = max(map(len, windows), default=1)
        blank = self.tokenizer.encode("", add_special_tokens=special).ids if count > 1 else []
        rows = [row for each in windows for row in (*each, *[blank] * (count - len(each)))]
        ids, mask = self.padding.ids(rows)
        shape = (len(windows), count * ids.shape[1])
        return {"ids": ids.reshape(shape), "mask": mask.reshape(shape)}

    def token_id(self, token: str) -> int | None:
        """The number of a token by its whole text, such as "<image>"; None: it has none of that text."""
        found: int | None = self.tokenizer.token_to_id(token)
        return found

    def windows(self, encoding: Encoding) -> list[list[int]]:
        """Ids of one text; with `chunk` of as many windows as it needs, each with start and end tokens."""
        return [encoding.ids, *(more.ids for more in encoding.overflowing if self.config.chunk)]

    def decode(
        self, ids: Tensor, mask: Tensor | None = None, config: DecodeConfig | None = None
    ) -> list[str]:
        """Texts of ids [b,t], as a rule without special tokens."""
        rows = (
            ids.tolist()
            if mask is None
            else [row[keep].tolist() for row, keep in zip(ids, mask.bool(), strict=True)]
        )
        skip = (config or DecodeConfig()).skip_special
        return list(self.tokenizer.decode_batch(rows, skip_special_tokens=skip))

    def chat(self, chat: Any, config: ChatConfig) -> dict[str, Any]:
        """Conversations by a template.

        Returns:
            ids, mask, labels and media_index [b,t]; images [3,h,w], audios [c,n] and videos [f,3,h,w], lists over the
            whole batch; supervised [], the share of tokens whose label is learnt.
        """
        rows = self.cut(self.chats.rows(chat, config), config)
        ids, mask = self.padding.ids(rows.ids)
        labels = self.padding.fill(rows.labels, IGNORED)
        return {
            "ids": ids,
            "mask": mask,
            "labels": labels,
            "media_index": self.padding.fill(rows.places, NO_MEDIUM),
            **{f"{kind}s": rows.media[kind] for kind in MEDIA},
            "supervised": (labels != IGNORED).sum() / mask.sum().clamp(min=1),
        }

    def prompt(self, text: Sequence[str], config: PromptConfig) -> dict[str, Any]:
        """Ids and mask [b,t] of conversations that begin with these texts."""
        asked = ChatConfig(template=config.template, system=config.system)
        found = self.chat(list(text), asked)
        return {"ids": found["ids"], "mask": found["mask"]}

    def cut(self, rows: Rows, config: ChatConfig) -> Rows:
        """Rows that fit; what is generated after goes at the end, so that prompts are not cut."""
        limit = self.max_length
        if limit is None or not self.config.truncate or config.generate:
            self.check("conversation", rows.ids)
            return rows
        for i, places in enumerate(rows.places):
            if any(place != NO_MEDIUM for place in places[limit:]):
                what = f"conversation {i} has {len(places)} tokens, and a medium after the {limit} that fit"
                raise RunError(problem("E708", what, hint="shorten it; truncate: true cuts text, not media"))
        cut = [row[:limit] for row in rows.ids], [row[:limit] for row in rows.labels]
        return Rows(*cut, [row[:limit] for row in rows.places], rows.media)

    def check(self, what: str, rows: Sequence[Sequence[int]], texts: Sequence[str] = ()) -> None:
        """Refuse what is too long (texts with `truncate` and `chunk` are not).

        Args:
            what: each row is.
            texts: to be shown.
        """
        limit = self.max_length
        if limit is None:
            return
        more = "set truncate: true to cut it off, or chunk: true to encode it in several windows"
        hint = f"shorten it, {more}" if texts else "shorten it, or set max_length to what the model takes"
        problems = [
            problem(
                "E708",
                f"{what} {i} has {len(row)} tokens, at most {limit} fit, {len(row) - limit} too many"
                + (f": {shorten(texts[i])}" if texts else ""),
                hint=hint,
            )
            for i, row in enumerate(rows)
            if len(row) > limit
        ]
        if problems:
            raise RunError(problems)

    def check_length(self, config: TokenizerConfig, is_fixed: bool) -> None:
        """Refuse settings that need a max_length that nobody says, or leave no room for text."""
        wants = {
            "pad: max_length": is_fixed,
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

    def find_pad(self, token: str | None, settings: Mapping[str, Any]) -> int | None:
        """Id of the padding token."""
        if token == EOS:
            token = settings.get("eos_token")
            if token is None:
                hint = "pad_token: the text of a token"
                raise InputError(
                    problem("E608", "the tokenizer's files name no token that ends a text", hint=hint)
                )
        token = token or settings.get("pad_token")
        return None if token is None else self.find(token, "to pad with")

    def find_ends(self, settings: Mapping[str, Any]) -> tuple[int, ...]:
        """Ids that end a text: of `eos_token`, and those that generation_config.json names."""
        token, more = settings.get("eos_token"), settings.get("end_ids", [])
        own = None if token is None else self.tokenizer.token_to_id(token)
        named = [more] if isinstance(more, int) else list(more)
        return tuple(sorted({*named, *([] if own is None else [own])}))

    def find_media(self, config: TokenizerConfig, settings: Mapping[str, Any]) -> dict[str, str]:
        """Placeholders by type of segment, each one token."""
        for kind, token in config.media_tokens.items():
            self.find(token, f"in place of {kind} segments; to add it set add_tokens: [{token!r}]")
        named = {kind: settings.get(f"{kind}_token") for kind in MEDIA}
        own = {
            kind: token
            for kind, token in named.items()
            if token and self.tokenizer.token_to_id(token) is not None
        }
        return own | {str(kind): token for kind, token in config.media_tokens.items()}

    def find(self, token: str, what: str) -> int:
        """Id of a token."""
        found = self.tokenizer.token_to_id(token)
        if found is None:
            raise InputError(problem("E608", f"the tokenizer has no token {token!r} {what}"))
        return int(found)


def shorten(text: str, width: int = 60) -> str:
    """The beginning of a text."""
    return repr(text if len(text) <= width else text[:width] + "...")
