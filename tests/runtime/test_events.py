"""What goes in and out of a run needs no torch."""

from __future__ import annotations

import subprocess
import sys

from mmm_graph.runtime.events import Event, Request, Result


def test_values() -> None:
    assert Request("a", {}).seeds == (0,) and Result({}).error is None
    assert Event("loop_step", "a", "denoise", 1, 5) == Event("loop_step", "a", "denoise", 1, 5)


def test_events_are_imported_without_torch() -> None:
    modules = "mmm_graph.runtime.events, mmm_graph.plan.repeat, mmm_graph.plan.place"
    code = f"import sys, {modules}; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_package_offers_its_nouns() -> None:
    import mmm_graph.runtime as runtime

    assert runtime.Event is Event and runtime.Engine.__name__ == "Engine"
    assert not hasattr(runtime, "Motor")
