"""Names -> seeds: what is random in training is keyed by what it is for, not by a generator's past."""

from __future__ import annotations

from hashlib import blake2b


def derive_seed(*parts: str | int) -> int:
    """A 63-bit seed from a path of names and numbers, such as (run seed, stage, step)."""
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in parts)
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big") >> 1
