"""What stands where on a canvas -> a question about it, such as "what is the sum of the digits?", and its answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product

from mmm_data.canvas.captions import PLACES, number
from mmm_data.canvas.config import CELLS, Kind
from mmm_data.digits.config import Split

PHRASINGS: Mapping[Kind, Mapping[Split, Sequence[str]]] = {
    "place": {
        "train": (
            "which digit is at the {p}?", "which digit is in the {p}?", "what is at the {p}?", "what digit is {p}?",
            "name the digit at the {p}", "name the {p} digit", "what is the {p} digit?",
        ),
        "test": (
            "what digit is at the {p}?", "name the digit in the {p}", "which digit is {p}?", "which is the {p} digit?",
        ),
    },
    "count": {
        "train": (
            "how many digits are there?", "how many digits do you see in the image?", "how many are in the image?",
            "count the digits", "count all digits in the image", "what is the number of digits?",
        ),
        "test": (
            "how many digits are in the image?", "how many digits do you see?", "count the digits in the image",
            "what is the number of digits in the image?",
        ),
    },
    "sum": {
        "train": (
            "what is the sum?", "what is the sum of the digits?", "name the sum of all the digits", "add the digits",
            "add up all the digits in the image", "what do the digits add up to?",
        ),
        "test": (
            "what is the sum of all the digits?", "add up the digits", "name the sum of the digits",
            "what do all the digits in the image add up to?",
        ),
    },
    "exists": {
        "train": (
            "is there a {n}?", "is there a {n} in the image?", "do you see a {n}?", "do you see the digit {n}?",
            "is a {n} in the image?", "is the digit {n} there?",
        ),
        "test": (
            "do you see a {n} in the image?", "is there the digit {n}?", "is a {n} there?",
            "is the digit {n} in the image?",
        ),
    },
}  # fmt: skip
OCCUPIED, PRESENT = 0.8, 0.5
"""Shares of questions for a place where a digit is, and for a digit that is there."""
NONE = "none"


def ask(kind: Kind, phrasing: Split, digits: Mapping[int, int], units: Sequence[float]) -> tuple[str, str]:
    """A question and its answer: a numeral, yes, no, or none.

    Args:
        digits: by place, 0 to 3.
        units: five numbers in [0, 1): of the phrasing, of what is asked for (is it there, which of those), of the name
            of a place, and of word or numeral.
    """
    forms = PHRASINGS[kind][phrasing]
    form = forms[int(units[0] * len(forms))]
    if kind == "place":
        place = _pick(digits, range(CELLS), OCCUPIED, units)
        return form.format(p=PLACES[place][int(2 * units[3])]), str(digits.get(place, NONE))
    if kind == "exists":
        digit = _pick(set(digits.values()), range(10), PRESENT, units)
        return form.format(n=number(digit, units[4])), "yes" if digit in digits.values() else "no"
    return form, str(len(digits) if kind == "count" else sum(digits.values()))


def _pick(there: Mapping[int, int] | set[int], all_: range, share: float, units: Sequence[float]) -> int:
    """One of those that are there, with probability `share`, or else one of the others, if there are any."""
    absent = [one for one in all_ if one not in there]
    among = sorted(there) if units[1] < share or not absent else absent
    return among[int(units[2] * len(among))]


def question_texts() -> Iterator[str]:
    """Texts that hold every word of questions and answers."""
    names = [p for places in PLACES for p in places]
    for by_split in PHRASINGS.values():
        yield from (
            form.format(p=p, n="0") for form, p in product((*by_split["train"], *by_split["test"]), names)
        )
    yield from (*map(str, range(9 * CELLS + 1)), "yes", "no", NONE)
