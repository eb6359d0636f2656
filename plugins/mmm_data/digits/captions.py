"""(seed, index, digit) -> a caption such as "a handwritten seven"; plain Python."""

from __future__ import annotations

from hashlib import blake2b

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
TEMPLATES = (
    "{}",
    "the digit {}",
    "the number {}",
    "a handwritten {}",
    "a drawing of a {}",
    "a scan of the digit {}",
)


def caption(digit: int, seed: int, index: int) -> str:
    """One of the 12 captions of a digit (6 templates, word or numeral), by a hash of (seed, index)."""
    choice = int(hash_unit(seed, index, "caption") * 2 * len(TEMPLATES))
    name = WORDS[digit] if choice % 2 == 0 else str(digit)
    return TEMPLATES[choice // 2].format(name)


def all_captions() -> list[str]:
    """Every caption there is; what the tokenizer is made from."""
    return [t.format(n) for t in TEMPLATES for digit in range(10) for n in (WORDS[digit], str(digit))]


def hash_unit(seed: int, index: int, name: str) -> float:
    """A number in [0, 1) that depends on its arguments only: the same on every machine."""
    digest = blake2b(f"{seed}/{index}/{name}".encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> 11) / 2**53
