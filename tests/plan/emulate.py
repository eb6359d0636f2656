"""Runs a global order with numbers that say what they were made of: every row of every element is a hash.

Ranks have stores of their own. A model hashes row by row and does not look at other rows, so that any way of sharing
the work must give the very same numbers; a node that needs whole images mixes all rows, so that a piece would show."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import Any

import numpy as np

from mmm_graph.graph.graph import Call, Op
from mmm_graph.plan.block import Blocks
from mmm_graph.plan.flow import keyed
from mmm_graph.plan.ops import At, Drop, Move, Share, Task, Value
from mmm_graph.plan.rows import model_type

FACTOR = np.uint64(0x9E3779B97F4A7C15)
ROWS = 2
"""Arrays with so many axes are [b, h]; those of one axis are [b] or a constant."""


def emulate(
    sequence: Iterable[Any], blocks: Mapping[str, Blocks], start: Mapping[Value, Any], ranks: int
) -> dict[tuple[str, str], Any]:
    """(request, output) -> its value on the rank that gives it out."""
    stores: list[dict[Value, Any]] = [dict(start) for _ in range(ranks)]
    found: dict[tuple[str, str], Any] = {}
    for item in sequence:
        if isinstance(item, Move):
            assert item.value not in stores[item.to] and item.source != item.to
            stores[item.to][item.value] = stores[item.source][item.value]
        elif isinstance(item, Drop):
            for value in item.values:
                del stores[item.rank][value]
        elif isinstance(item, Task):
            for rank, reads, writes, at in zip(item.ranks, item.reads, item.writes, item.at, strict=True):
                args = {key: stores[rank][value] for key, value in reads}
                if item.fn[0] == "output":
                    found[(at.request, str(item.fn[1]))] = args["x"]
                    continue
                made = _Run(blocks[at.request], at).run(item.fn, args)
                for key, value in writes:
                    assert value not in stores[rank], value
                    stores[rank][value] = made[key]
                    _check_size(value, made[key])
    return found


def _check_size(value: Value, made: Any) -> None:
    if value.span is not None and made.ndim == ROWS and "$" not in value.name:
        scale = made.shape[1] / (value.span[1] - value.span[0])
        assert scale == 1, (value, made.shape)


class _Run:
    def __init__(self, blocks: Blocks, at: At) -> None:
        self.blocks, self.at = blocks, at

    def run(self, fn: tuple[Any, ...], args: dict[str, Any]) -> Mapping[str, Any]:
        if fn[0] == "copy":
            return {"x": _copy(fn[1:], [*args.values()])}
        if fn[0] == "cat":
            return {"x": np.concatenate([*args.values()])}
        if fn[0] == "split":
            return dict(zip(map(str, range(fn[1])), np.split(args["x"], fn[1]), strict=True))
        if fn[0] == "index":
            return {"x": np.uint64(self.at.step[fn[1]])}
        if fn[0] == "collect":
            return {"x": np.concatenate([*args.values()], fn[1])}
        if fn[0] in ("forget", "turn", "preview"):
            return {}
        return self._slice(fn, args) if fn[0] == "slice" else self._op(args)

    def _slice(self, fn: tuple[Any, ...], args: dict[str, Any]) -> dict[str, Any]:
        """Part after part; what a part makes of the text depends on the text alone, and nothing else on it."""
        node = self.blocks.flow.sites[fn[1]].node
        assert isinstance(node, Call)
        kind = model_type(self.blocks.graph, self.blocks.registry, node.model)
        config = self.blocks.graph.models[node.model].config
        table = {p.name: p for p in kind.parts(config)}
        state = dict(args)
        for name in kind.methods[node.method].path(config, node.config)[fn[2] : fn[3]]:
            reads = {k: state[k] for k in table[name].reads if k in state and k != "text"}
            made = {}
            for key in table[name].writes:
                if key == "text" and (self.at.patch > 0 or self.at.member):
                    continue
                mine = (
                    {k: state[k] for k in ("text", "cond.embeds") if k in state} if key == "text" else reads
                )
                shaped = {k: v for k, v in mine.items() if key not in ("c", "text") or v.ndim < ROWS}
                made[key] = _mix(f"{node.model}.{name}.{key}", shaped, 2 if key == "image" else 1)
            state.update(made)
        return state

    def _op(self, args: dict[str, Any]) -> dict[str, Any]:
        node = self.blocks.flow.sites[self.at.node].node
        name = f"{node.kind}" if isinstance(node, Op) else f"{node.model}.{node.method}"  # type: ignore[attr-defined]
        reads = {k: v for k, v in args.items() if not k.startswith("rows#")}
        work = self.blocks.works[node.path]
        if not work.unit:
            reads |= {f"{k} all": v.sum(1, dtype=np.uint64) for k, v in reads.items() if np.ndim(v) == ROWS}
        if work.batch is None and name != "toy.noise" and any(k for k, _ in keyed(node.inputs)):
            reads |= {f"{k} batch": v.sum(dtype=np.uint64) for k, v in reads.items() if np.ndim(v) == ROWS}
        found = {port: _mix(f"{name}.{port}", reads) for port in node.outputs}
        for port, type_ in node.outputs.items():
            if type_.kind in ("Scalar", "Embeds", "Bool", "Text") and found[port].ndim == ROWS:
                batch = np.zeros(found[port].shape[0], dtype=np.uint64)
                mine = {k: v for k, v in reads.items() if np.ndim(v) < ROWS}
                found[port] = _mix(f"{name}.{port}", {**mine, "": batch})
        if name == "toy.noise":
            rows = np.arange(node.config.height, dtype=np.uint64)  # type: ignore[union-attr]
            found["x"] = (args["like"][:, None] ^ rows) * FACTOR
        return found


def _mix(name: str, args: Mapping[str, Any], scale: int = 1) -> Any:
    """A number for each row, of the numbers of that row; of one that has none, for each element."""
    total = np.uint64(int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "big"))
    whole = max((np.ndim(v) for v in args.values()), default=0)
    for key, value in sorted(args.items()):
        salt = np.uint64(int.from_bytes(blake2b(key.encode(), digest_size=8).digest(), "big"))
        wide = value[:, None] if whole == ROWS and np.ndim(value) == 1 else value
        with np.errstate(over="ignore"):
            total = (total ^ (wide * FACTOR + salt)) * FACTOR
            total = total ^ (total >> np.uint64(29))
    return np.repeat(total, scale, 1) if scale > 1 and np.ndim(total) == ROWS else total


def _copy(fn: tuple[Any, ...], args: list[Any]) -> Any:
    if fn[0] == "cut":
        return args[0][:, fn[1] : fn[2]]
    if fn[0] == "take":
        first, last = bounds(len(args[0]), (fn[1], fn[2]))
        return args[0][first:last]
    return np.concatenate(args, 1 if fn[1] == "rows" else 0)


def bounds(num: int, share: Share) -> tuple[int, int]:
    """Elements of a share: as even as they can be, the larger shares first."""
    k, parts = share
    each, more = divmod(num, parts)
    return each * k + min(k, more), each * (k + 1) + min(k + 1, more)


def numbers(name: str, num: int, rows: int = 0) -> Any:
    """A value of an input."""
    flat = np.arange(num * max(1, rows), dtype=np.uint64)
    made = _mix(name, {"i": flat})
    return made.reshape(num, rows) if rows else made
