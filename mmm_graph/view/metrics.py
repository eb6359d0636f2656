"""Sizes of text and things in px, for fonts that are not there to be measured: estimates on the wide side."""

from __future__ import annotations

TITLE, BODY, SMALL = 13.0, 10.5, 9.0
"""Font sizes."""

PAD = 14.0
"""Between a frame and what is inside it."""

NARROW, WIDE = "iIjltf.,:;'|!()[]{} /", "mwMW@%→—×"


def text_width(text: str, size: float) -> float:
    """Width in px of a line of sans-serif text; never less than in the common fonts."""
    return size * sum(
        0.36 if c in NARROW else 0.92 if c in WIDE else 0.68 if c.isupper() else 0.59 for c in text
    )


def shorten(text: str, limit: int) -> str:
    """At most `limit` characters, the last being an ellipsis if something is left out."""
    return text if len(text) <= limit else text[: max(limit - 1, 0)] + "…"
