"""Tar files as a dataset with random access: an index of names and places, made once when it is opened."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from mmm_data.files.config import ShardsConfig
from mmm_data.files.listing import find_pattern
from mmm_data.files.node import PICTURES
from mmm_data.files.picture import load_picture


class Member(NamedTuple):
    """Where a file lies: number of the shard, first byte, length."""

    shard: int
    offset: int
    size: int


class Shards:
    """See ShardsConfig. Items: the columns of the config. A sample is there if it has a file for each of them."""

    def __init__(self, config: ShardsConfig) -> None:
        self.config = config
        self.shards = find_pattern(config.path)
        if not self.shards:
            raise FileNotFoundError(f"no file fits {config.path}")
        found: dict[str, dict[str, Member]] = {}
        for number, shard in enumerate(self.shards):
            for key, ending, member in _members(number, shard):
                found.setdefault(key, {})[ending] = member
        self.samples = [files for files in found.values() if self._is_whole(files)]
        if found and not self.samples:
            has = ", ".join(sorted(next(iter(found.values()))))
            raise ValueError(
                f"no sample of {len(found)} has files for {dict(config.columns)}; the first has {has}"
            )

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> dict[str, object]:
        files = self.samples[index]
        return {name: self._read(files, endings) for name, endings in self.config.columns.items()}

    def _is_whole(self, files: Mapping[str, Member]) -> bool:
        return all(_chosen(files, endings) is not None for endings in self.config.columns.values())

    def _read(self, files: dict[str, Member], endings: str) -> object:
        ending, _, key = (_chosen(files, endings) or "").partition(":")
        content = self._bytes(files[ending])
        if ending in PICTURES:
            return load_picture(io.BytesIO(content), self.config)
        text = content.decode("utf-8").strip()
        if ending == "cls":
            return int(text)
        return str(json.loads(text)[key]) if key else text

    def _bytes(self, member: Member) -> bytes:
        with self.shards[member.shard].open("rb") as file:
            file.seek(member.offset)
            content = file.read(member.size)
        if len(content) < member.size:
            raise ValueError(f"{self.shards[member.shard]} is cut off")
        return content


def _chosen(files: Mapping[str, Member], endings: str) -> str | None:
    """The first of the endings for which there is a file."""
    return next((e for e in endings.split(";") if e.partition(":")[0] in files), None)


def _members(number: int, shard: Path) -> Iterator[tuple[str, str, Member]]:
    """(sample, ending, place) of each file; the name ends at the first dot of the file's own name."""
    try:
        with tarfile.open(shard, "r:") as tar:
            for item in tar:
                if item.isfile():
                    folder, slash, name = item.name.rpartition("/")
                    stem, _, ending = name.partition(".")
                    place = Member(number, item.offset_data, item.size)
                    yield f"{shard.name}:{folder}{slash}{stem}", ending.lower(), place
    except tarfile.TarError as error:
        raise ValueError(f"{shard} is no tar file without compression: {error}") from error
