"""Numbers as people read them."""

from __future__ import annotations


def show_bytes(number: float) -> str:
    """`512 B`, `1.5 MiB`."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if number < 1024 or unit == "GiB":
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1024
    raise AssertionError


def show_flops(number: float) -> str:
    """Multiply-adds x 2: `3.2 MFLOP`."""
    return f"{_with_unit(number)}FLOP"


def show_count(number: float) -> str:
    """`17`, `1.09 M`."""
    return str(int(number)) if number < 1000 else _with_unit(number)


def _with_unit(number: float) -> str:
    for unit in ("", "k", "M", "G", "T"):
        if number < 1000 or unit == "T":
            return f"{number:.3g} {unit}"
        number /= 1000
    raise AssertionError
