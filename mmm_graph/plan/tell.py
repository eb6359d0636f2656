"""A Program for people: one line for what is done, equal patches and equal turns told once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from mmm_graph.graph.graph import Call, Loop
from mmm_graph.plan.block import Blocks
from mmm_graph.plan.ops import ALL, WHOLE, At, Instruction, Recv, Repeat, Run, Send, Value
from mmm_graph.plan.rows import model_type
from mmm_graph.plan.whole import node_of
from mmm_graph.spec.plan import LoopPlan


@dataclass(frozen=True)
class Line:
    """Something that a rank does.

    Attributes:
        loops: paths of the loops around it, outermost first; `step` has its turn in each.
        way: "send" or "receive", and `peer`, the other rank; messages that follow each other are told together.
        back: how much earlier it is than what it stands under.
        inner: the lines of a turn of an `until` loop.
    """

    text: str
    step: tuple[int, ...] = ()
    loops: tuple[str, ...] = ()
    patch: int = ALL
    way: str = ""
    peer: int = 0
    back: str = ""
    inner: tuple[Line, ...] = ()


def tell(program: Iterable[Instruction], blocks: Blocks) -> Iterator[str]:
    """One line for each instruction but Free, which nobody has to know.

    Lines stand in the order in which the rank goes through them. Under `turn 3` is what follows the first instruction
    of turn 3 until the first of turn 4, likewise for patches. `[-1]` is of the patch before, `[-1 turn]` of the turn
    before, `[all]` is done once for all patches.
    """
    reader = _Reader(blocks)
    return _Teller(blocks.plan.loops).told([*reader.lines(program)], 0)


class _Reader:
    """Instructions -> lines."""

    def __init__(self, blocks: Blocks) -> None:
        self.blocks, self.flow = blocks, blocks.flow

    def lines(self, program: Iterable[Instruction]) -> Iterator[Line]:
        for item in program:
            if isinstance(item, Run):
                loops = self._loops(item.at.node, item.at.step)
                yield Line(self._run(item, loops), item.at.step[: len(loops)], loops, item.at.patch)
            elif isinstance(item, Send | Recv):
                loops = self._loops(node_of(self.flow, item.value.name), item.value.step)
                way, peer = ("send", item.to) if isinstance(item, Send) else ("receive", item.source)
                name = self._short(item.value, loops)
                yield Line(name, item.value.step, loops, item.value.patch, way, peer)
            elif isinstance(item, Repeat):
                flag = item.flag.name if item.flag else "the end"
                text = f"repeat {item.node} until {flag}, at most {item.limit} turns"
                loops = self._loops(item.node, item.step)
                yield Line(text, item.step, loops, inner=tuple(self.lines(item.body)))

    def _loops(self, path: str, step: tuple[int, ...]) -> tuple[str, ...]:
        site = self.flow.sites.get(path)
        if site is None:
            return ()
        around = [*(loop.path for loop in site.scope), *([path] if isinstance(site.node, Loop) else [])]
        return tuple(around[: len(step)])

    def _run(self, item: Run, loops: tuple[str, ...]) -> str:
        kind, at = str(item.fn[0]), item.at
        made = ", ".join(key for key, _ in item.writes)
        node = _within(at.node, loops)
        if kind == "slice":
            return f"{node}  {self._parts(item)}{_piece(at)}" + (f" -> {made}" if made else "")
        if kind == "op":
            return f"{node}{_piece(at)}" + (f" -> {made}" if made else "")
        if kind == "leave":
            return f"{item.fn[1]} leaves"
        if kind == "forget":
            return f"forget what {at.node} has kept"
        read = ", ".join(dict.fromkeys(self._short(v, loops) for _, v in item.reads))
        if kind == "copy":
            return f"{COPIES[str(item.fn[1]), str(item.fn[2]) if item.fn[1] == 'join' else '']} {read}"
        if kind in ("cat", "split", "collect"):
            return f"{kind} {read}"
        return " ".join(map(str, item.fn))

    def _parts(self, item: Run) -> str:
        _, path, a, b = item.fn
        node = self.flow.sites[str(path)].node
        assert isinstance(node, Call) and isinstance(a, int) and isinstance(b, int)
        method = model_type(self.blocks.graph, self.blocks.registry, node.model).methods[node.method]
        assert method.path is not None
        names = tuple(method.path(self.blocks.graph.models[node.model].config, node.config))[a:b]
        return names[0] if len(names) == 1 else f"{names[0]}..{names[-1]}"

    def _short(self, value: Value, loops: tuple[str, ...]) -> str:
        part = "" if value.share == WHOLE else f" part {value.share[0]} of {value.share[1]}"
        return _within(value.name.partition("@")[0], loops).replace("&.", ".") + part


COPIES: Mapping[tuple[str, str], str] = {
    ("cut", ""): "cut rows of",
    ("take", ""): "take a part of the batch of",
    ("join", "rows"): "join rows of",
    ("join", "batch"): "join parts of the batch of",
}


def _within(path: str, loops: tuple[str, ...]) -> str:
    return path.removeprefix(f"{loops[-1]}/") if loops else path


def _piece(at: At) -> str:
    """Which part of the batch, and in whole images which rows."""
    said = [] if at.share == WHOLE else [f"part {at.share[0]} of {at.share[1]}"]
    if at.patch == ALL and len(at.spans) > 1:
        a, b = at.spans[at.member]
        said.append(f"rows {a} to {b} of {at.total}")
    return f" ({', '.join(said)})" if said else ""


class _Teller:
    """Lines -> text."""

    def __init__(self, loops: Mapping[str, LoopPlan]) -> None:
        self.loops = loops

    def told(self, lines: Sequence[Line], depth: int) -> Iterator[str]:
        """Lines inside `depth` loops."""
        i = 0
        while i < len(lines):
            if len(lines[i].step) <= depth:
                j = next((k for k in range(i, len(lines)) if len(lines[k].step) > depth), len(lines))
                yield from self._plain(lines[i:j], depth)
            else:
                loop = lines[i].loops[depth]
                j = 1 + max(k for k, line in enumerate(lines) if _is_in(line, loop, depth))
                yield from self._turns(lines[i:j], loop, depth)
            i = j

    def _plain(self, lines: Iterable[Line], depth: int) -> Iterator[str]:
        for (back, way), group in groupby(lines, key=lambda line: (line.back, line.way)):
            mark = f"{back} " if back else ""
            if way:
                side = "to" if way == "send" else "from"
                yield from (f"{mark}{way} {names} {side} {ranks}" for names, ranks in _joined(group))
                continue
            for line in group:
                yield mark + line.text
                yield from (f"  {text}" for text in self.told(line.inner, depth + 1))

    def _turns(self, lines: Sequence[Line], loop: str, depth: int) -> Iterator[str]:
        chunks = _chunks(lines, lambda line: line.step[depth] if _is_in(line, loop, depth) else None)
        plan, told = self.loops.get(loop, LoopPlan()), []
        for turn, chunk in chunks:
            place = turn, 1 if _is_warm(plan, turn) else plan.patches
            told.append((_note(plan, turn), tuple(self._turn(chunk, place, depth)), turn))
        for (note, same), run in groupby(told, key=lambda item: item[:2]):
            yield _header("turn", [t for _, _, t in run], note)
            yield from (f"  {text}" for text in same)

    def _turn(self, lines: Sequence[Line], place: tuple[int, int], depth: int) -> Iterator[str]:
        """Lines of a turn, by patch where it has any; `place`: (turn, patches in it)."""
        turn, num = place

        def own(line: Line) -> int | None:
            is_own = line.patch != ALL and len(line.step) == depth + 1 and line.step[depth] == turn
            return line.patch if is_own else None

        if num == 1 or all(own(line) is None for line in lines):
            yield from self.told([_aged(line, turn, depth) for line in lines], depth + 1)
            return
        told = [(tuple(self._patch(chunk, (turn, p, num), depth)), p) for p, chunk in _chunks(lines, own)]
        for same, run in groupby(told, key=lambda item: item[0]):
            patches = [p for _, p in run]
            if patches == [ALL]:  # before the first patch
                yield from same
                continue
            yield _header("patch", patches)
            yield from (f"  {text}" for text in same)

    def _patch(self, lines: Iterable[Line], place: tuple[int, int, int], depth: int) -> Iterator[str]:
        """Lines that stand under a patch; `place`: (turn, patch, patches of the loop)."""
        turn, patch, num = place
        found = []
        for line in lines:
            if len(line.step) <= depth or (line.patch == ALL and (line.step[depth] < turn or patch == ALL)):
                found.append(_aged(line, turn, depth))
            elif line.patch == ALL:
                found.append(replace(line, step=(), back="[all]"))
            else:
                age = (turn - line.step[depth]) * num + patch - line.patch
                found.append(replace(line, step=(), back=f"[-{age}]" if age else ""))
        yield from self._plain(found, depth + 1)


def _note(plan: LoopPlan, turn: int) -> str:
    if plan.patches == 1:
        return ""
    if _is_warm(plan, turn):
        return "warm-up on whole images"
    return "the first in patches" if turn == plan.warmup else ""


def _is_warm(plan: LoopPlan, turn: int) -> bool:
    return plan.warmup == "all" or turn < plan.warmup


def _chunks(lines: Iterable[Line], number: Callable[[Line], int | None]) -> list[tuple[int, list[Line]]]:
    """(number, lines from the first that has it to the first of the next); lines without one stay where they are."""
    found: list[tuple[int, list[Line]]] = []
    for line in lines:
        this = number(line)
        if not found or (this is not None and this > found[-1][0]):
            found.append((this if this is not None else ALL, []))
        found[-1][1].append(line)
    return found


def _joined(messages: Iterable[Line]) -> Iterator[tuple[str, str]]:
    """Messages that follow each other: those with the same ends together."""
    ranks: dict[str, list[int]] = {}
    for line in messages:
        ranks.setdefault(line.text, []).append(line.peer)
    names: dict[tuple[int, ...], list[str]] = {}
    for name, found in ranks.items():
        names.setdefault(tuple(dict.fromkeys(found)), []).append(name)
    for to, found_names in names.items():
        word = "rank" if len(to) == 1 else "ranks"
        yield ", ".join(found_names), f"{word} {', '.join(map(str, to))}"


def _is_in(line: Line, loop: str, depth: int) -> bool:
    return line.loops[depth : depth + 1] == (loop,)


def _aged(line: Line, turn: int, depth: int) -> Line:
    """The line as it stands under a turn; it may be of an earlier one."""
    age = turn - line.step[depth] if len(line.step) > depth else 0
    if age <= 0:
        return line
    return replace(line, step=(), loops=(), back=f"[-{age} turn{'s' if age > 1 else ''}]")


def _header(what: str, numbers: Sequence[int], note: str = "") -> str:
    first, last, count = numbers[0], numbers[-1], len(numbers)
    span = f"{what} {first}..{last}  x {count}" if count > 1 else f"{what} {first}"
    return span + (f"  ({note})" if note else "")
