"""What the engine does with values between nodes: join and cut batches, collect turns, indices, absence."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor

from mmm_graph.plan.ops import At, Fn
from mmm_graph.runtime.arguments import Values
from mmm_graph.runtime.bound import Bound
from mmm_graph.runtime.copies import EVERY_KEY, copy, join
from mmm_graph.runtime.values import Absent


def _cat(fn: Fn) -> Bound:
    return Bound(lambda args, at: {"x": join([*args.values()], 0)})


def _split(fn: Fn) -> Bound:
    num = int(str(fn[1]))
    keys = [str(i) for i in range(num)]

    def run(args: Values, at: At) -> Values:
        whole = args["x"]
        rows, rest = divmod(whole.shape[0] if isinstance(whole, Tensor) else len(whole), num)
        if rest:
            raise ValueError(f"{rows * num + rest} rows cannot be split into {num} equal batches")
        if isinstance(whole, Tensor):
            return dict(zip(keys, whole.chunk(num), strict=True))
        return {key: whole[i * rows : (i + 1) * rows] for i, key in enumerate(keys)}

    return Bound(run)


def _collect(fn: Fn) -> Bound:
    axis = int(str(fn[1]))

    def run(args: Values, at: At) -> Values:
        return {"x": join([v for v in args.values() if v is not None], axis)}

    return Bound(run, optional=EVERY_KEY, ports=frozenset("x"))


def _index(fn: Fn) -> Bound:
    depth = int(str(fn[1]))
    return Bound(lambda args, at: {"x": at.step[depth]})


def _absent(fn: Fn) -> Bound:
    found = Absent(str(fn[1]))
    return Bound(lambda args, at: {"x": found})


PLUMBING: Mapping[str, Callable[[Fn], Bound]] = {
    "copy": copy,
    "cat": _cat,
    "split": _split,
    "collect": _collect,
    "index": _index,
    "absent": _absent,
}
