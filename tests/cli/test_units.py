"""Numbers as people read them."""

from __future__ import annotations

from mmm_graph.cli.units import show_bytes, show_count, show_flops


def test_each_number_has_the_unit_that_fits() -> None:
    assert [show_bytes(n) for n in (512, 1536, 3 << 20, 5 << 40)] == [
        "512 B",
        "1.5 KiB",
        "3.0 MiB",
        "5120.0 GiB",
    ]
    assert [show_flops(n) for n in (12, 3.2e6, 7e15)] == ["12 FLOP", "3.2 MFLOP", "7e+03 TFLOP"]
    assert [show_count(n) for n in (17, 1_086_641, 7e9)] == ["17", "1.09 M", "7 G"]
