"""What stands where on a canvas -> a caption such as "a five at the top left and a two at the bottom right"."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from mmm_data.digits.captions import TEMPLATES, WORDS, all_captions

PLACES = (
    ("top left", "upper left"),
    ("top right", "upper right"),
    ("bottom left", "lower left"),
    ("bottom right", "lower right"),
)
"""Names of the four places, row by row."""
FORMS = ("a {n} at the {p}", "a {n} in the {p}", "{n} {p}", "{p} {n}")
JOINTS = (" and ", ", ")


def number(digit: int, unit: float) -> str:
    """A digit as a word or a numeral.

    Args:
        unit: a number in [0, 1), which chooses.
    """
    return (WORDS[digit], str(digit))[int(2 * unit)]


def describe(digits: Mapping[int, int], units: Sequence[float]) -> str:
    """A caption that says what stands where.

    Args:
        digits: by place, 0 to 3.
        units: four numbers in [0, 1): of the form, the joint, the names of places, and words or numerals.
    """
    form = FORMS[int(units[0] * len(FORMS))]
    names = int(2 * units[2])
    said = [form.format(n=number(digit, units[3]), p=PLACES[place][names]) for place, digit in digits.items()]
    return JOINTS[int(units[1] * len(JOINTS))].join(said)


def name(digit: int, units: Sequence[float]) -> str:
    """A caption of a digit that is alone, in a template of data.digits."""
    return TEMPLATES[int(units[0] * len(TEMPLATES))].format(number(digit, units[3]))


def caption_texts() -> Iterator[str]:
    """Texts that hold every word of the captions."""
    yield from all_captions()
    for form in FORMS:
        yield from (form.format(n="0", p=p) for names in PLACES for p in names)
    yield from JOINTS
