"""What answers of a conversation are to show: which signals ask for it, and the files that are learnt from."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from mmm_data.files.config import FilmConfig, SoundTarget, StillTarget, TargetsConfig
from mmm_data.files.folders import load_sound
from mmm_data.files.listing import PICTURES, find_files
from mmm_data.files.picture import load_picture, load_video
from mmm_graph.spec.chat import MEDIA, SIGNAL, Conversation, Segment

UNFILLED: Segment = {"type": "image", "image": None}
"""The place of a picture in a text."""
PLACES = re.compile("|".join(f"<{medium}>" for medium in MEDIA))


def wanted_files(row: Mapping[str, Any]) -> dict[str, str]:
    """Medium -> the file under `output_image`, `output_audio`, `output_video`.

    Raises:
        ValueError: several files of one medium.
    """
    found = {}
    for medium in MEDIA:
        files = row.get(f"output_{medium}")
        files = files if isinstance(files, list) else [files] if files is not None else []
        if len(files) > 1:
            raise ValueError(
                f"output_{medium} names {len(files)} files; a conversation has one of each medium"
            )
        if files:
            found[medium] = str(files[0])
    return found


def segments(text: str, wanted: Collection[str], role: str) -> list[Segment]:
    """A text cut at the places of media: in answers those that are wanted are signals, `<image>` elsewhere a picture
    without a file yet."""
    found: list[Segment] = []
    end = 0
    for match in PLACES.finditer(text):
        medium = match.group()[1:-1]
        is_signal = role == "assistant" and medium in wanted
        if not is_signal and medium != "image":
            continue
        place: Segment = {"type": SIGNAL, SIGNAL: medium} if is_signal else dict(UNFILLED)
        found += [{"type": "text", "text": text[end : match.start()]}, place]
        end = match.end()
    found.append({"type": "text", "text": text[end:]})
    if len(found) > 1:
        found = [{**s, "text": s["text"].strip("\n")} if s["type"] == "text" else s for s in found]
    return [segment for segment in found if segment["type"] != "text" or segment["text"]]


def count_signals(chat: Conversation, medium: str) -> int:
    """How often a conversation asks for a medium."""
    return sum(segment.get(SIGNAL) == medium for message in chat for segment in message["content"])


def with_signals(chat: Conversation, wanted: Collection[str]) -> Conversation:
    """The conversation; what it does not ask for yet is asked for at the end of its last answer.

    Raises:
        ValueError: there is no answer.
    """
    missing = [medium for medium in MEDIA if medium in wanted and not count_signals(chat, medium)]
    if not missing:
        return chat
    last = max((i for i, message in enumerate(chat) if message["role"] == "assistant"), default=-1)
    if last < 0:
        raise ValueError(f"it has output_{missing[0]}, and nobody answers")
    content = [*chat[last]["content"], *({"type": SIGNAL, SIGNAL: medium} for medium in missing)]
    return [*chat[:last], {**chat[last], "content": content}, *chat[last + 1 :]]


def target_columns(
    row: Mapping[str, Any], chat: Conversation, folder: Path, config: TargetsConfig
) -> dict[str, object]:
    """Values of the columns image, image_text and so on; None where no answer has the medium.

    Raises:
        ValueError: a file without its signal or several of them, a signal without its file, or no caption.
        OSError: a file cannot be read.
    """
    files, found = wanted_files(row), dict[str, object]()
    for medium in MEDIA:
        how = getattr(config, medium)
        if how is None:
            continue
        asked, file = count_signals(chat, medium), files.get(medium)
        if asked != (file is not None):
            count = int(file is not None)
            raise ValueError(f"{asked} signals for {medium}, and {count} files under output_{medium}")
        found[medium] = None if file is None else _load(folder / file, how)
        if config.captions:
            found[f"{medium}_text"] = None if file is None else _caption(row, medium)
    return found


def _load(file: Path, how: StillTarget | SoundTarget | FilmConfig) -> Tensor:
    """A picture, a sound, or a video: an animated picture or a folder of frames."""
    if isinstance(how, SoundTarget):
        return load_sound(file, how)
    if isinstance(how, StillTarget):
        return load_picture(file, how)
    if not file.is_dir():
        return load_video(file, how)
    frames = find_files(file, PICTURES)
    if not frames:
        raise ValueError(f"there is no picture in {file}")
    return load_video(frames, how)


def _caption(row: Mapping[str, Any], medium: str) -> str:
    keys = (f"{medium}_captions", f"{medium}_caption")
    text = next((row[key] for key in keys if key in row), None)
    text = text[0] if isinstance(text, list) and len(text) == 1 else text
    if not isinstance(text, str):
        raise ValueError(
            f"it has output_{medium}, and no text under {keys[0]}; set `captions: false` to do without"
        )
    return text
