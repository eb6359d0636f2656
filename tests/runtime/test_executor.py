"""The interpreter on Programs written by hand, and what it costs."""

from __future__ import annotations

import time
from typing import Any

import pytest
import torch

from mmm_graph.errors import Cancelled, MmmError, RunError
from mmm_graph.plan.ops import TURN, At, Free, Recv, Repeat, Run, Send, Value
from mmm_graph.runtime.bound import Bound
from mmm_graph.runtime.executor import Executor
from mmm_graph.runtime.transport import Local, Threads
from mmm_graph.runtime.values import Absent

X, Y, Z = (Value("r", f"n.{k}") for k in "xyz")
AT = At("r", "n")


def bound(function: Any, **options: Any) -> Bound:
    return Bound(lambda args, at: {"out": function(**args)}, ports=frozenset(("out",)), **options)


def run(
    program: list[Any], values: dict[Value, Any], calls: dict[Any, Bound], **options: Any
) -> dict[Value, Any]:
    executor = Executor({"r": calls}, Local(), dict(values), **options)
    executor.execute(program)
    return executor.values


ADD = Run(("op", "add"), (("a", X), ("b", Y)), (("out", Z),), AT)


def test_run_and_free() -> None:
    assert run([ADD, Free((X,))], {X: 1, Y: 2}, {("op", "add"): bound(lambda a, b: a + b)}) == {Y: 2, Z: 3}


def test_an_absent_input_skips_unless_it_is_optional() -> None:
    absent = Absent("no image")
    calls = {("op", "add"): bound(lambda a, b: a if b is None else a + b)}
    assert run([ADD], {X: 1, Y: absent}, calls)[Z] == Absent("no image", ("n",))
    calls = {("op", "add"): bound(lambda a, b: a if b is None else a + b, optional=frozenset("b"))}
    assert run([ADD], {X: 1, Y: absent}, calls)[Z] == 1
    assert run([ADD], {X: absent, Y: 1}, calls)[Z] == Absent("no image", ("n",))


def test_nothing_for_an_output_is_absent() -> None:
    assert run([ADD], {X: 1, Y: 2}, {("op", "add"): bound(lambda a, b: [])})[Z] == Absent("n gave no out")


def test_conditions() -> None:
    gated = Run(("op", "f"), (("a", X), ("when#0", Y)), (("out", Z),), AT)
    calls = {("op", "f"): bound(lambda a: a, whens=("when#0",))}
    assert run([gated], {X: 5, Y: True}, calls)[Z] == 5
    assert run([gated], {X: 5, Y: False}, calls)[Z] == Absent("the condition of n is false")
    assert run([gated], {X: 5, Y: Absent("why")}, calls)[Z] == Absent("why", ("n",))


def test_failures_are_raised_or_kept_with_their_request() -> None:
    calls = {("op", "add"): bound(lambda a, b: a / b, label="toy.div")}
    with pytest.raises(RunError, match=r"n \(toy.div\) failed: ZeroDivisionError") as caught:
        run([ADD], {X: 1, Y: 0}, calls)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    failed: dict[str, MmmError] = {}
    assert run([ADD], {X: 1, Y: 0}, calls, failed=failed)[Z] == Absent("n failed")
    assert isinstance(failed["r"], RunError)


@pytest.mark.parametrize("at", [AT._replace(step=(2,)), AT._replace(spans=((0, 2), (2, 4)))])
def test_what_other_ranks_count_on_is_not_kept_with_its_request(at: At) -> None:
    calls = {("op", "add"): bound(lambda a, b: a / b)}
    failing = [ADD._replace(at=at)]
    assert type(run(failing, {X: 1, Y: 0}, calls, failed={})[Z]) is Absent, (
        "one rank has nobody to wait for it"
    )
    with pytest.raises(RunError, match="ZeroDivisionError"):
        run(failing, {X: 1, Y: 0}, calls, failed={}, note=lambda text: None)


def test_cancel() -> None:
    with pytest.raises(Cancelled):
        run([ADD], {X: 1, Y: 2}, {}, cancel=lambda: True)


