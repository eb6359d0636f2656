"""Triplets: which pictures belong together is said by their folders or by ids in a table."""

from __future__ import annotations

from pathlib import Path

from mmm_data.digits.captions import hash_unit
from mmm_data.files.config import TripletsConfig
from mmm_data.files.folders import labelled
from mmm_data.files.listing import PICTURES, find_files, find_table, key_of, read_table
from mmm_data.files.picture import load_picture


class Triplets:
    """See TripletsConfig. Items: one for each picture that has another of its class; the choice is by epoch."""

    def __init__(self, config: TripletsConfig) -> None:
        self.config = config
        pairs = _by_table(config) if config.table is not None else _by_folder(Path(config.path))
        self.classes: dict[int, list[Path]] = {}
        for file, label in pairs:
            self.classes.setdefault(label, []).append(file)
        self.anchors = [
            (label, i) for label, files in self.classes.items() if len(files) > 1 for i in range(len(files))
        ]
        self.files = [(file, label) for label, files in self.classes.items() for file in files]
        if pairs and (len(self.classes) < 2 or not self.anchors):
            found = f"found {len(self.files)} pictures in {len(self.classes)} classes"
            raise ValueError(f"triplets need two classes, one of them with two pictures; {found}")

    def __len__(self) -> int:
        return len(self.anchors)

    def __getitem__(self, index: int) -> dict[str, object]:
        return self.draw(index, 0)

    def draw(self, index: int, epoch: int) -> dict[str, object]:
        """The anchor with the positive and negative of that epoch."""
        label, place = self.anchors[index]
        own = self.classes[label]
        other = int(self._unit(index, epoch, "positive") * (len(own) - 1))
        positive = own[other + (other >= place)]
        negative, negative_label = self._negative(label, index, epoch)
        read = {"anchor": own[place], "positive": positive, "negative": negative}
        images = {name: load_picture(file, self.config) for name, file in read.items()}
        return {**images, "label": label, "negative_label": negative_label}

    def _negative(self, label: int, index: int, epoch: int) -> tuple[Path, int]:
        """Any picture of another class, each alike: those of this class stand in one piece and are left out."""
        first = sum(len(files) for other, files in self._before(label))
        rest = len(self.files) - len(self.classes[label])
        place = int(self._unit(index, epoch, "negative") * rest)
        return self.files[place + (len(self.classes[label]) if place >= first else 0)]

    def _before(self, label: int) -> list[tuple[int, list[Path]]]:
        order = list(self.classes.items())
        return order[: [other for other, _ in order].index(label)]

    def _unit(self, index: int, epoch: int, name: str) -> float:
        return hash_unit(self.config.seed, index, f"{name} {epoch}")


def _by_folder(folder: Path) -> list[tuple[Path, int]]:
    entries, _ = labelled(folder, find_files(folder, PICTURES))
    return [(entry.file, entry.label) for entry in entries if entry.file is not None]


def _by_table(config: TripletsConfig) -> list[tuple[Path, int]]:
    folder = Path(config.path)
    table = find_table(folder, config.table)
    assert table is not None
    numbers: dict[str, int] = {}
    found = []
    for number, row in enumerate(read_table(table), 1):
        where = f"{table}, row {number}"
        label = numbers.setdefault(str(key_of(row, config.id_key, where)), len(numbers))
        found.append((folder / str(key_of(row, config.image_key, where)), label))
    return found
