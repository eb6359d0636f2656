"""Conversations in a file -> messages made of segments, as a tokenizer's `chat` takes them; pictures are read then."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor

from mmm_data.files.config import ConversationsConfig
from mmm_data.files.listing import read_table
from mmm_graph.nn.media import image_tensor, open_image
from mmm_graph.spec.chat import MEDIA, Conversation, read_chats

PLACE = "<image>"
ROLES = {"human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant", "system": "system"}


class Conversations:
    """See ConversationsConfig. Items: chat, media (number of pictures), id."""

    def __init__(self, config: ConversationsConfig) -> None:
        self.config, file = config, Path(config.path)
        self.rows = read_table(file)
        self.images = Path(config.images) if config.images is not None else file.parent

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, object]:
        row = self.rows[index]
        files = images_of(row)
        chat = read_chats([messages(row, files)], {"image": self._load})[0]
        return {"chat": chat, "media": count_media(chat), "id": str(row.get("id", index))}

    def size(self, index: int, column: str) -> int | None:
        """Pictures, and characters of the texts."""
        if column == "media":
            return len(images_of(self.rows[index]))
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
    found = row.get("images", row.get("image")) or []
    return [str(f) for f in found] if isinstance(found, list) else [str(found)]


def messages(row: Mapping[str, Any], files: list[str]) -> Conversation:
    """Messages with the pictures where `<image>` stands; those that no place names come before the first question.

    Raises:
        ValueError: an unknown speaker, or more places than pictures.
    """
    turns = _turns(row)
    places = sum(str(turn.get("value", "")).count(PLACE) for turn in turns)
    if places > len(files):
        raise ValueError(f"{places} times {PLACE}, and {len(files)} pictures")
    left = list(files)
    front = [left.pop(0) for _ in range(len(files) - places)]
    found = []
    for turn in turns:
        said = turn.get("from", turn.get("role"))
        if said not in ROLES:
            raise ValueError(f"{said!r} speaks; expected human, gpt or system")
        content = turn.get("value", turn.get("content"))
        if isinstance(content, str):
            pieces = content.split(PLACE)
            before = front if ROLES[said] == "user" else []
            front = [] if before else front
            content = [{"type": "image", "image": file} for file in before]
            for i, piece in enumerate(pieces):
                content += [{"type": "image", "image": left.pop(0)}] if i else []
                text = piece.strip("\n") if len(pieces) > 1 else piece
                content += [{"type": "text", "text": text}] if text else []
        found.append({"role": ROLES[said], "content": content})
    return found


def count_media(chat: Conversation) -> int:
    """Segments that hold media."""
    return sum(segment["type"] in MEDIA for message in chat for segment in message["content"])


def _turns(row: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    turns = row.get("conversations", row.get("messages"))
    if not isinstance(turns, list) or not turns or not all(isinstance(turn, Mapping) for turn in turns):
        raise ValueError("it has no `conversations`, a list of {from, value}")
    return turns
