"""The models of one rank under a plan: its own parts and columns, and the exchange that its layers ask."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from typing import Literal

from mmm_graph.errors import InputError, RunError, problem
from mmm_graph.graph.attached import copy_name
from mmm_graph.parallel.group import ALONE, Group
from mmm_graph.parallel.sharded import Groups, ShardConfig, Sharded
from mmm_graph.plan.axes import Axes
from mmm_graph.plan.place import Plan, Slice
from mmm_graph.runtime.build import Built
from mmm_graph.runtime.world import World

AXIS_SETS: Mapping[str, tuple[str, ...]] = {
    "tokens": ("patch", "ring", "ulysses"),
    "outer": ("patch", "ring"),
    "inner": ("ulysses",),
    "tensor": ("tensor",),
}
"""Group of an exchange -> the axes along which its members differ."""


class Shards:
    """Models of ranks, kept between runs: weights are loaded once."""

    def __init__(self) -> None:
        self._kept: dict[Hashable, Built] = {}

    def models(self, base: Mapping[str, Built], plan: Plan, world: World) -> dict[str, Built]:
        """What a rank needs. Every rank of the world calls this alike: groups are made by all.

        Raises:
            InputError: E521, a rank is in two slices of a model whose other ranks differ.
            RunError: E621, weights that would come from a file are in none.
        """
        found: dict[str, Built] = {}
        for name in sorted(n for n in base if not base[n].node.host):
            chain, axes = plan.models.get(name), plan.axes_of(name)
            if chain is None:
                found[name] = base[name]
                continue
            groups = _groups(name, chain, axes, world)
            if any(world.rank in s.ranks for s in chain):
                found[name] = self._shard(base[name], plan, name, world.rank)
                if plan.asks(name):
                    warm = _warm_groups(name, plan, world) if name in plan.warm_rows else groups
                    _attach(found[name], groups, _config(name, plan), warm)
                found |= self._guests(base, found[name], world.rank)
        return found

    def _guests(self, base: Mapping[str, Built], host: Built, rank: int) -> dict[str, Built]:
        """What stands between the blocks that a rank has of a model."""
        found: dict[str, Built] = {}
        for at in host.node.guests:
            name = at.node.name
            if name not in base:
                continue
            if host.parts is None and host.columns is None and host.exchange is None:
                found[name] = base[name]
                continue
            key = (name, rank, host.parts, host.columns)
            kept = self._kept.get(key)
            if kept is None or kept.base is not base[name]:
                parts = None if host.parts is None else _of_guest(base[name], host.parts)
                kept = replace(base[name], parts=parts, columns=host.columns, base=base[name])
                self._kept[key] = kept
            if host.exchange is not None and kept.exchange is not host.exchange:
                kept.attach(host.exchange)
            found[name] = kept
        return found

    def _shard(self, base: Built, plan: Plan, name: str, rank: int) -> Built:
        """The model with what this rank has of it; where that is all, and no layer asks anybody, it is the model.

        An offloaded one is the rank's own: its weights come and go as this rank needs them.
        """
        chain, axes, offload = plan.models[name], plan.axes_of(name), plan.offload.get(name)
        if len(chain) == 1 and not plan.asks(name) and offload is None:
            return base
        if offload is not None and offload.from_ == "disk" and base.source is None:
            message = f"{name} cannot come from disk: its weights are made by `init:`, and are in no file"
            raise RunError(problem("E621", message, base.node.place, "from: host, or give it `weights:`"))
        key = (name, rank, chain, axes, name in plan.pipelined, name in plan.warm_rows, offload)
        kept = self._kept.get(key)
        if kept is None or kept.base is not base:
            own = [s for s in chain if rank in s.ranks]
            parts = _own_parts(base, own) if len(chain) > 1 and name not in plan.warm_rows else None
            kept = self._kept[key] = replace(
                base, parts=parts, columns=_columns(chain, axes, rank), base=base, offload=offload
            )
        return kept


def _of_guest(guest: Built, there: frozenset[str]) -> frozenset[str]:
    """Parts of a guest, by its own names, of which a rank has those in the table of the host."""
    assert guest.type.parts is not None
    own = [part.name for part in guest.type.parts(guest.node.config)]
    return frozenset(key for key in own if copy_name(guest.node.name, key) in there)


def _config(name: str, plan: Plan) -> ShardConfig:
    axes = plan.axes_of(name)
    tokens: Literal["ring", "patch"] = "ring" if axes["ring"] > 1 else "patch"
    return ShardConfig(tokens, axes.displaced, axes.group_norm, name in plan.pipelined)


def _attach(built: Built, groups: Groups, config: ShardConfig, warm: Groups) -> None:
    """Give the model its exchange, unless it has that already: all requests of a world ask the same groups."""
    had = built.exchange
    if not isinstance(had, Sharded) or (had.steady, had.config, had.warm) != (groups, config, warm):
        built.attach(Sharded(groups, config, warm))


def _warm_groups(name: str, plan: Plan, world: World) -> Groups:
    """Whom a rank asks in a warm-up in which the stages share rows; all ranks make the groups of all."""
    mine: Group = ALONE
    for branch in range(plan.axes_of(name)["cfg"]):
        team = plan.warm_team(name, branch)
        for share in dict.fromkeys(m.share for m in team):
            group = world.group(tuple(m.rank for m in team if m.share == share))
            mine = group if group is not None else mine
    return Groups(tokens=mine, outer=mine)


def _own_parts(built: Built, slices: Sequence[Slice]) -> frozenset[str]:
    assert built.type.parts is not None
    table = built.type.parts(built.node.config)
    return frozenset(part.name for s in slices for part in table[s.a : s.b])


def _columns(chain: Sequence[Slice], axes: Axes, rank: int) -> tuple[int, int] | None:
    if axes["tensor"] == 1:
        return None
    ranks = next(s.ranks for s in chain if rank in s.ranks)
    at = list(axes.coordinates())[ranks.index(rank)]
    return at["tensor"], axes["tensor"]


def _groups(name: str, chain: Sequence[Slice], axes: Axes, world: World) -> Groups:
    """The groups of this rank; those of other ranks are made too, since all have to take part."""
    mine: dict[str, Group] = {}
    owners: dict[str, tuple[int, ...]] = {}
    for ranks in dict.fromkeys(s.ranks for s in chain):
        for kind, along in AXIS_SETS.items():
            for members in _members(ranks, axes, along):
                group = world.group(members) if len(members) > 1 else ALONE
                if world.rank not in members:
                    continue
                if owners.setdefault(kind, members) != members:
                    message = (
                        f"rank {world.rank} is in two slices of {name}, with {owners[kind]} and {members}"
                    )
                    raise InputError(
                        problem("E521", message, hint="put slices on the same ranks, or on others")
                    )
                mine[kind] = group if group is not None else ALONE
    return Groups(**mine)


def _members(ranks: tuple[int, ...], axes: Axes, along: tuple[str, ...]) -> list[tuple[int, ...]]:
    """Ranks of a slice in groups that differ along some axes only, each in the order of its pieces."""
    if not axes.sizes:
        return [(rank,) for rank in ranks]
    found: dict[Hashable, list[tuple[int, int]]] = {}
    for rank, at in zip(ranks, axes.coordinates(), strict=True):
        others = tuple((axis, i) for axis, i in at.items() if axis not in along)
        place = axes.piece(at) if along != ("tensor",) else at.get("tensor", 0)
        found.setdefault(others, []).append((place, rank))
    return [tuple(rank for _, rank in sorted(group)) for group in found.values()]
