"""Any legal plan of a graph, without processes: messages, dead-locks, lifetimes, staleness, pieces, and the numbers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings

from mmm_graph.graph.graph import Call
from mmm_graph.plan.ops import ALL, At, Move, Task, Value
from mmm_graph.plan.rows import model_type
from mmm_graph.plan.steady import Steady
from tests.plan.cases import Case, assert_same, cases
from tests.plan.helpers import check_blocking, check_lifetimes, check_messages
from tests.plan.toys import UNIT

FEW, MANY = 3, 400
FIXED = [
    Case(),
    Case(groups=(0, 1, 0), patches=3, warmup=0, joint=True, units=7),
    Case(sizes=(("cfg", 2),), patches=4, warmup=2, steps=(5, 2), in_flight=1),
    Case(sizes=(("ulysses", 2), ("patch", 2)), units=11, joint=True, swap=True),
    Case(
        sizes=(("data", 2), ("tensor", 2)), patches=1, microbatches=2, groups=(0,), steps=(3, 1, 2), window=3
    ),
    Case(sizes=(("cfg", 2),), groups=(0, 1, 2), warm="rows", warmup=2, joint=True, patches=3, units=7),
    Case(sizes=(("ring", 2),), patches=3, pointwise=False, vae=2, warmup="all", microbatches=2, units=6),
]


def tasks(case: Case) -> list[Task]:
    return [t for t in case.sequence if isinstance(t, Task)]


def evaluations(case: Case) -> Iterator[tuple[Task, At, int]]:
    """(task, place, rank) of every Run of the pipelined model."""
    for task in tasks(case):
        node = case.blocks[task.at[0].request].flow.sites[task.at[0].node].node
        if task.fn[0] == "slice" and isinstance(node, Call) and node.model == "net":
            for at, rank in zip(task.at, task.ranks, strict=True):
                yield task, at, rank


def check_programs(case: Case) -> None:
    """Each receive has its send, in one order; no dead-lock when sends block; nothing leaks."""
    found = case.programs
    check_messages(found)
    check_blocking(found)
    for program in found.values():
        check_lifetimes(program, set(case.start))


def check_order(case: Case) -> None:
    """What a task reads was made or moved before: the order has no cycle. What it chains to was before it."""
    there: set[tuple[Value, int]] = {(v, r) for v in case.start for r in range(case.plan.ranks)}
    done: set[Any] = set()
    for item in case.sequence:
        if isinstance(item, Move):
            assert (item.value, item.source) in there
            there.add((item.value, item.to))
        elif isinstance(item, Task):
            assert set(item.after) <= done
            done.add(item.id)
            for rank, reads, writes in zip(item.ranks, item.reads, item.writes, strict=True):
                assert all((v, rank) in there for _, v in reads)
                there.update((v, rank) for _, v in writes)


def check_late(case: Case) -> None:
    """A late message says what a value is; those of later turns are declared once it was one that stays alike."""
    seen: set[Any] = set()
    steady = {r: Steady(b) for r, b in case.blocks.items()}
    for move in (m for m in case.sequence if isinstance(m, Move)):
        edge = (move.source, move.to, move.value._replace(step=()))
        alike = steady[move.value.request](move.value)
        assert move.late == (edge not in seen or not alike)
        seen = seen | {edge} if alike else seen - {edge}


def check_versions(case: Case) -> None:
    """At (t, p) a buffer has patches before p of evaluation t, and the others of t - 1, on every stage and member."""
    versions: dict[Any, dict[int, int]] = defaultdict(dict)
    for task, at, rank in evaluations(case):
        sync = case.warmup == "all" or at.step[-1] < int(case.warmup)
        assert at.sync == sync
        own = task.fn if case.warm == "streams" else "all of the model, in the warm-up"
        held = versions[(at.request, at.node, own, at.share, rank)]
        t, p = at.step[-1], at.patch
        if case.patches == 1 or sync:
            assert p == ALL and all(v == t - 1 for v in held.values())
            held.update(dict.fromkeys(range(case.patches), t))
            continue
        assert all(held.get(q, -1) == t for q in range(p)), "patches before p are fresh"
        assert all(held.get(q, -1) == t - 1 for q in range(p, case.patches)), (
            "the others are one evaluation old"
        )
        held[p] = t
    for (request, *_), held in versions.items():
        assert set(held.values()) == {case.steps[int(request)] - 1}


def check_spans(case: Case) -> None:
    """Members' rows partition their patch, patches partition the image, at multiples of the unit."""
    whole: dict[Any, dict[int, tuple[int, int]]] = defaultdict(dict)
    for task, at, _ in evaluations(case):
        if not at.spans:
            assert case.patches == 1 or at.sync or at.patch == ALL
            continue
        assert 0 <= at.member < len(at.spans) and at.total == case.units * UNIT
        assert all(a[1] == b[0] for a, b in pairwise(at.spans)), "in order, without gaps"
        assert all(a < b and a % UNIT == b % UNIT == 0 for a, b in at.spans), "none is empty"
        key = (at.request, at.node, task.fn, at.step, at.share)
        whole[key][at.patch] = at.spans[0][0], at.spans[-1][1]
    for found in whole.values():
        ordered = [found[p] for p in sorted(found)]
        assert ordered[0][0] == 0 and ordered[-1][1] == case.units * UNIT
        assert all(a[1] == b[0] for a, b in pairwise(ordered))


