"""Conversations -> rows of ids, labels and places of media, by a chat template and a tokenizer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tokenizers import Encoding, Tokenizer
from torch import Tensor

from mmm_graph.errors import InputError, RunError, did_you_mean, problem
from mmm_graph.spec.chat import MEDIA, Conversation, read_chats
from mmm_text.chat_config import ChatConfig
from mmm_text.chat_formats import FORMATS
from mmm_text.chat_sandbox import BEGIN, END
from mmm_text.chat_template import ChatTemplate, Spans
from mmm_text.signals import Signals

IGNORED = -100
"""Label of a token that is not learnt."""
NO_MEDIUM = -1


@dataclass
class Rows:
    """A batch, not yet padded.

    Attributes:
        ids, labels: of each conversation; labels are ids, and IGNORED but where the assistant speaks.
        places: number of the medium whose place a token is, else NO_MEDIUM: images of the whole batch are counted from
            0, audio goes on after them, then video.
        media: by type, in the order of their numbers.
    """

    ids: list[list[int]]
    labels: list[list[int]]
    places: list[list[int]]
    media: dict[str, list[Tensor]]


class Chats:
    """Applies templates.

    Args:
        settings: of the tokenizer: its own templates under `chat_templates`, special tokens by name.
        media_tokens: placeholders by type of segment.
        signals: what segments that ask for media become.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        settings: Mapping[str, Any],
        media_tokens: Mapping[str, str],
        signals: Signals,
    ) -> None:
        self.tokenizer, self.media_tokens, self.signals = tokenizer, media_tokens, signals
        self.own: Mapping[str, str] = settings.get("chat_templates", {})
        tokens = {k: v for k, v in settings.items() if k.endswith("_token") and isinstance(v, str)}
        self.tokens = {"bos_token": "", "eos_token": "", **tokens}
        added = tokenizer.get_added_tokens_decoder().values()
        self.special = sorted(token.content for token in added if token.special)
        self._templates: dict[str | None, ChatTemplate] = {}

    def rows(self, value: Any, config: ChatConfig) -> Rows:
        """Rows of conversations.

        Raises:
            RunError: E302, no conversations; E752 to E756.
        """
        try:
            chats = read_chats(value)
        except ValueError as error:
            raise RunError(problem("E302", f"these are no conversations: {error}")) from error
        texts, spans = self._texts(chats, self.template(config.template), config)
        rows = Rows([], [], [], {kind: [] for kind in MEDIA})
        counted = []
        for i, encoding in enumerate(self.tokenizer.encode_batch(texts, add_special_tokens=False)):
            pieces = [encoding, *encoding.overflowing]  # of a tokenizer that truncates: all of it is wanted
            ids = [token for piece in pieces for token in piece.ids]
            places = self._places(ids, chats[i], f"conversation {i}", rows.media)
            learnt = _covered(pieces, texts[i], spans[i]) - {k for k, place in enumerate(places) if place}
            runs = self.signals.grown(ids, chats[i], f"conversation {i}")
            rows.ids.append([id_ for run in runs for id_ in run])
            rows.labels.append([id_ if k in learnt else IGNORED for k, run in enumerate(runs) for id_ in run])
            counted.append([places[k] for k, run in enumerate(runs) for _ in run])
        before = dict(_running(rows.media))  # numbers are over all media: one type after the other
        rows.places = [
            [NO_MEDIUM if place is None else before[place[0]] + place[1] for place in places]
            for places in counted
        ]
        return rows

    def template(self, name: str | None) -> ChatTemplate:
        """The checkpoint's own, one of FORMATS, or one that is given as text.

        Raises:
            InputError: E752, there is none. RunError: E753, it cannot be used.
        """
        if name not in self._templates:
            self._templates[name] = self._read(name)
        return self._templates[name]

    def _read(self, name: str | None) -> ChatTemplate:
        rest = ({**self.tokens, "start": self._start()}, self.media_tokens, self.special)
        if name is not None and "{" in name:
            return ChatTemplate(name, "the template of the config", *rest)
        if (name or "default") in self.own:
            return ChatTemplate(self.own[name or "default"], "the template of the checkpoint", *rest)
        if name is not None and name in FORMATS:
            return ChatTemplate(FORMATS[name], f"the template {name}", *rest)
        known = sorted({*self.own, *FORMATS})
        if name is None:
            hint = f"set `template:` to one of {', '.join(known)}, or to the text of a template"
            raise InputError(problem("E752", "the tokenizer's files hold no chat template", hint=hint))
        raise InputError(
            problem("E752", f"there is no chat template {name!r}", hint=did_you_mean(name, known))
        )

    def _texts(
        self, chats: Sequence[Conversation], template: ChatTemplate, config: ChatConfig
    ) -> tuple[list[str], list[Spans]]:
        """Text of each conversation, and where in it the assistant speaks."""
        texts, spans = [], []
        for i, chat in enumerate(chats):
            place = f"conversation {i}"
            _check_end(chat, place, config)
            chat = self.signals.written(chat, place)
            self._check_media(chat, place)
            system = config.system if config.system is not None else template.system
            if system and chat[0]["role"] != "system":
                chat = [{"role": "system", "content": [{"type": "text", "text": system}]}, *chat]
            rendered = template.render(chat, place, generate=config.generate)
            start = self._start() if config.start else ""
            start = "" if rendered.text.startswith(start) else start
            texts.append(start + rendered.text)
            learnt = rendered.spans[-1:] if config.learn == "last" else rendered.spans
            spans.append([(first + len(start), last + len(start)) for first, last in learnt])
        return texts, spans

    def _check_media(self, chat: Conversation, place: str) -> None:
        """That a placeholder is known for all media, and that they are loaded."""
        for m, message in enumerate(chat):
            for s, segment in enumerate(message["content"]):
                kind, where = segment["type"], f"{place}, message {m}, segment {s}"
                if kind == "text":
                    if BEGIN in segment["text"] or END in segment["text"]:
                        what = f"{where} has U+FDD0 or U+FDD1, which are no characters"
                        raise RunError(problem("E755", what, hint="leave them out"))
                elif not isinstance(segment[kind], Tensor):
                    what = f"{where} holds its {kind} as {type(segment[kind]).__name__}, not as a tensor"
                    raise RunError(problem("E755", what, hint="load it before: the tokenizer reads no files"))
                elif kind not in self.media_tokens:
                    what = f"{where} is of the type {kind}, for which the tokenizer has no placeholder"
                    hint = (
                        f'set media_tokens: {{{kind}: "<{kind}>"}}, and add_tokens if the vocabulary lacks it'
                    )
                    raise RunError(problem("E755", what, hint=hint))

    def _places(
        self, ids: Sequence[int], chat: Conversation, place: str, media: dict[str, list[Tensor]]
    ) -> list[tuple[str, int] | None]:
        """For each token of a conversation the medium whose place it is: its type, and its number among those."""
        found: list[tuple[str, int] | None] = [None] * len(ids)
        for kind, token in self.media_tokens.items():
            here = [s[kind] for message in chat for s in message["content"] if s["type"] == kind]
            wanted = self.tokenizer.token_to_id(token)
            places = [i for i, id_ in enumerate(ids) if id_ == wanted]
            if len(here) != len(places):
                what = f"{place} has {_count(len(here), kind)}, and its text {_count(len(places), 'place')} for them"
                hint = f"each {kind} segment is one {token} in the text, which the template writes; write none yourself"
                raise RunError(problem("E755", what, hint=hint))
            for number, i in enumerate(places, len(media[kind])):
                found[i] = (kind, number)
            media[kind] += here
        return found

    def _start(self) -> str:
        """What the tokenizer puts before any text."""
        encoding = self.tokenizer.encode("a")
        count = next((i for i, special in enumerate(encoding.special_tokens_mask) if not special), 0)
        return "".join(encoding.tokens[:count])


