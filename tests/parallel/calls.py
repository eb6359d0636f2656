"""What every kind of group must answer: functions of a group, run by all its members."""

from __future__ import annotations

import torch

DTYPES = (torch.float64, torch.float32, torch.bfloat16, torch.int64)


def part(member, shape, dtype=torch.float64):
    """What a member gives; the others can work it out."""
    count = int(torch.tensor(shape).prod())
    return (torch.arange(count).reshape(shape) + 100 * member).to(dtype)


def gather_of_uneven_parts(group):
    shapes = [(2, member + 1, 3) for member in range(group.size)]
    for dtype in DTYPES:
        got = group.gather(part(group.index, shapes[group.index], dtype), shapes).wait()
        assert [x.dtype for x in got] == [dtype] * group.size
        assert all(torch.equal(x, part(member, shapes[member], dtype)) for member, x in enumerate(got))


def gather_of_what_is_not_contiguous(group):
    x = part(group.index, (2, 5, 3, 4)).contiguous(memory_format=torch.channels_last)
    got = group.gather(x, [x.shape] * group.size).wait()
    assert all(torch.equal(y, part(member, x.shape)) for member, y in enumerate(got))


def several_gathers_under_way(group):
    def shapes(call):
        return [(call * 7 % 5 + 1, member + 1) for member in range(group.size)]

    pending = [
        group.gather(part(group.index + call, shapes(call)[group.index]), shapes(call)) for call in range(20)
    ]
    total = group.all_reduce(torch.ones(3))
    assert total.tolist() == [group.size] * 3
    for call in reversed(range(20)):
        wanted = [part(member + call, shape) for member, shape in enumerate(shapes(call))]
        for _ in range(2):  # waiting again brings the same
            assert all(map(torch.equal, pending[call].wait(), wanted))


def all_to_all_of_uneven_parts(group):
    def shape(source, to):
        return (source + 1, 2 * to + 1)

    xs = [part(10 * group.index + to, shape(group.index, to)) for to in range(group.size)]
    got = group.all_to_all(xs, [shape(source, group.index) for source in range(group.size)])
    for source, x in enumerate(got):
        assert torch.equal(x, part(10 * source + group.index, shape(source, group.index)))


def sum_in_the_order_of_the_members(group):
    for shape in ((7,), (3, 5), (1,), (64, 33)):
        parts = [
            torch.randn(shape, generator=torch.Generator().manual_seed(member))
            for member in range(group.size)
        ]
        wanted = parts[0].clone()
        for other in parts[1:]:
            wanted = wanted + other
        mine = parts[group.index].clone()
        assert torch.equal(group.all_reduce(mine), wanted)
        assert torch.equal(mine, parts[group.index])


def swap_with_neighbours(group):
    before, after = group.index - 1, group.index + 1
    near = [member for member in (before, after) if 0 <= member < group.size]
    like = torch.empty(0, dtype=torch.float32)
    gives = {member: part(10 * group.index + member, (2, member + 1), torch.float32) for member in near}
    got = group.swap(gives, dict.fromkeys(near, (2, group.index + 1)), like)
    assert got.keys() == set(near)
    for member, x in got.items():
        assert torch.equal(x, part(10 * member + group.index, (2, group.index + 1), torch.float32))


def swap_in_one_direction(group):
    """The last gives nothing, the first takes nothing."""
    x = part(group.index, (4,))
    gives = {group.index + 1: x} if group.index + 1 < group.size else {}
    shapes = {group.index - 1: (4,)} if group.index else {}
    pending = group.start_swap(gives, shapes, x)
    got = pending.wait()
    assert pending.wait() == got
    assert {m: y.tolist() for m, y in got.items()} == {m: part(m, (4,)).tolist() for m in shapes}


ALL = (
    gather_of_uneven_parts,
    gather_of_what_is_not_contiguous,
    several_gathers_under_way,
    all_to_all_of_uneven_parts,
    sum_in_the_order_of_the_members,
    swap_with_neighbours,
    swap_in_one_direction,
)
