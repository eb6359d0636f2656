"""Observers: each gets every event; one that fails is reported once, switched off, and disturbs nobody."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mmm_graph.errors import Problem
from mmm_graph.registry import Notifier, load_registry

if TYPE_CHECKING:
    from .conftest import Site

SEEN = """
from mmm_graph.registry import hookimpl
seen = []

@hookimpl
def mmm_run_event(event):
    seen.append(event)
"""
FAILS = SEEN.replace("seen.append(event)", "raise {}")
NO_ARGUMENT = SEEN.replace("(event):", "():").replace("append(event)", "append(1)")


def test_a_failing_observer_is_reported_once_and_the_others_go_on(site: Site) -> None:
    site.install("a_fails", FAILS.format("OSError('disk full')"))
    site.install("b_sees", SEEN)
    site.install("c_exits", FAILS.format("SystemExit(3)"))
    site.install("d_counts", NO_ARGUMENT)
    registry, warnings = load_registry(points=site.points()), list[Problem]()
    notify = Notifier(registry, warnings.append)
    for event in ("one", "two", "three"):
        notify("mmm_run_event", event)
        notify("mmm_train_event", event)
    import b_sees.plugin
    import d_counts.plugin

    assert b_sees.plugin.seen == ["one", "two", "three"]
    assert d_counts.plugin.seen == [1, 1, 1]
    assert [w.severity for w in warnings] == ["warning", "warning"]
    assert "mmm_run_event of plugin a_fails failed and is now off: OSError: disk full" in str(warnings[0])
    assert notify.failed == {("a_fails", "mmm_run_event"), ("c_exits", "mmm_run_event")}


def test_ctrl_c_in_an_observer_ends_the_run(site: Site) -> None:
    site.install("stops", FAILS.format("KeyboardInterrupt"))
    notify = Notifier(load_registry(points=site.points()), print)
    with pytest.raises(KeyboardInterrupt):
        notify("mmm_run_event", None)


def test_an_observer_beside_those_of_plugins(site: Site) -> None:
    own, registry = list[object](), load_registry(points=site.points())
    assert Notifier(registry, print).beside("mmm_run_event", own.append) == own.append
    site.install("e_sees", SEEN)
    notify = Notifier(load_registry(points=site.points()), print)
    for observer in (own.append, None):
        tell = notify.beside("mmm_run_event", observer)
        assert tell is not None
        tell("one")
    import e_sees.plugin

    assert (own, e_sees.plugin.seen) == (["one"], ["one", "one"])
    assert notify.beside("mmm_train_event", None) is None
