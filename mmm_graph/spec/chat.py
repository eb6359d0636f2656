"""Conversations as people write them -> lists of messages made of segments: the values of a port of kind Chat."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmm_graph.errors import did_you_mean

ROLES = ("system", "user", "assistant")
MEDIA = ("image", "audio", "video")
"""Types of segments beside text. A segment holds its medium under its type, or a file under `path`."""
SIGNAL = "signal"
"""A segment that asks for a medium, `{"type": "signal", "signal": "image"}`: the signal tokens of a tokenizer."""

Segment = dict[str, Any]
Message = dict[str, Any]
Conversation = list[Message]
Loaders = Mapping[str, Callable[[Any], Any]]
"""By type of segment: what makes of a medium as given one as it goes on; it may raise ValueError and OSError."""


def read_chats(value: Any, loaders: Loaders | None = None) -> list[Conversation]:
    """A batch of conversations, each a list of messages `{"role", "content": [segments]}`.

    Args:
        value: a text, which is one message of a user; a list of messages, which is one conversation; or a list of texts
            and conversations. The content of a message is a text or a list of segments, `{"type": "text", "text": ...}`
            or `{"type": "image", "image": ...}`, and audio and video alike; or `{"type": "signal", "signal": "image"}`.
        loaders: for media; None = they stay as they are.

    Raises:
        ValueError: which conversation, message and segment is not as it should be.
    """
    found = _conversations(value)
    if not found:
        raise ValueError("there is no conversation in it")
    return [
        [_message(message, f"conversation {i}, message {k}", loaders or {}) for k, message in enumerate(chat)]
        for i, chat in enumerate(found)
    ]


def read_chat_text(text: str) -> Any:
    """What a text from the command line says: JSON where it is in brackets, `@file` the JSON in a file, else itself.

    Files that a file names are relative to its folder.

    Raises:
        ValueError: it cannot be read.
    """
    if text.startswith("@"):
        file = Path(text[1:])
        try:
            content = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            hint = 'a text that begins with @ is written ["@..."]'
            raise ValueError(f"{file} cannot be read: {error}; {hint}") from error
        return relative_to(_json(content, str(file)), file.parent.absolute())
    bare = text.strip()
    if (bare[:1], bare[-1:]) in (("[", "]"), ("{", "}")):
        return _json(bare, "it")
    return text


def relative_to(value: Any, base: Path) -> Any:
    """The same conversations; files that media name are relative to `base`."""
    if isinstance(value, list | tuple):
        return [relative_to(item, base) for item in value]
    if not isinstance(value, Mapping):
        return value
    if "content" in value:
        return {**value, "content": relative_to(value["content"], base)}
    files = [k for k in (value.get("type"), "path") if k in (*MEDIA, "path") and k in value]
    return {**value, **{k: _below(value[k], base) for k in files}}


def _below(value: Any, base: Path) -> Any:
    """A path below `base`, or a list of them: the frames of a video."""
    if isinstance(value, list):
        return [_below(item, base) for item in value]
    return str(base / value) if isinstance(value, str | Path) else value


def _json(text: str, what: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        hint = '[{"role": "user", "content": "Hello"}]'
        raise ValueError(
            f"{what} is not JSON ({error}); a conversation is a list of messages such as {hint}"
        ) from error


def _conversations(value: Any) -> list[Sequence[Any]]:
    if isinstance(value, str | Mapping):
        return [_conversation(value)]
    if not isinstance(value, list | tuple):
        raise ValueError(
            f"a chat is a text, a list of messages, or a list of conversations, not {_type(value)}"
        )
    if value and all(isinstance(item, Mapping) for item in value):
        return [value]
    mixed = [i for i, item in enumerate(value) if not isinstance(item, str | list | tuple)]
    if mixed:
        hint = "write a conversation as a list of messages"
        raise ValueError(f"conversation {mixed[0]} is {_type(value[mixed[0]])} among others; {hint}")
    found = [_conversation(item) for item in value]
    empty = [i for i, chat in enumerate(found) if not chat]
    if empty:
        raise ValueError(f"conversation {empty[0]} has no messages")
    return found


def _conversation(value: Any) -> Sequence[Any]:
    if isinstance(value, str):
        return [{"role": "user", "content": value}]
    return [value] if isinstance(value, Mapping) else list(value)


def _message(value: Any, place: str, loaders: Loaders) -> Message:
    if not isinstance(value, Mapping):
        raise ValueError(f'{place} is {_type(value)}; it should be {{"role": ..., "content": ...}}')
    _check_keys(value, ("role", "content"), ("role", "content"), place)
    role, content = value["role"], value["content"]
    if role not in ROLES:
        raise ValueError(f"{place} has the role {role!r}; roles are {', '.join(ROLES)}")
    if isinstance(content, str):
        content = [{"type": "text", "text": content}]
    if not isinstance(content, list | tuple):
        raise ValueError(
            f"the content of {place} is {_type(content)}; it should be a text or a list of segments"
        )
    segments = [_segment(item, f"{place}, segment {i}", loaders) for i, item in enumerate(content)]
    return {"role": role, "content": segments}


def _segment(value: Any, place: str, loaders: Loaders) -> Segment:
    if not isinstance(value, Mapping) or not isinstance(value.get("type"), str):
        raise ValueError(
            f'{place} should be {{"type": "text", "text": ...}} or {{"type": "image", "image": ...}}'
        )
    kind = value["type"]
    if kind == "text":
        _check_keys(value, ("type", "text"), ("text",), place)
        if not isinstance(value["text"], str):
            raise ValueError(f"the text of {place} is {_type(value['text'])}")
        return {"type": "text", "text": value["text"]}
    if kind == SIGNAL:
        _check_keys(value, ("type", SIGNAL), (SIGNAL,), place)
        if value[SIGNAL] not in MEDIA:
            raise ValueError(f"{place} is a signal for {value[SIGNAL]!r}; signals are for {', '.join(MEDIA)}")
        return {"type": SIGNAL, SIGNAL: value[SIGNAL]}
    if kind not in MEDIA:
        raise ValueError(f"{place} is of the type {kind!r}; types are text, {', '.join(MEDIA)}, {SIGNAL}")
    key = "path" if "path" in value and kind not in value else kind
    if key not in value and "url" in value:
        raise ValueError(f'{place} names a URL; nothing is downloaded: give a file as "{kind}"')
    _check_keys(value, ("type", key), (key,), place)
    try:
        return {"type": kind, kind: loaders[kind](value[key]) if kind in loaders else value[key]}
    except FileNotFoundError as error:
        raise ValueError(f"{place}: there is no such file: {value[key]}") from error
    except (TypeError, ValueError, OSError, RuntimeError) as error:
        raise ValueError(f"{place}, {kind}: {error}") from error


def _check_keys(value: Mapping[Any, Any], known: Sequence[str], needed: Sequence[str], place: str) -> None:
    missing = [key for key in needed if key not in value]
    if missing:
        raise ValueError(f"{place} has no {missing[0]!r}")
    unknown = [str(key) for key in value if key not in known]
    if unknown:
        raise ValueError(f"{place} has an unknown key {unknown[0]!r}; {did_you_mean(unknown[0], known)}")


def _type(value: Any) -> str:
    return "nothing" if value is None else f"of type {type(value).__name__}"
