"""Seeds differ with every part of the name, and stay what they are."""

from __future__ import annotations

from mmm_graph.train.seeds import derive_seed


def test_known_values_never_change() -> None:
    """A change here would change every training."""
    assert derive_seed(0, "fit", 1) == derive_seed(0, "fit", 1)
    assert derive_seed("a") == 552439110572495161


def test_parts_do_not_run_together() -> None:
    names = [(1, 2), (12,), ("1", "2"), ("12",), (1, "2"), ("1", 2), ("", "12")]
    assert len({derive_seed(*name) for name in names}) == len(names)
    assert all(0 <= derive_seed(*name) < 2**63 for name in names)
