"""What a graph does, once per body: steps with the names they read, write and no longer need; see `expand`."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from mmm_graph.graph.graph import Call, Graph, Loop, Node, Ref
from mmm_graph.plan.axes import Team, alone, everyone
from mmm_graph.plan.chain import Segment, draws, segments, warm_segment
from mmm_graph.plan.flow import Flow, Scope, keyed
from mmm_graph.plan.ops import Fn
from mmm_graph.plan.place import Plan
from mmm_graph.plan.rewrite import Batch, find_batches
from mmm_graph.plan.rows import INNER, PLAIN, Form, Works, form_of
from mmm_graph.plan.select import Needs
from mmm_graph.registry.registry import Registry
from mmm_graph.spec.ports import Dim

Names = tuple[tuple[str, str], ...]


@dataclass
class Step:
    """A task of every turn.

    Attributes:
        team: who does it.
        forms: how what it reads and writes may be cut, by key; what is not named is taken whole.
        unit: rows are cut at multiples of this; 0: it takes whole images.
        height: rows of the images that are cut.
        joint: keys that only the first member of the first patch has.
        patched: in a pipelined loop it runs patch by patch.
        phase: of the loop, where it runs only in one: "warm" or "steady".
        batched: it works element by element.
        release: names that nothing in this body reads afterwards.
    """

    fn: Fn
    team: Team
    path: str
    reads: Names
    writes: Names
    cost: float = 0.0
    forms: Mapping[str, Form] = field(default_factory=dict)
    unit: int = 0
    height: Dim | None = None
    joint: frozenset[str] = frozenset()
    patched: bool = False
    phase: str = ""
    batched: bool = False
    index: int = 0
    release: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self.ranks = tuple(m.rank for m in self.team)


@dataclass
class Turns:
    """A loop in a block.

    Attributes:
        carry: (name in the body, first value, next value), the last two as names.
        out: (name outside, name in the body, name of the value when there are no turns or "").
        collect: (name outside, name in the body, axis).
        first: names that are only first values of carries and die when the loop starts.
    """

    loop: Loop
    block: Block
    carry: tuple[tuple[str, str, str], ...]
    out: tuple[tuple[str, str, str], ...]
    collect: tuple[tuple[str, str, int], ...]
    flag: str
    first: tuple[str, ...] = ()
    release: tuple[str, ...] = ()

    @property
    def reads(self) -> set[str]:
        """Names from outside that the loop reads."""
        own = self.block.own
        ends = {*self.block.ends, *(first for _, first, _ in self.carry), *(z for _, _, z in self.out if z)}
        return {n for n in (*self.block.reads, *ends) if n not in own}


@dataclass
class Block:
    """A body: its entries in order.

    Attributes:
        own: names that are made in it, carries included.
        ends: names that are read when a turn is over.
        release: names that die at the end of a turn.
    """

    entries: list[Step | Turns] = field(default_factory=list)
    own: set[str] = field(default_factory=set)
    ends: tuple[str, ...] = ()
    release: tuple[str, ...] = ()

    @property
    def reads(self) -> set[str]:
        """All names that its entries read."""
        return {n for e in self.entries for n in entry_reads(e)}


def entry_reads(entry: Step | Turns) -> Collection[str]:
    """Names that an entry reads from its surroundings."""
    return [n for _, n in entry.reads] if isinstance(entry, Step) else entry.reads


@dataclass(frozen=True)
class Wishes:
    """What is asked of a graph.

    Attributes:
        outputs: values to hand out, by the name they are asked for.
        given: names of values that are at hand.
        store: paths of nodes whose results are kept in the cache.
        watched: turns, previews and streams are reported.
    """

    outputs: Mapping[str, Ref]
    given: frozenset[str] = frozenset()
    store: frozenset[str] = frozenset()
    watched: bool = False


class Blocks:
    """Builds the block of a graph.

    Attributes:
        main: the top level.
        start: names that are there from the beginning: inputs, and what is given instead of computed.
        team: who makes a name.
    """

    def __init__(self, graph: Graph, registry: Registry, plan: Plan, needs: Needs, wishes: Wishes) -> None:
        self.graph, self.registry, self.plan, self.needs, self.wishes = graph, registry, plan, needs, wishes
        self.flow = Flow(graph)
        self.works = Works(self.flow, registry)
        batched = plan.branches == "batched"
        self.batches = find_batches(self.flow, registry, needs, plan.in_turn) if batched else {}
        self.team: dict[str, Team] = {}
        self._hoisted: list[tuple[int, Step]] = []
        self._num_steps = 0
        self.main = self._block(graph.nodes, (), ())
        self.start = self._start()
        self._settle(self.main, ())

    def home(self, name: str) -> int:
        """The first rank that makes a name; 0 for what is there from the beginning."""
        return self.team[name][0].rank if name in self.team else 0

    def joined(self, path: str) -> int:
        """How many calls run as the one of that path."""
        return len(self.batches[path].members) if path in self.batches else 1

    def _block(self, nodes: tuple[Node, ...], scope: Scope, carries: tuple[str, ...]) -> Block:
        block = Block(own=set(carries))
        for node in nodes:
            if node.path not in self.needs.ports:
                continue
            for ref in node.carry.values() if isinstance(node, Loop) else ():
                if ref.source == "$each":
                    self._end(node, ref, scope, block)
            made = [self._turns(node, scope)] if isinstance(node, Loop) else self._steps(node, scope)
            block.entries += [step for depth, step in self._hoisted if depth == len(scope)]
            self._hoisted = [(depth, step) for depth, step in self._hoisted if depth != len(scope)]
            block.entries += made
            if node.path in self.wishes.store:
                names = tuple((p, f"{node.path}.{p}") for p in sorted(self.needs.ports[node.path]))
                block.entries.append(Step(("store", node.path), alone(0), node.path, names, ()))
        if not scope:
            for name, ref in self.wishes.outputs.items():
                value = self.flow.name(ref, ())
                reads = (("x", value),)
                block.entries.append(Step(("output", name), alone(0), ref.source, reads, ()))
        return block

    def _start(self) -> tuple[str, ...]:
        read = self.main.reads
        names = (*(str(r) for r in self.needs.inputs), *self.wishes.given)
        found = tuple(sorted({n for n in names if n in read}))
        self.main.own.update(found)
        return found

    def start_form(self, name: str) -> Form:
        """How a value that is there from the beginning may be cut."""
        at = max(
            (i for i, char in enumerate(name) if char == "." and name[:i] in self.flow.sites), default=-1
        )
        head, _, tail = name.partition(".")
        if at < 0 and head not in ("$in", "$data"):
            return PLAIN
        ref = Ref(head, tail) if at < 0 else Ref(name[:at], name[at + 1 :])
        return form_of(self.flow.type(ref, ()))

    def _settle(self, block: Block, ends: tuple[str, ...]) -> None:
        """Find where each name of the block dies."""
        for entry in block.entries:
            if isinstance(entry, Step):
                self._num_steps += 1
                entry.index = self._num_steps
            block.own.update(
                [n for _, n in entry.writes] if isinstance(entry, Step) else [o[0] for o in entry.out]
            )
            block.own.update([c[0] for c in entry.collect] if isinstance(entry, Turns) else ())
        last: dict[str, int] = {}
        for i, entry in enumerate(block.entries):
            for name in (*entry_reads(entry), *_entry_writes(entry)):
                last[name] = i
        inner = set(ends)
        dying: dict[int, list[str]] = {}
        for name, i in last.items():
            if name in block.own and name not in inner:
                dying.setdefault(i, []).append(name)
        for i, names in dying.items():
            entry = block.entries[i]
            if isinstance(entry, Turns):
                direct = entry.block.reads | set(entry.block.ends)
                firsts = {f for _, f, _ in entry.carry} - {z for _, _, z in entry.out}
                entry.first = tuple(n for n in names if n in firsts and n not in direct)
                names = [n for n in names if n not in entry.first]
            entry.release = tuple(names)
        block.ends = ends
        unread = [
            n for n in block.own if n not in last and n not in inner
        ]  # carries that nothing in the body reads
        block.release = tuple(dict.fromkeys(n for n in (*ends, *unread) if n in block.own))

    def _turns(self, loop: Loop, scope: Scope) -> Turns:
        inner = (*scope, loop)
        name = self.flow.name
        carried = sorted(self.needs.carry.get(loop.path, ()))
        for key in carried:
            first = name(loop.carry[key], scope)
            self.team[f"{loop.path}.$carry.{key}"] = self.team.get(first, alone(0))
        block = self._block(loop.body, inner, tuple(f"{loop.path}.$carry.{k}" for k in carried))
        wanted = self.needs.ports[loop.path]
        carry, out = [], []
        for key in carried:
            first, following = name(loop.carry[key], scope), self._end(loop, loop.next[key], inner, block)
            carry.append((f"{loop.path}.$carry.{key}", first, following))
            if key in wanted and key not in loop.out and key not in loop.collect:
                out.append((f"{loop.path}.{key}", following, first))
        firsts = {loop.next[k]: name(loop.carry[k], scope) for k in carried}
        for port in sorted(p for p in loop.out if p in wanted):
            ref = loop.out[port]
            out.append((f"{loop.path}.{port}", self._end(loop, ref, inner, block), firsts.get(ref, "")))
        collect = [
            (f"{loop.path}.{port}", self._end(loop, ref, inner, block), axis)
            for port, (ref, axis) in loop.collect.items()
            if port in wanted
        ]
        flag = self._end(loop, loop.until, inner, block) if loop.until is not None else ""
        if self.wishes.watched:
            self._watch(loop, inner, block, carry)
        ends = dict.fromkeys([*(c[2] for c in carry), *(o[1] for o in out), *(c[1] for c in collect), flag])
        self._settle(block, tuple(n for n in ends if n))
        for outside, inside, *_ in (*out, *collect):
            self.team[outside] = self.team.get(inside, alone(0))
        return Turns(loop, block, tuple(carry), tuple(out), tuple(collect), flag)

    def _end(self, loop: Node, ref: Ref, inner: Scope, block: Block) -> str:
        """Name of a value at the end of a turn; an index becomes a value."""
        value = self.flow.name(ref, inner)
        if ref.source == "$each" and value not in block.own:
            block.own.add(value)
            depth = len(self.flow.home(ref, inner)) - 1
            self.team[value] = team = everyone(self.plan.ranks)
            block.entries.append(Step(("index", depth), team, loop.path, (), (("x", value),)))
        return value

    def _watch(self, loop: Loop, inner: Scope, block: Block, carry: list[tuple[str, str, str]]) -> None:
        """Report each turn, previews and streamed values, where the user is: on rank 0."""
        total = loop.count if loop.count is not None else loop.limit
        shown: list[tuple[Fn, str]] = []
        if loop.preview is not None:
            shown.append(
                (("preview", loop.path, loop.preview[1]), self._end(loop, loop.preview[0], inner, block))
            )
        for port in loop.stream:
            if port in loop.collect:
                shown.append(
                    (("stream", loop.path, port), self._end(loop, loop.collect[port][0], inner, block))
                )
        known = [n for _, _, n in carry if n in block.own or n in self.team]
        made = [n for e in block.entries if isinstance(e, Step) for _, n in e.writes]
        near = [n for n in made if any(m.rank == 0 for m in self.team[n])]
        tick = (known if known and self.home(known[-1]) == 0 else near[-1:]) or known or made
        shown += [(("turn", loop.path, total or 0), tick[-1])] if tick else []
        for fn, value in shown:
            block.entries.append(Step(fn, alone(0), loop.path, (("x", value),), ()))

    def _steps(self, node: Node, scope: Scope) -> list[Step]:
        batch = self.batches.get(node.path)
        if batch is not None and batch.members[-1] != node.path:
            return []
        if batch is not None:
            return self._batched(batch, scope)
        names = {k: self.flow.name(r, scope) for k, r in keyed(node.inputs) if r.source != "$each"}
        wanted = self.needs.ports[node.path]
        steps = self._chain(node, self._segments(node, wanted), names, "")
        if isinstance(node, Call) and node.model in self.plan.warm_rows and steps[0].patched:
            warm = warm_segment(node, self.graph, self.registry, self.plan, wanted)
            for step in steps:
                step.phase = "steady"
            steps = [*self._chain(node, (warm,), names, ""), *steps]
            steps[0].phase = "warm"
        if draws(node, self.graph, self.registry):
            rows = enumerate(self.flow.owners(node.path))
            steps[0].reads += tuple((f"rows#{i}", self.flow.name(ref, scope)) for i, ref in rows)
        return steps

    def _segments(self, node: Node, wanted: Collection[str]) -> tuple[Segment, ...]:
        rowed = self.works[node.path].unit > 0
        batched = self.works[node.path].batch is not None
        return segments(node, self.graph, self.registry, self.plan, wanted, rowed=rowed, batched=batched)

    def _chain(
        self, node: Node, chain: tuple[Segment, ...], names: Mapping[str, str], mark: str
    ) -> list[Step]:
        """Steps of the segments; `names` are those of the inputs. A port is `path.port`, other keys `path.key@k`."""
        names, found = dict(names), []
        whens = tuple(
            (f"when#{i}", self.flow.name(r, s)) for i, (r, s) in enumerate(self.flow.conditions(node.path))
        )
        work, inner = self.works[node.path], set[str]()
        for k, segment in enumerate(chain):
            reads = tuple((key, names[key]) for key in segment.reads if key in names)
            forms = {key: INNER if key in inner else work.forms[key] for key, _ in reads}
            for key in segment.writes:
                is_port = key in node.outputs and not any(key in s.writes for s in chain[k + 1 :])
                names[key] = f"{node.path}{mark}.{key}" if is_port else f"{node.path}{mark}.{key}@{k}"
                self.team[names[key]] = segment.team
                forms[f">{key}"] = work.forms[key] if is_port else INNER
                inner.update(() if is_port else (key,))
            writes = tuple((key, names[key]) for key in segment.writes)
            step = Step(segment.fn, segment.team, node.path, reads + whens, writes, segment.cost, forms)
            found.append(self._shared(step, segment.joint))
        return found

    def _shared(self, step: Step, joint: frozenset[str] = frozenset()) -> Step:
        """The step with what is known of cutting its work."""
        work, scope = self.works[step.path], self.flow.sites[step.path].scope
        step.unit, step.joint = work.unit, joint
        step.height = work.height
        loop = self.plan.loops.get(scope[-1].path) if scope else None
        step.patched = work.unit > 0 and loop is not None and loop.patches > 1
        step.batched = work.batch is not None
        return step

    def _batched(self, batch: Batch, scope: Scope) -> list[Step]:
        """Concatenate, call once, split. What comes from outside the loop is concatenated there."""
        nodes = [self.flow.sites[p].node for p in batch.members]
        links = [dict(keyed(n.inputs)) for n in nodes]
        wanted = sorted({p for m in batch.members for p in self.needs.ports[m]})
        chain = self._segments(nodes[0], wanted)
        names = {k: self.flow.name(links[0][k], scope) for k in batch.shared if links[0][k].source != "$each"}
        work, before = self.works[nodes[0].path], []
        for key in batch.joined:
            team = next((s.team for s in chain if key in s.reads), chain[0].team)
            parts = tuple((str(i), self.flow.name(link[key], scope)) for i, link in enumerate(links))
            names[key] = f"{batch.members[0]}&.{key}"
            self.team[names[key]] = team
            step = Step(("cat",), team, nodes[0].path, parts, (("x", names[key]),))
            form = form_of(self.flow.type(links[0][key], scope), work.batch)
            step.forms = dict.fromkeys((*(k for k, _ in parts), ">x"), form)
            self._shared(step).height = form.height
            depth = max(len(self.flow.home(link[key], scope)) for link in links)
            if depth < len(scope):
                self._hoisted.append((depth, step))
            else:
                before.append(step)
        calls = self._chain(nodes[0], chain, names, "&")
        after = []
        for port in wanted:
            made = f"{batch.members[0]}&.{port}"
            writes = tuple((str(i), f"{m}.{port}") for i, m in enumerate(batch.members))
            self.team.update(dict.fromkeys([n for _, n in writes], self.team[made]))
            step = Step(("split", len(writes)), self.team[made], nodes[0].path, (("x", made),), writes)
            step.forms = dict.fromkeys(("x", *(f">{k}" for k, _ in writes)), work.forms[port])
            self._shared(step).height = work.forms[port].height
            after.append(step)
        return before + calls + after


def _entry_writes(entry: Step | Turns) -> list[str]:
    if isinstance(entry, Step):
        return [n for _, n in entry.writes]
    return [*(o[0] for o in entry.out), *(c[0] for c in entry.collect)]
