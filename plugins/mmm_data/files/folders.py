"""Folders of pictures, sounds and videos as datasets; a file is read when its sample is asked for."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor
from torch.nn import functional as F

from mmm_data.files import config as c
from mmm_data.files.listing import (
    PICTURES,
    Entry,
    beside,
    captioned,
    class_name,
    classes_of,
    find_files,
    find_table,
    text_of,
)
from mmm_data.files.picture import load_picture, load_video
from mmm_graph.nn.media import read_sound

MOVING = frozenset((".gif", ".webp"))
"""Files of pictures that are videos."""


class ImageText:
    """See ImageTextConfig. Items: image, text, id; image or text is None where it is missing."""

    def __init__(self, config: c.ImageTextConfig) -> None:
        self.config, folder = config, Path(config.path)
        table = find_table(folder, config.captions) if folder.is_dir() else None
        if table is not None:
            self.entries = list(captioned(folder, table, config.image_key, config.text_key))
        else:
            self.entries = list(beside(find_files(folder, PICTURES)))
        if not config.missing:
            alone = [e for e in self.entries if e.file is None or e.text is None]
            if alone:
                what = f"{len(alone)} of {len(self.entries)} samples have no picture or no text, such as"
                said = alone[0].file or repr(alone[0].text)
                raise ValueError(f"{what} {said}; set `missing: true` to use them")

    def __len__(self) -> int:
        return len(self.entries) * (1 + self.config.mirror)

    def __getitem__(self, index: int) -> dict[str, object]:
        entry, mirrored = _nth(self.entries, index, self.config)
        image = None if entry.file is None else _turned(load_picture(entry.file, self.config), mirrored)
        return {"image": image, "text": text_of(entry), "id": entry.id}

    def size(self, index: int, column: str) -> int | None:
        """Characters of a text in a table; -1 = a picture or text is missing. None: the sample must be read."""
        entry, _ = _nth(self.entries, index, self.config)
        if column == "image" and self.config.shape is not None:
            return -1 if entry.file is None else 0
        if column == "text" and not isinstance(entry.text, Path):
            return -1 if entry.text is None else len(entry.text)
        return None


class ImageFolder:
    """See ImageFolderConfig. Items: image, text, label, id."""

    def __init__(self, config: c.ImageFolderConfig) -> None:
        self.config = config
        self.entries, self.names = labelled(Path(config.path), find_files(Path(config.path), PICTURES))

    def __len__(self) -> int:
        return len(self.entries) * (1 + self.config.mirror)

    def __getitem__(self, index: int) -> dict[str, object]:
        entry, mirrored = _nth(self.entries, index, self.config)
        assert entry.file is not None
        text = self.config.template.replace("{}", class_name(self.names[entry.label]))
        image = _turned(load_picture(entry.file, self.config), mirrored)
        return {"image": image, "text": text, "label": entry.label, "id": entry.id}

    def size(self, index: int, column: str) -> int | None:
        """The class, to group by."""
        return _nth(self.entries, index, self.config)[0].label if column == "label" else None


class AudioFolder:
    """See AudioFolderConfig. Items: audio [c,n], text, id, mask (None: made of the lengths), label."""

    def __init__(self, config: c.AudioFolderConfig) -> None:
        self.config, folder = config, Path(config.path)
        self.entries, self.names = described(folder, find_files(folder, [".wav"]), config.labels)

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, index: int) -> dict[str, object]:
        entry = self.entries[index]
        assert entry.file is not None
        row = {"audio": load_sound(entry.file, self.config), **_rest(entry, self.names, self.config.labels)}
        return row if self.config.seconds is not None else {**row, "mask": None}

    def size(self, index: int, column: str) -> int | None:
        """Bytes of the file: longer sounds have more."""
        file = self.entries[index].file
        assert file is not None
        return file.stat().st_size if column == "audio" else None


class VideoFolder:
    """See VideoFolderConfig. Items: video [f,3,h,w], text, id, label."""

    def __init__(self, config: c.VideoFolderConfig) -> None:
        self.config, folder = config, Path(config.path)
        pictures = find_files(folder, PICTURES)
        films = [p for p in pictures if p.suffix.lower() in MOVING]
        self.stills: dict[Path, list[Path]] = {}
        for picture in pictures:
            if picture.suffix.lower() not in MOVING and picture.parent != folder:
                self.stills.setdefault(picture.parent, []).append(picture)
        self.entries, self.names = described(folder, sorted([*films, *self.stills]), config.labels)

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, index: int) -> dict[str, object]:
        entry = self.entries[index]
        assert entry.file is not None
        video = load_video(self.stills.get(entry.file, entry.file), self.config)
        return {"video": video, **_rest(entry, self.names, self.config.labels)}


def load_sound(file: Path, config: c.SoundConfig) -> Tensor:
    """float32 [c,n] in [-1,1], cut or filled up with silence if the config says how long it is.

    Raises:
        ValueError, OSError: it cannot be read, or has another rate.
    """
    sound = read_sound(file, config.rate, config.channels)
    if config.seconds is None:
        return sound
    length = round(config.seconds * config.rate)
    return F.pad(sound[:, :length], (0, max(0, length - sound.shape[1])))


def _nth(entries: list[Entry], index: int, config: c.StillConfig) -> tuple[Entry, bool]:
    """The entry of a sample, and whether the sample is its mirror image: all of those come after all entries."""
    if not 0 <= index < len(entries) * (1 + config.mirror):
        raise IndexError(index)
    return entries[index % len(entries)], index >= len(entries)


def _turned(image: Tensor, mirrored: bool) -> Tensor:
    """c h w, left and right exchanged if it is mirrored."""
    return image.flip(-1) if mirrored else image


def labelled(folder: Path, files: list[Path]) -> tuple[list[Entry], list[str]]:
    """Entries with the class of their folder, and the names of the classes.

    Raises:
        ValueError: a file lies in no class.
    """
    names = classes_of(folder, files)
    numbers = {name: i for i, name in enumerate(names)}
    stray = [file for file in files if file.parent == folder]
    if stray:
        raise ValueError(f"{stray[0]} lies in no folder of a class; expected {folder}/CLASS/{stray[0].name}")
    found = [
        Entry(file, None, numbers[file.parent.relative_to(folder).as_posix()], i)
        for i, file in enumerate(files)
    ]
    return found, names


def described(folder: Path, files: list[Path], labels: bool) -> tuple[list[Entry], list[str]]:
    """Entries with the text beside their file, and classes."""
    texts = [entry.text for entry in beside(files)]
    if labels:
        found, names = labelled(folder, files)
        return [Entry(e.file, t, e.label, e.id) for e, t in zip(found, texts, strict=True)], names
    lost = [file for file, text in zip(files, texts, strict=True) if text is None]
    if lost:
        raise ValueError(
            f"{len(lost)} of {len(files)} files have no .txt beside them, such as {lost[0]}; set `labels: true` to "
            "take the names of their folders"
        )
    return [Entry(file, text, 0, i) for i, (file, text) in enumerate(zip(files, texts, strict=True))], []


def _rest(entry: Entry, names: list[str], labels: bool) -> dict[str, object]:
    """text, id and label."""
    text = text_of(entry)
    text = class_name(names[entry.label]) if text is None else text
    return {"text": text, "id": entry.id, **({"label": entry.label} if labels else {})}
