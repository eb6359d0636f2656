"""A graph under a plan, on devices of one kind -> how long tasks and messages take at best: costs for the simulator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

from mmm_graph.graph.graph import Call
from mmm_graph.plan.block import Blocks
from mmm_graph.plan.cost import DTYPE_BYTES, parts_of
from mmm_graph.plan.devices import Device
from mmm_graph.plan.ops import At, Fn, Repeat, Task, Value
from mmm_graph.plan.roofline import Lengths, Share, Spent, begins, goes_on, path_works, rate_of, spend
from mmm_graph.plan.rows import model_type
from mmm_graph.plan.simulate import Costs
from mmm_graph.plan.sizes import Sizes
from mmm_graph.plan.turns import turns_s
from mmm_graph.plan.whole import node_of
from mmm_graph.registry.node_type import ModelType
from mmm_graph.registry.part import Part

PROMPT = 512
"""Tokens of a prompt, where nobody says how long it is."""
HEAVY = ("Image", "Video", "Latents", "Audio", "Mel", "Ids", "Embeds")
"""A method that reads one of these works on it."""


class Named(NamedTuple):
    """A device and what it is called."""

    name: str
    device: Device
    tf32: bool = False


@dataclass(frozen=True)
class Reader:
    """How long the texts are that language models read.

    Attributes:
        prompt: tokens.
        answer: tokens, of the longest loop that asks a cache; 0: none does.
    """

    prompt: int
    answer: int = 0

    def text(self, kind: ModelType, call: Call) -> Lengths | None:
        """Of a call, in the middle of the answer; None: its parts are counted for the text that it reads."""
        if goes_on(kind, call):
            return Lengths(self.prompt + self.answer // 2, step=True)
        if kind.kind.startswith("llm."):
            return Lengths(self.prompt, starts=begins(kind, call))
        return None


class Prediction:
    """Seconds of tasks and messages.

    Attributes:
        unknown: calls of which nobody says what they do, counted as nothing.
    """

    def __init__(self, blocks: Blocks, sizes: Sizes, on: Named, reader: Reader) -> None:
        self.blocks, self.sizes, self.on, self.reader = blocks, sizes, on, reader
        self.unknown: set[str] = set()
        self._known: dict[object, float] = {}

    def costs(self) -> Costs:
        """For `simulate`."""
        return Costs(self.task_s, lambda move: self.value_s(move.value))

    def task_s(self, task: Task, member: int) -> float:
        """A member's part of a task."""
        if task.repeat is not None:
            return self._repeat(task.id, task.repeat)
        return self.run_s(task.fn, task.at[member])

    def run_s(self, fn: Fn, at: At) -> float:
        """A Run; only calls of models take time."""
        site = self.blocks.flow.sites.get(at.node)
        if site is None or not isinstance(site.node, Call) or fn[0] not in ("slice", "op"):
            return 0.0
        key = (fn, at.share, at.spans[at.member] if at.spans else (), at.total)
        if key not in self._known:
            self._known[key] = self._call(site.node, fn, at).seconds
        return self._known[key]

    def value_s(self, value: Value) -> float:
        """A message; of unknown size, it takes none."""
        found = self._state_bytes(value)
        if found is None:
            found = self.sizes.bytes(value)
        return (found or 0) / (self.on.device.link or float("inf"))

    def _call(self, call: Call, fn: Fn, at: At) -> Spent:
        path = self.path(call)
        if path is None:
            return Spent()
        a, b = (int(str(n)) for n in fn[2:4]) if fn[0] == "slice" else (0, len(path))
        return self.spent(call, path, self._share(call, at), (a, b))

    def spent(self, call: Call, path: Sequence[Part], share: Share, span: tuple[int, int]) -> Spent:
        """Parts `span` of a path."""
        model = self.blocks.graph.models[call.model]
        rate = rate_of(self.on.device, self.on.name, model, tf32=self.on.tf32)
        text = self.reader.text(self._kind(call), call)
        works = [work for _, work in path_works(path, model, text, share)][slice(*span)]
        return sum((spend(work, rate, self.on.device.bandwidth) for work in works), Spent())

    def path(self, call: Call) -> Sequence[Part] | None:
        """Parts that a call runs; None where it is not said."""
        kind, model = self._kind(call), self.blocks.graph.models[call.model]
        path = kind.methods[call.method].path
        if path is None or kind.parts is None:
            if any(port.kind in HEAVY for port in kind.methods[call.method].inputs.values()) and kind.weights:
                self.unknown.add(f"{call.model}.{call.method}")
            return None
        table = {part.name: part for part in parts_of(model, kind)}
        return [table[name] for name in path(model.config, call.config)]

    def _kind(self, call: Call) -> ModelType:
        return model_type(self.blocks.graph, self.blocks.registry, call.model)

    def _share(self, call: Call, at: At) -> Share:
        each, more = divmod(self.sizes.batch * self.blocks.joined(call.path), at.share[1])
        rows = Fraction(1)
        if at.spans:
            first, last = at.spans[at.member]
            rows = Fraction(last - first, at.total)
        tensor = self.blocks.plan.axes_of(call.model)["tensor"]
        return Share(each + (at.share[0] < more), float(rows), tensor, float(self.sizes.scale(call)))

    def _state_bytes(self, value: Value) -> float | None:
        """Of the state of a text between parts, whose table is made for another length."""
        path = node_of(self.blocks.flow, value.name)
        site = self.blocks.flow.sites.get(path)
        if site is None or not isinstance(site.node, Call):
            return None
        call, key = site.node, value.name[len(path) :].lstrip("&").partition(".")[2].partition("@")[0]
        text = self.reader.text(self._kind(call), call)
        for part, tokens, of_text in text.works(self.path(call) or ()) if text is not None else ():
            if of_text is not None and key in part.sizes:
                batch = Fraction(self.sizes.batch, value.share[1])
                item_bytes = DTYPE_BYTES[self.blocks.graph.models[call.model].dtype or "f32"]
                return float(part.sizes[key] * Fraction(tokens, of_text.tokens) * batch * item_bytes)
        return None

    def _repeat(self, id_: object, repeat: Mapping[int, Repeat]) -> float:
        if id_ not in self._known:
            self._known[id_] = turns_s(repeat, self.run_s, self.value_s)
        return self._known[id_]
