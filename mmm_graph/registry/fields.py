"""Another library's config.json, read strictly: a field is known, has the one value we compute with, or is refused."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Fields:
    """The fields of one class of theirs.

    Attributes:
        sizes: our field -> (theirs, what a missing one is).
        others: theirs that the caller reads himself -> what a missing one is.
        fixed: theirs -> the only value that we compute with, which is also what a missing one is.
        meaningless: theirs that do not change the result.
    """

    sizes: Mapping[str, tuple[str, Any]]
    others: Mapping[str, Any] = field(default_factory=dict)
    fixed: Mapping[str, Any] = field(default_factory=dict)
    meaningless: Collection[str] = ()

    def read(self, theirs: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """(our sizes, the others).

        Raises:
            ValueError: a field that is not known, or has a value that is not supported.
        """
        known = {name for name, _ in self.sizes.values()} | self.others.keys() | self.fixed.keys()
        for name, value in theirs.items():
            if name in self.fixed and _plain(value) != _plain(self.fixed[name]):
                raise ValueError(f"{name}: {value!r} is not supported; expected {self.fixed[name]!r}")
            if name not in known and name not in self.meaningless and not name.startswith("_"):
                raise ValueError(f"{name}: {value!r} is not supported; known are {', '.join(sorted(known))}")
        sizes = {ours: _plain(theirs.get(name, default)) for ours, (name, default) in self.sizes.items()}
        return sizes, {name: _plain(theirs.get(name, default)) for name, default in self.others.items()}

    def write(self, ours: Any) -> dict[str, Any]:
        """Their fields that are sizes or fixed."""
        return {name: getattr(ours, key) for key, (name, _) in self.sizes.items()} | dict(self.fixed)


def _plain(value: Any) -> Any:
    """JSON has lists where Python has tuples."""
    return tuple(map(_plain, value)) if isinstance(value, list | tuple) else value