def test_messages_are_waited_for_when_they_are_read() -> None:
    world = Threads(2)
    other = world.at(1)
    other.send(20, Y, 0, True)
    executor = Executor({"r": {("op", "add"): bound(lambda a, b: a + b)}}, world.at(0), {X: 1})
    executor.execute([Recv(Y, 1, late=True), ADD, Send(Z, 1, late=True)])
    assert executor.values[Z] == 21 and other.recv(Z, 0, True).wait() == 21


@pytest.mark.parametrize("goes_on", [False, True])
def test_who_looks_on_is_told_later_of_what_is_on_its_way(goes_on: bool, monkeypatch: Any) -> None:
    """Or a rank would wait for another one's image before it answers the next request."""
    monkeypatch.setattr("mmm_graph.runtime.executor.BEHIND", 1)
    world, told = Threads(2), list[Any]()
    other = world.at(1)

    def note(args: dict[str, Any], at: At) -> dict[str, Any]:
        told.append(args["x"])
        return {}

    calls = {
        ("op", "add"): bound(lambda a, b: told.append("add") or a + b),
        ("output", "o"): Bound(note, raw=True),
    }
    executor = Executor({"r": calls}, world.at(0), {X: 1}, goes_on=goes_on)
    tell = [Run(("output", "o"), (("x", value),), (), AT) for value in (Y, Z)]
    more = Value("r", "n.more")
    for number, value in enumerate((Y, Z)):
        other.send(20 + number, value, 0, True)
    program = [Recv(Y, 1, late=True), Recv(Z, 1, late=True), tell[0], tell[0], Free((Y,))]
    again = ADD._replace(reads=(("a", X), ("b", X)), writes=(("out", more),))
    executor.execute([*program, again, tell[1], Free((Z,)), again])
    executor.finish()
    assert told == (["add", 20, 20, "add", 21] if goes_on else [20, 20, "add", 21, "add"])
    assert executor.values == {X: 1, more: 2}, "what nobody else reads is dropped when it has been told"


def test_repeat() -> None:
    carry, new, flag = (Value("r", f"loop.{k}", (TURN,)) for k in ("c", "n", "f"))
    body = (
        Run(("op", "step"), (("c", carry),), (("new", new), ("flag", flag)), At("r", "n", (TURN,))),
        Free((carry,)),
    )
    out, every = Value("r", "loop.out"), Value("r", "loop.every")
    repeat = Repeat(
        "loop",
        "r",
        (),
        body,
        ((carry, X),),
        ((carry, new),),
        flag,
        10,
        ((out, new),),
        ((every, new, 0),),
        (new, flag),
    )
    seen: list[tuple[int, ...]] = []

    def step(args: dict[str, Any], at: At) -> dict[str, Any]:
        seen.append(at.step)
        return {"new": args["c"] * 2, "flag": args["c"] > 10}

    values = run([repeat], {X: 1}, {("op", "step"): Bound(step)})
    assert (
        values[out] == 32 and values[every].tolist() == [2, 4, 8, 16, 32] and set(values) == {X, out, every}
    )
    assert seen == [(i,) for i in range(5)]


def test_a_flag_that_is_no_one_decision_is_an_error_of_its_loop() -> None:
    flag = Value("r", "loop.flag", (TURN,))
    body = (Run(("op", "ask"), (), (("flag", flag),), AT),)
    repeat = Repeat("loop", "r", (), body, flag=flag, limit=3, scratch=(flag,))
    calls = {("op", "ask"): Bound(lambda args, at: {"flag": torch.tensor([True, False])})}
    with pytest.raises(RunError, match=r"E701.*loop \(until\) failed in turn 0: .* 2 elements that disagree"):
        run([repeat], {}, calls)
    failed: dict[str, MmmError] = {}
    run([repeat], {}, calls, failed=failed)
    assert isinstance(failed["r"], RunError)


def test_the_interpreter_is_fast() -> None:
    calls = {("op", "add"): Bound(lambda args, at: {"out": 1.0})}
    program = [ADD, Free((Z,))] * 5000
    best = float("inf")
    for _ in range(5):
        start = time.process_time()
        run(program, {X: 1, Y: 2}, calls)
        best = min(best, time.process_time() - start)
    assert best / 5000 < 20e-6
