"""Seeded damage to a graph file: what people and editors do to YAML, and what an attacker would."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator
from typing import Any

import yaml

DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
"""The one in C, where there is one: it writes the same, ten times as fast."""

VALUES: list[Any] = [
    None, True, False, 0, -1, 3, 10**30, 1e308, -0.5, "", " ", "x", "$in.prompt", "$params.steps", "$params.nope",
    "$carry.x", "a.b.c", "unet.predict", "Image[b,3,h,w]", "Image[b,3", "denoise", "zero\x00byte", "über", [], {},
    [1, 2], [[]], {"a": 1}, {"op": "nothing"}, {"loop": {}}, ["$in.prompt", "$in.prompt"], "9" * 400, {"": ""},
]  # fmt: skip


def mutations(text: str, count: int, seed: int) -> Iterator[str]:
    """`count` damaged versions of a YAML text."""
    rng = random.Random(seed)
    tree = yaml.safe_load(text)
    for _ in range(count):
        if rng.random() < 0.75:
            damaged = copy.deepcopy(tree)
            for _ in range(rng.choice((1, 1, 1, 2, 3))):
                rng.choice(ON_TREE)(damaged, rng)
            yield yaml.dump(damaged, sort_keys=False, Dumper=DUMPER)
        else:
            yield rng.choice(ON_TEXT)(text, rng)


def _spots(tree: Any) -> list[tuple[Any, Any]]:
    """(container, key) of everything in the tree."""
    found: list[tuple[Any, Any]] = []
    keys = list(tree) if isinstance(tree, dict) else list(range(len(tree))) if isinstance(tree, list) else []
    for key in keys:
        found.append((tree, key))
        found += _spots(tree[key])
    return found


def _spot(tree: Any, rng: random.Random) -> tuple[Any, Any]:
    found = _spots(tree)
    return rng.choice(found) if found else (None, None)


def _drop(tree: Any, rng: random.Random) -> None:
    container, key = _spot(tree, rng)
    if container is not None:
        del container[key]


def _rename(tree: Any, rng: random.Random) -> None:
    container, key = _spot(tree, rng)
    if isinstance(container, dict):
        new = rng.choice(
            [f"{key}x", str(key)[:-1], str(key).upper(), "in", "loop", "from", "1a", "a-b", "a.b"]
        )
        container[new] = container.pop(key)


def _retype(tree: Any, rng: random.Random) -> None:
    container, key = _spot(tree, rng)
    if container is not None:
        container[key] = copy.deepcopy(rng.choice(VALUES))


def _transplant(tree: Any, rng: random.Random) -> None:
    container, key = _spot(tree, rng)
    source, name = _spot(tree, rng)
    if container is not None and source is not None:
        container[key] = copy.deepcopy(source[name])


def _add(tree: Any, rng: random.Random) -> None:
    container, _ = _spot(tree, rng)
    if isinstance(container, dict):
        container[rng.choice(["when", "use", "config", "in", "extra", "each", "until", "init"])] = rng.choice(
            VALUES
        )


def _nest(tree: Any, rng: random.Random) -> None:
    container, key = _spot(tree, rng)
    if container is None:
        return
    value = container[key]
    for _ in range(rng.choice((1, 5, 60))):
        value = [value] if rng.random() < 0.5 else {"x": value}
    container[key] = value


def _relink(tree: Any, rng: random.Random) -> None:
    links = [s for s in _spots(tree) if isinstance(s[0][s[1]], str)]
    if len(links) > 1:
        (a, i), (b, j) = rng.sample(links, 2)
        a[i], b[j] = b[j], a[i]


def _inflate(tree: Any, rng: random.Random) -> None:
    container, key = _spot(tree, rng)
    if container is not None:
        container[key] = rng.choice(["x" * 100_000, list(range(5_000)), {f"k{i}": i for i in range(2_000)}])


def _copy_line(text: str, rng: random.Random) -> str:
    lines = text.splitlines()
    at = rng.randrange(len(lines))
    return "\n".join([*lines[:at], lines[at], *lines[at:]])


def _cut(text: str, rng: random.Random) -> str:
    return text[: rng.randrange(len(text))]


def _swap_character(text: str, rng: random.Random) -> str:
    at = rng.randrange(len(text))
    return text[:at] + rng.choice("{}[]:,&*!|>'\"%@`#\t\x00-? \n$é\U0001f600") + text[at + 1 :]


def _indent(text: str, rng: random.Random) -> str:
    lines = text.splitlines()
    at = rng.randrange(len(lines))
    lines[at] = rng.choice([" ", "\t", "    "]) + lines[at]
    return "\n".join(lines)


def _bomb(text: str, rng: random.Random) -> str:
    deep = rng.choice([50, 20_000])
    return text + rng.choice(
        [
            "\nx: " + "[" * deep,
            "\nx: " + "{a: " * deep,
            "\nx: &a [1]\ny: [*a, *a]",
            "\nn: " + "9" * 6_000,
            "\n? " * deep,
        ]
    )


ON_TREE: list[Callable[[Any, random.Random], None]] = [
    _drop, _rename, _retype, _retype, _transplant, _add, _nest, _relink, _relink, _inflate,
]  # fmt: skip
ON_TEXT: list[Callable[[str, random.Random], str]] = [
    _copy_line, _cut, _swap_character, _swap_character, _indent, _bomb,
]  # fmt: skip
