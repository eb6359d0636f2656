"""How another library names and cuts the weights of a model, and words its config: tables, read in both directions."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any


@dataclass(frozen=True)
class Cut:
    """One of `count` equal pieces of a tensor of theirs along its first axis, such as q of a fused qkv.

    Attributes:
        index: of the piece; several are taken one after the other: (1, 0) of 2 are the halves in the other order.
        transposed: theirs is a matrix whose axes are the other way round; it is turned first, then cut.
    """

    name: str
    index: int | tuple[int, ...]
    count: int
    transposed: bool = False


def turned(name: str) -> Cut:
    """A whole matrix of theirs whose axes are the other way round: they multiply with it from the right."""
    return Cut(name, 0, 1, transposed=True)


Rows = Mapping[str, str | Cut]


@dataclass(frozen=True)
class Theirs:
    """Where one weight of ours stands in their file.

    Attributes:
        names: of their tensor, and of its copies if they keep several; all are equal.
        pieces, count: which of so many equal pieces of it are ours, along our first axis, in our order.
        transposed: the axes of a matrix are the other way round.
    """

    names: tuple[str, ...]
    pieces: tuple[int, ...] = (0,)
    count: int = 1
    transposed: bool = False

    def whole(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Shape of their tensor, from that of ours."""
        whole = shape if self.count == 1 else (shape[0] * self.count // len(self.pieces), *shape[1:])
        return whole[::-1] if self.transposed else whole

    def of(self, value: Any) -> Any:
        """What is ours of a tensor of theirs; a view of it where that is possible."""
        value = value.T if self.transposed else value
        if self.count > 1 and len(self.pieces) == 1:
            value = value.chunk(self.count)[self.pieces[0]]
        elif self.count > 1:
            value = value.unflatten(0, (self.count, -1))[list(self.pieces)].flatten(0, 1)
        return value

    def parts(self, value: Any) -> dict[int, Any]:
        """A tensor of ours -> pieces of theirs, by index; put together along the first axis they are to be turned."""
        if self.count == 1:
            return {0: value}
        return dict(zip(self.pieces, value.chunk(len(self.pieces)), strict=True))


@dataclass(frozen=True)
class Layout:
    """One layout of a family.

    Attributes:
        name: such as "diffusers".
        rows: prefix of our names -> prefix of theirs, or a Cut of it. `{i}` stands for the same number on both sides;
            `{*}` of theirs for every number below `copies`: they keep copies of one tensor. What follows the prefix is
            `.weight`, `.bias` or nothing. The first row that fits counts. Trailing axes of length 1 may differ
            (a 1x1 convolution is a linear layer), and axes after the first may be flattened (so may a patch's). A
            function of our config, where their numbers depend on it.
        classes: class names that their config.json gives this family.
        read_config: what stands in their config.json -> our config.
        write_config: our config -> what stands in their config.json.
        ignored: their names, with `{i}`, that hold nothing to be read (positions that are computed); `NAME.*` is all
            below a prefix: another model that stands in the same file.
        copies: our config -> how many copies `{*}` means.
        shapes: our config -> shape of each tensor of theirs, by name, that is not ours; for writing.
        file: name of the weights' file in their folder.
        holders: classes that hold this model beside others, and in whose config.json the same is said of it.
        grows: our config -> our tables of tokens, and how many of their last rows a file may lack; these are drawn.
    """

    name: str
    rows: Rows | Callable[[Any], Rows]
    classes: tuple[str, ...] = ()
    read_config: Callable[[Mapping[str, Any]], Mapping[str, Any]] | None = None
    write_config: Callable[[Any], Mapping[str, Any]] | None = None
    ignored: tuple[str, ...] = ()
    copies: Callable[[Any], int] | None = None
    shapes: Callable[[Any], Mapping[str, tuple[int, ...]]] | None = None
    file: str = "diffusion_pytorch_model.safetensors"
    holders: tuple[str, ...] = ()
    grows: Callable[[Any], Mapping[str, int]] | None = None

    def theirs(self, names: Iterable[str], config: Any = None) -> dict[str, Theirs]:
        """Where each of our weights stands; names without a row are left out."""
        copies = self.copies(config) if self.copies is not None else 1
        rows = self.rows(config) if callable(self.rows) else self.rows
        patterns = [(_pattern(ours), row) for ours, row in rows.items()]
        found: dict[str, Theirs] = {}
        for name in names:
            for pattern, row in patterns:
                match = pattern.fullmatch(name)
                if match:
                    found[name] = _place(row, match.groupdict(), copies)
                    break
        return found

    def ignores(self, name: str) -> bool:
        """Whether a name of theirs holds nothing that is to be read."""
        return name.startswith(self._below) or any(pattern.fullmatch(name) for pattern in self._ignored)

    @cached_property
    def _ignored(self) -> tuple[re.Pattern[str], ...]:
        return tuple(_pattern(name) for name in self.ignored if not name.endswith(".*"))

    @cached_property
    def _below(self) -> tuple[str, ...]:
        return tuple(name[:-1] for name in self.ignored if name.endswith(".*"))


def below(ours: str, theirs: str, table: Rows) -> dict[str, str | Cut]:
    """The rows of a table under a prefix on either side; an empty one adds nothing."""

    def under(prefix: str, name: str) -> str:
        return f"{prefix}.{name}" if prefix else name

    return {
        under(ours, a): replace(b, name=under(theirs, b.name)) if isinstance(b, Cut) else under(theirs, b)
        for a, b in table.items()
    }


@lru_cache(maxsize=4096)
def _pattern(prefix: str) -> re.Pattern[str]:
    numbered = re.sub(r"\\\{(\w)\\\}", r"(?P<\1>\\d+)", re.escape(prefix))
    return re.compile(numbered + r"(?P<end>\.weight|\.bias|)")


def _place(row: str | Cut, numbers: Mapping[str, str], copies: int) -> Theirs:
    cut = row if isinstance(row, Cut) else Cut(row, 0, 1)
    text, end = cut.name, numbers["end"]
    each = [text.replace("{*}", str(k)) for k in range(copies)] if "{*}" in text else [text]
    names = tuple(name.format(**numbers) + end for name in each)
    pieces = cut.index if isinstance(cut.index, tuple) else (cut.index,)
    return Theirs(names, pieces, cut.count, cut.transposed)