def check_members(case: Case) -> None:
    """Together the members of a team have every share of the batch and every piece of the rows."""
    for task in tasks(case):
        assert len(set(task.ranks)) == len(task.ranks)
        if task.fn[0] in ("slice", "op"):
            pieces = {(at.share, at.member) for at in task.at}
            shares = {share for share, _ in pieces}
            members = max(1, len(task.at[0].spans))
            assert pieces == {(s, m) for s in shares for m in range(members)}


def check_in_flight(case: Case) -> None:
    """At most so many requests have begun and not ended."""
    if case.in_flight is None or case.plan.ranks == 1:
        return
    requests = [t.at[0].request for t in tasks(case)]
    first = {r: requests.index(r) for r in set(requests)}
    last = {r: len(requests) - 1 - requests[::-1].index(r) for r in set(requests)}
    for i in range(len(requests)):
        assert sum(first[r] <= i <= last[r] for r in first) <= case.in_flight


def check_forgotten(case: Case) -> None:
    """What a loop keeps is forgotten on each of its ranks, after its last evaluation there."""
    last: dict[Any, int] = {}
    forgotten: dict[Any, int] = {}
    for i, task in enumerate(tasks(case)):
        for rank, at in zip(task.ranks, task.at, strict=True):
            if task.fn[0] == "forget":
                forgotten[(at.request, at.node, rank)] = i
            elif task.fn[0] == "slice" and at.node.startswith("denoise/"):
                last[(at.request, "denoise", rank)] = i
    if not case.plan.is_plain:
        assert forgotten.keys() == last.keys() and all(forgotten[k] > last[k] for k in last)


def check_numbers(case: Case) -> None:
    """The outputs are those of one rank that takes everything whole."""
    assert_same(case.values(), case.expected())


CHECKS: Iterable[Callable[[Case], None]] = (
    check_programs, check_order, check_late, check_versions, check_spans, check_members, check_in_flight,
    check_forgotten, check_numbers,
)  # fmt: skip


def check_all(case: Case) -> None:
    for check in CHECKS:
        check(case)


def work(case: Case) -> set[Any]:
    """What is computed, whoever does it: parts, and ops, with the place each has."""
    found = set()
    for task in tasks(case):
        at = task.at[0]
        if task.fn[0] not in ("slice", "op"):
            continue
        places = frozenset(a._replace(request="") for a in task.at)
        names: tuple[str, ...] = ("",)
        if task.fn[0] == "slice":
            blocks = case.blocks[at.request]
            node = blocks.graph.node(at.node)
            assert isinstance(node, Call)
            path = model_type(blocks.graph, blocks.registry, node.model).methods[node.method].path
            assert path is not None
            names = tuple(path(blocks.graph.models[node.model].config, node.config))[task.fn[2] : task.fn[3]]  # type: ignore[misc]
        new = {(at.request, at.node, name, places) for name in names}
        assert not new & found, "nothing is computed twice"
        found |= new
    return found


@pytest.mark.parametrize("case", FIXED, ids=range(len(FIXED)))
def test_chosen_plans(case: Case) -> None:
    check_all(case)


@settings(max_examples=FEW)
@given(cases())
def test_any_plan(case: Case) -> None:
    check_all(case)


@pytest.mark.slow
@settings(max_examples=MANY)
@given(cases())
def test_many_plans(case: Case) -> None:
    check_all(case)


@pytest.mark.parametrize("case", FIXED[:4], ids=range(4))
def test_what_is_computed_does_not_depend_on_the_stages(case: Case) -> None:
    one = replace(case, groups=(0,))
    assert work(case) == work(one) == work(replace(case, groups=(0, 1, 2)))


@pytest.mark.slow
@settings(max_examples=MANY // 4)
@given(cases(patched=True))
def test_what_is_computed_never_depends_on_the_stages(case: Case) -> None:
    assert work(replace(case, groups=(0, 1), vae=1, warm="streams")) == work(
        replace(case, groups=(0,), vae=1)
    )


@pytest.mark.parametrize("case", FIXED[:4], ids=range(4))
def test_what_lives_does_not_grow_with_the_evaluations(case: Case) -> None:
    def peak(steps: int) -> int:
        longer = replace(case, steps=(steps,))
        return max(check_lifetimes(p, set(longer.start)) for p in longer.programs.values())

    assert peak(10) == peak(16)


def test_any_window_gives_an_order_that_works() -> None:
    for window in (1, 2, 7):
        check_all(Case(steps=(3, 1), patches=3, window=window, sizes=(("cfg", 2),)))
