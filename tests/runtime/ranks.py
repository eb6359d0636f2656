"""What the ranks of test_distributed and test_world do, each in a process: ranks.py SCENARIO,... TIMEOUT DEVICE."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import torch

from mmm_graph.errors import MmmError, RunError
from mmm_graph.plan.ops import Value
from mmm_graph.runtime.process_world import ProcessWorld
from mmm_graph.runtime.supervised import follow_launcher, report_problems
from mmm_graph.runtime.values import Absent

X, Y, Z = (Value("r", f"node/{n}.out") for n in "xyz")


def at(name: Value, step: int) -> Value:
    return name._replace(step=(step,))


def order(world: ProcessWorld) -> None:
    """Late and declared messages of several values, waited for in another order than they were sent."""
    rank, steps = world.rank, range(5)
    world.open([(0, 1)])
    wire = world.transport()
    if rank == 0:
        for i in steps:
            wire.send(torch.full((3,), float(i)), at(X, i), 1, late=i == 0)
            wire.send({"a": [torch.full((2, 2), i), i / 2], "n": None}, at(Y, i), 1, late=i == 0)
            wire.send("z" * 3000 + str(i), at(Z, i), 1, late=True)  # its header takes more than one block
        return
    names = [(name, i) for i in steps for name in (X, Y, Z)]
    asked = {(name, i): wire.recv(at(name, i), 0, late=i == 0 or name is Z) for name, i in names}
    for i in reversed(steps):
        y = asked[(Y, i)].wait()
        assert y["a"][0].equal(torch.full((2, 2), i)) and y["a"][1] == i / 2 and y["n"] is None
        assert asked[(X, i)].wait().equal(torch.full((3,), float(i)))
        assert asked[(Z, i)].wait() == "z" * 3000 + str(i)


def absent(world: ProcessWorld) -> None:
    """Of a declared value that is absent nothing is sent, and what is late again is declared anew."""
    world.open([(1, 0)])
    wire, x = world.transport(), torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last)
    values = [
        Absent("no image", ("n",)),
        Absent("no image", ("n",)),
        x,
        x + 1,
        torch.zeros(0, 3),
        torch.zeros(0, 3),
    ]
    if world.rank == 1:
        for i, value in enumerate(values):
            wire.send(value, at(X, i), 0, late=i % 2 == 0)
        wire.send(x.bfloat16(), Y, 0, late=True)
        return
    found = [wire.recv(at(X, i), 1, late=i % 2 == 0) for i in range(len(values))]
    assert found[1].wait() == values[1] and found[0].wait() == values[0]
    assert found[3].wait().is_contiguous(memory_format=torch.channels_last)
    assert found[4].wait().shape == found[5].wait().shape == (0, 3)
    assert wire.recv(Y, 1, late=True).wait().dtype == torch.bfloat16


def both_ways(world: ProcessWorld) -> None:
    """32 MB each way between two at once, before anybody receives."""
    world.open((rank, rank ^ 1) for rank in range(world.size - world.size % 2))
    if world.rank ^ 1 >= world.size:
        return
    wire, other = world.transport(), world.rank ^ 1
    for late in (True, False):
        wire.send(torch.full((8 << 20,), float(world.rank)), X, other, late)
    for late in (True, False):
        assert wire.recv(X, other, late).wait()[-1] == other


def many(world: ProcessWorld) -> None:
    """All to all among 4, several rounds; a slow rank holds nobody up."""
    others = [r for r in range(world.size) if r != world.rank]
    world.open((a, b) for a in range(world.size) for b in range(world.size) if a != b)
    wire = world.transport()
    for i in range(20):
        for to in others:
            wire.send(torch.tensor([world.rank, to, i]), at(X, i), to, late=i == 0)
    time.sleep(0.2 * world.rank)
    asked = {(i, s): wire.recv(at(X, i), s, late=i == 0) for i in range(20) for s in others}
    for (i, source), message in reversed(asked.items()):
        assert message.wait().tolist() == [source, world.rank, i]


def forgotten(world: ProcessWorld) -> None:
    """What nobody waits for holds nobody up, and a request that is forgotten starts anew."""
    world.open([(0, 1)])
    wire = world.transport()
    for late in (True, False):
        if world.rank == 0:
            wire.send(torch.ones(4), X, 1, late)
        else:
            wire.recv(X, 0, late)
    wire.flush()
    wire.forget("r")
    try:
        wire.send(torch.ones(4), X, 1, late=False) if world.rank == 0 else wire.recv(X, 0, late=False)
    except RunError as error:
        assert error.problems[0].code == "E724"
    else:
        raise AssertionError("it was forgotten")


def changed(world: ProcessWorld) -> None:
    """Rank 0 declares another shape than before."""
    world.open([(0, 1)])
    wire = world.transport()
    if world.rank == 0:
        wire.send(torch.ones(2, 3), X, 1, late=True)
        wire.send(torch.ones(2, 4), at(X, 1), 1, late=False)
    else:
        wire.recv(X, 0, late=True).wait()
        wire.recv(at(X, 1), 0, late=False).wait()


def dead(world: ProcessWorld) -> None:
    """Rank 1 ends in the middle without a word."""
    world.open([(1, 0)])
    world.note(f"rank {world.rank} works")
    if world.rank == 1:
        world.transport().send(1, X, 0, late=True)
        world.transport().flush()
        sys.exit(0)
    world.transport().recv(X, 1, late=True).wait()
    world.transport().recv(at(X, 1), 1, late=True).wait()


def silent(world: ProcessWorld) -> None:
    """Rank 2 does something else, rank 1 waits for it, and rank 0 for rank 1."""
    world.open([(2, 1), (1, 0)])
    world.gather(None)
    world.transport().carrier.timeout_s = 2.0  # not while they meet, which takes long on a busy machine
    world.note("slice draw/denoise")
    if world.rank == 2:
        time.sleep(60)
    value = world.transport().recv(X, world.rank + 1, late=True).wait()
    world.transport().send(value, X, 0, late=True)


def trained(world: ProcessWorld) -> None:
    """Gradients do not travel."""
    world.open([(0, 1)])
    if world.rank == 0:
        world.transport().send(torch.ones(2, requires_grad=True), X, 1, late=True)


def meetings(world: ProcessWorld) -> None:
    """Gathering, agreeing and groups."""
    rank = world.rank
    found = world.gather({"x": torch.ones(rank, 2, dtype=torch.float16), "r": rank})
    sizes = [tuple(one["x"].shape) for one in found]
    assert sizes == [(r, 2) for r in range(world.size)]
    world.agree("plan", "d1")
    pair, everybody, single = world.group([0, 2]), world.group(range(world.size)), world.group([1])
    assert world.group([0, 2]) is pair and everybody is not None and everybody.size == world.size
    assert (pair is None) == (rank == 1) and (single is None) == (rank != 1)
    assert everybody.all_reduce(torch.tensor([1.0 + rank])).item() == 6.0
    if pair is not None:
        assert [x.item() for x in pair.gather(torch.tensor([rank]), [(1,), (1,)]).wait()] == [0, 2]
    turned = world.group([2, 0, 1])
    assert turned is not None and turned.index == (1, 2, 0)[rank]
    assert [x.item() for x in turned.gather(torch.tensor([rank]), [(1,)] * 3).wait()] == [2, 0, 1]


def on_device(world: ProcessWorld) -> None:
    """Tensors of the device and of the host in one value."""
    world.open([(0, 1)])
    for i in range(3):
        x = torch.randn(2, 3, 8, 8).to(memory_format=torch.channels_last).bfloat16()
        x = torch.full_like(x, i).to(world.device)
        if world.rank == 0:
            world.transport().send({"x": x, "t": torch.tensor(i)}, at(X, i), 1, late=i == 0)
        elif world.rank == 1:
            found = world.transport().recv(at(X, i), 0, late=i == 0).wait()
            assert (
                found["x"].equal(x) and found["x"].device == world.device and found["t"].device.type == "cpu"
            )
            assert found["x"].is_contiguous(memory_format=torch.channels_last)


def differ(world: ProcessWorld) -> None:
    """Rank 1 has other plugins."""
    world.agree("set of plugins", "b" if world.rank == 1 else "a")


def alone(world: ProcessWorld) -> None:
    """Rank 1 does not come to a meeting; the time for it begins when they have met once, on a busy machine too."""
    world.gather(None)
    world.transport().carrier.timeout_s = 1.0
    if world.rank == 0:
        world.gather(1)
    else:
        world.note("sleeps")
        time.sleep(30)


SCENARIOS: dict[str, Callable[[ProcessWorld], None]] = {
    f.__name__: f
    for f in (
        order, absent, both_ways, many, forgotten, changed, dead, silent, trained, meetings, on_device, differ, alone,
    )
}  # fmt: skip


def main(names: str, timeout_s: float, device: str) -> None:
    torch.set_num_threads(1)
    kind, _, backend = device.partition(":")
    try:
        with ProcessWorld.from_env(timeout_s, kind, backend or None) as world:
            for name in names.split(","):
                SCENARIOS[name](world)
    except MmmError as error:
        assert report_problems(error)
        sys.exit(error.status)


if __name__ == "__main__":
    follow_launcher()
    main(sys.argv[1], float(sys.argv[2]), sys.argv[3])
