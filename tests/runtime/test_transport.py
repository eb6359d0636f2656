"""Messages between ranks that are threads."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import torch

from mmm_graph.errors import RunError
from mmm_graph.plan.ops import Value
from mmm_graph.runtime.transport import Local, Threads
from mmm_graph.runtime.values import Absent

X, Y, Z = (Value("r", f"node.{n}") for n in "xyz")


def at(name: Value, step: int) -> Value:
    return name._replace(step=(step,))


def code(error: pytest.ExceptionInfo[RunError]) -> str:
    return error.value.problems[0].code


def test_messages_of_an_edge_keep_their_order_whatever_is_waited_for_first() -> None:
    world = Threads(2)
    a, b = world.at(0), world.at(1)
    first, second, third = b.recv(X, 0, True), b.recv(Y, 0, True), b.recv(at(X, 1), 0, False)
    other, last = b.recv(at(Y, 1), 0, False), b.recv(Z, 0, True)
    a.send(1, X, 1, True)
    a.send(2, Y, 1, True)
    a.send(3, at(X, 1), 1, False)
    a.send(4, at(Y, 1), 1, False)
    a.send("late", Z, 1, True)
    assert other.wait() == 4 and second.wait() == 2 and last.wait() == "late"
    assert first.wait() == 1 and first.wait() == 1 and third.wait() == 3


def test_a_late_message_declares_those_that_come_after_it_not_those_before() -> None:
    """Also where the receiver has not read it yet when it asks for the others."""
    world = Threads(2)
    a, b = world.at(0), world.at(1)
    values: list[Any] = [
        torch.ones(2),
        torch.zeros(2),
        torch.ones(3, 3),
        torch.zeros(3, 3),
        Absent("x"),
        Absent("y"),
    ]
    found = [b.recv(at(X, i), 0, i % 2 == 0) for i in range(6)]
    for i, value in enumerate(values):
        a.send(value, at(X, i), 1, i % 2 == 0)
    assert torch.equal(found[3].wait(), values[3]) and torch.equal(found[1].wait(), values[1])
    assert found[5].wait() == Absent("x")  # nothing was sent: it is as absent as before


def test_numbers_of_a_declared_value_are_sent_anew() -> None:
    world = Threads(2)
    a, b = world.at(0), world.at(1)
    for i, value in enumerate(({"s": 0.5, "n": 3, "b": True}, {"s": 0.25, "n": -4, "b": False})):
        a.send(value, at(X, i), 1, i == 0)
        assert b.recv(at(X, i), 0, i == 0).wait() == value


@pytest.mark.parametrize(
    ("first", "then"),
    [(torch.ones(2), torch.ones(3)), (torch.ones(2), Absent("x")), (1, 1.5), ("a", "b"), (Absent("x"), None)],
)
def test_a_declared_value_that_has_changed(first: Any, then: Any) -> None:
    a = Threads(2).at(0)
    a.send(first, X, 1, True)
    with pytest.raises(
        RunError, match=r"`node.x` \(step 1; request r\) is declared, and rank 0 would send"
    ) as error:
        a.send(then, at(X, 1), 1, False)
    assert code(error) == "E724"


def test_a_declared_value_that_never_was_late() -> None:
    world = Threads(3)
    a, b = world.at(0), world.at(1)
    a.send(1, X, 1, True)
    b.recv(X, 0, True)
    others = [X._replace(patch=1), X._replace(share=(0, 2)), X._replace(request="s"), Y]
    for name, to in ((X, 2), *((other, 1) for other in others)):
        with pytest.raises(RunError, match="no late message") as error:
            a.send(1, name, to, False)
        assert code(error) == "E724"
    with pytest.raises(RunError, match=r"E724.*rank 1 would receive it from rank 2"):
        b.recv(X, 2, False)


def test_a_request_that_is_over_is_forgotten() -> None:
    world = Threads(2)
    a, b = world.at(0), world.at(1)
    a.send(1, X, 1, True)
    b.recv(X, 0, True)
    b.flush()
    a.forget("r")
    b.forget("r")
    with pytest.raises(RunError, match="E724"):
        a.send(1, X, 1, False)
    with pytest.raises(RunError, match="E724"):
        b.recv(X, 0, False)


def test_a_value_that_cannot_travel() -> None:
    with pytest.raises(RunError, match=r"E723.*node\.x"):
        Threads(2).at(0).send(object(), X, 1, True)


def test_a_sent_tensor_may_be_overwritten() -> None:
    world = Threads(2)
    x = torch.ones(2)
    world.at(0).send(x, X, 1, True)
    x.zero_()
    assert torch.equal(world.at(1).recv(X, 0, True).wait(), torch.ones(2))


def test_gradients_go_between_threads() -> None:
    world = Threads(2)
    x = torch.ones(2, requires_grad=True)
    world.at(0).send(x, X, 1, True)
    world.at(1).recv(X, 0, True).wait().sum().backward()
    assert x.grad is not None


def test_a_message_that_does_not_come() -> None:
    asked = Threads(2, timeout_s=0.1).at(1).recv(Value("r", "draw/denoise.x", (3,), 1), 0, True)
    message = r"E720. rank 1 waited 0.1 s for `draw/denoise.x` \(step 3; patch 1; request r\) of node draw/denoise from"
    with pytest.raises(RunError, match=message):
        asked.wait()


def test_a_rank_that_waits_says_so() -> None:
    world, notes = Threads(2), list[str]()
    world.at(0).send(1, X, 1, True)
    world.at(1, notes.append).recv(X, 0, True).wait()
    assert notes == ["waits for node.x (request r) from rank 0"]


def test_nothing_goes_to_oneself_or_along_an_edge_that_is_not_open() -> None:
    for world, to in ((Threads(2), 0), (Threads(2, edges={(1, 0)}), 1)):
        with pytest.raises(AssertionError):
            world.at(0).send(1, X, to, True)


def test_a_rank_that_fails_wakes_the_others() -> None:
    world = Threads(3)
    lost = [world.at(rank).recv(X, 0, True) for rank in (1, 2)]
    threading.Timer(0.1, world.stop).start()
    for message in lost:
        with pytest.raises(RunError, match=r"E720.*which is gone \(a rank has failed"):
            message.wait()


def test_a_world_of_one_never_sends() -> None:
    with pytest.raises(AssertionError):
        Local().send(1, X, 0, False)
    with pytest.raises(AssertionError):
        Local().recv(X, 0, False)
