"""Folders and tables of captions -> entries: a file, its text, its class and its number; nothing is read yet."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TABLES = (".csv", ".tsv", ".jsonl", ".json")
PICTURES = frozenset((".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"))


@dataclass(frozen=True)
class Entry:
    """A sample: its file, its text or the file that holds it, its class, and the number of its file."""

    file: Path | None
    text: str | Path | None
    label: int
    id: int


def find_files(folder: Path, endings: Iterable[str]) -> list[Path]:
    """Files in a folder and the folders in it, by name.

    Raises:
        NotADirectoryError: there is no such folder.
    """
    if not folder.is_dir():
        raise NotADirectoryError(f"there is no folder {folder}")
    wanted = frozenset(endings)
    return sorted(p for p in folder.rglob("*") if p.suffix.lower() in wanted and p.is_file())


def find_pattern(path: str) -> list[Path]:
    """Files that a path with * and ? in it means, by name."""
    whole = Path(path).absolute()
    return sorted(p for p in Path(whole.anchor).glob(str(whole.relative_to(whole.anchor))) if p.is_file())


def find_table(folder: Path, name: str | None) -> Path | None:
    """The table that is named, or captions.* or metadata.*.

    Raises:
        FileNotFoundError: the one that is named is not there.
    """
    if name is not None:
        if not (folder / name).is_file():
            raise FileNotFoundError(f"there is no table {folder / name}")
        return folder / name
    known = [folder / f"{stem}{ending}" for stem in ("captions", "metadata") for ending in TABLES]
    return next((path for path in known if path.is_file()), None)


def read_table(path: Path) -> list[dict[str, Any]]:
    """Rows of a .csv, .tsv, .jsonl or .json table.

    Raises:
        ValueError: which line is not a row.
    """
    if path.suffix in (".csv", ".tsv"):
        with path.open(encoding="utf-8-sig", newline="") as file:
            return list(csv.DictReader(file, delimiter="\t" if path.suffix == ".tsv" else ","))
    text = path.read_text(encoding="utf-8-sig")
    if path.suffix == ".json":
        found = _parsed(text, str(path))
        if not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
            raise ValueError(f"{path} is not a list of mappings")
        return found
    rows = [_parsed(line, f"{path}, line {n}") for n, line in enumerate(text.splitlines(), 1) if line.strip()]
    if not all(isinstance(row, dict) for row in rows):
        raise ValueError(f"{path}: not every line is a mapping")
    return rows


def captioned(folder: Path, table: Path, image_key: str, text_key: str) -> Iterator[Entry]:
    """Entries of a table; rows of one picture have its id, and "" is what is missing."""
    ids: dict[str, int] = {}
    for number, row in enumerate(read_table(table), 1):
        missing = [key for key in (image_key, text_key) if key not in row]
        if len(missing) == 2 or (missing and number == 1):
            raise ValueError(
                f"{table}, row {number} has no {missing[0]!r}; it has {', '.join(map(str, row))}"
            )
        file, text = row.get(image_key) or None, row.get(text_key) or None
        key = str(file) if file is not None else f"/{number}"
        yield Entry(folder / str(file) if file else None, text, 0, ids.setdefault(key, len(ids)))


def beside(files: Iterable[Path]) -> Iterator[Entry]:
    """Entries of files with the .txt of the same name."""
    for number, file in enumerate(files):
        text = file.with_suffix(".txt")
        yield Entry(file, text if text.is_file() else None, 0, number)


def classes_of(folder: Path, files: Iterable[Path]) -> list[str]:
    """Names of the folders in which files lie, relative to the whole; their place here is the class."""
    return sorted({file.parent.relative_to(folder).as_posix() for file in files} - {"."})


def class_name(name: str) -> str:
    """A folder's name as a text."""
    return name.rpartition("/")[2].replace("_", " ").replace("-", " ")


def text_of(entry: Entry) -> str | None:
    """The text, read now if it is a file."""
    if isinstance(entry.text, Path):
        return entry.text.read_text(encoding="utf-8").strip()
    return entry.text


def _parsed(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{where} is not JSON: {error}") from error


def key_of(row: Mapping[str, Any], key: str, where: str) -> Any:
    """A value of a row.

    Raises:
        ValueError: it has no such key.
    """
    if row.get(key) in (None, ""):
        raise ValueError(f"{where} has no {key!r}; it has {', '.join(map(str, row))}")
    return row[key]
