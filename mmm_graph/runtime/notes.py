"""What each rank is doing, in a file that all ranks of a machine map into memory; no torch."""

from __future__ import annotations

import mmap
from pathlib import Path
from struct import Struct

SLOT_BYTES = 256
"""Of one rank: how many notes it has written, 8 bytes; then the last one, up to a zero."""
_COUNT = Struct("<Q")
_TEXT = SLOT_BYTES - _COUNT.size - 1


class Notes:
    """The file. A rank writes its own notes, whoever supervises reads them all.

    Raises:
        OSError: the file cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), 0)

    @classmethod
    def create(cls, path: Path, ranks: int) -> Notes:
        """An empty file for so many ranks."""
        path.write_bytes(bytes(ranks * SLOT_BYTES))
        return cls(path)

    def writer(self, rank: int) -> Writer:
        """For one rank."""
        return Writer(self._map, rank * SLOT_BYTES)

    def read(self, rank: int) -> tuple[int, str]:
        """How many notes a rank has written, and the last one. One that is just written may come out mixed."""
        slot = self._map[rank * SLOT_BYTES : (rank + 1) * SLOT_BYTES]
        text = slot[_COUNT.size :].split(b"\0", 1)[0]
        return _COUNT.unpack_from(slot)[0], text.decode(errors="ignore")

    def close(self) -> None:
        self._map.close()


class Writer:
    """Where one rank writes; a note costs about a microsecond."""

    def __init__(self, where: mmap.mmap, offset: int) -> None:
        self._map, self._offset, self._count = where, offset, 0

    def write(self, text: str) -> None:
        """Put a note in place of the last one; a long one is cut."""
        self._count += 1
        data = _COUNT.pack(self._count) + text.encode(errors="replace")[:_TEXT] + b"\0"
        self._map[self._offset : self._offset + len(data)] = data
