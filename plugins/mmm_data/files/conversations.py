"""Conversations in a file -> messages made of segments, as a tokenizer's `chat` takes them; pictures are read then."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor

from mmm_data.files.config import ConversationsConfig
from mmm_data.files.listing import read_table
from mmm_data.files.targets import UNFILLED, segments, target_columns, wanted_files, with_signals
from mmm_graph.nn.media import image_tensor, open_image
from mmm_graph.spec.chat import MEDIA, Conversation, Message, read_chats

PLACE = "<image>"
ROLES = {"human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant", "system": "system"}


class Conversations:
    """See ConversationsConfig. Items: chat, media (number of pictures), id, and what `targets` says."""

    def __init__(self, config: ConversationsConfig) -> None:
        self.config, file = config, Path(config.path)
        self.rows = read_table(file)
        self.images = Path(config.images) if config.images is not None else file.parent

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, object]:
        row = self.rows[index]
        wanted = wanted_files(row)
        chat = read_chats([messages(row, images_of(row), wanted)], {"image": self._load})[0]
        chat = with_signals(chat, wanted)
        targets = target_columns(row, chat, self.images, self.config.targets)
        return {"chat": chat, "media": count_media(chat), "id": str(row.get("id", index)), **targets}

    def size(self, index: int, column: str) -> int | None:
        """Pictures, and characters of the texts; of what answers show, -1 where there is none."""
        if column == "media":
            return len(images_of(self.rows[index]))
        if column in MEDIA:
            return 0 if column in wanted_files(self.rows[index]) else -1
        turns = _turns(self.rows[index])
        return (
            sum(len(str(t.get("value", t.get("content", "")))) for t in turns) if column == "chat" else None
        )

    def _load(self, file: Any) -> Tensor:
        image = open_image(self.images / str(file), 3)
        most = self.config.image_size
        if most is not None and max(image.size) > most:
            scale = most / max(image.size)
            size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
            image = image.resize(size, Image.Resampling.BICUBIC)
        return image_tensor(image, 3)


def images_of(row: Mapping[str, Any]) -> list[str]:
    """Files of the pictures, in order."""
    found = row.get("images", row.get("image", row.get("input_image"))) or []
    return [str(f) for f in found] if isinstance(found, list) else [str(found)]


def messages(row: Mapping[str, Any], files: list[str], wanted: Collection[str] = ()) -> Conversation:
    """Messages with the pictures where `<image>` stands; those that no place names come before the first question.

    Args:
        wanted: media that answers show. Their places in answers, `<image>`, `<audio>` and `<video>`, are signals.

    Raises:
        ValueError: an unknown speaker, or more places than pictures.
    """
    found = [_message(turn, wanted) for turn in _turns(row)]
    said = [m["content"] for m in found if isinstance(m["content"], list)]
    places = [segment for content in said for segment in content if segment == UNFILLED]
    if len(places) > len(files):
        raise ValueError(f"{len(places)} times {PLACE}, and {len(files)} pictures")
    front, rest = files[: len(files) - len(places)], files[len(files) - len(places) :]
    for place, file in zip(places, rest, strict=True):
        place["image"] = file
    for turn, message in zip(_turns(row), found, strict=True):
        if message["role"] == "user" and isinstance(turn.get("value", turn.get("content")), str):
            message["content"] = [*({"type": "image", "image": file} for file in front), *message["content"]]
            break
    return found


def _message(turn: Mapping[str, Any], wanted: Collection[str]) -> Message:
    said = turn.get("from", turn.get("role"))
    if said not in ROLES:
        raise ValueError(f"{said!r} speaks; expected human, gpt or system")
    content = turn.get("value", turn.get("content"))
    if isinstance(content, str):
        content = segments(content, wanted, ROLES[said])
    elif isinstance(content, list):
        content = [dict(segment) if isinstance(segment, Mapping) else segment for segment in content]
    return {"role": ROLES[said], "content": content}


def count_media(chat: Conversation) -> int:
    """Segments that hold media."""
    return sum(segment["type"] in MEDIA for message in chat for segment in message["content"])


def _turns(row: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    turns = row.get("conversations", row.get("messages"))
    if not isinstance(turns, list) or not turns or not all(isinstance(turn, Mapping) for turn in turns):
        raise ValueError("it has no `conversations`, a list of {from, value}")
    return turns