def _check_end(chat: Conversation, place: str, config: ChatConfig) -> None:
    if config.generate and chat[-1]["role"] == "assistant":
        what = f"{place} ends with an answer, and `generate: true` asks for one"
        raise RunError(problem("E756", what, hint="to learn from answers set `generate: false`"))


def _covered(pieces: Sequence[Encoding], text: str, spans: Spans) -> set[int]:
    """Numbers of the tokens that the assistant says.

    The text is tokenized once, as a whole. A token that lies across the border of a span is of the side that has its
    letters: "▁hi", which holds the space after "ASSISTANT:", is the assistant's, and "▁USER" after an answer is not.
    """
    offsets = [pair for piece in pieces for pair in piece.offsets]
    found: set[int] = set()
    for first, last in spans:
        inside = [i for i, (a, b) in enumerate(offsets) if a < last and b > first]
        found.update(range(inside[0], inside[-1] + 1) if inside else ())
        for i in (*inside[:1], *inside[-1:]):
            a, b = offsets[i]
            others = text[a : max(a, first)] + text[min(b, last) : b]
            if others.strip() and not text[max(a, first) : min(b, last)].strip():
                found.discard(i)
    return found


def _running(media: Mapping[str, Sequence[Any]]) -> Iterator[tuple[str, int]]:
    total = 0
    for kind, items in media.items():
        yield kind, total
        total += len(items)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 or what == 'audio' else 's'}"
