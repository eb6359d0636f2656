"""LoRA pairs of a file -> the weights of a model that they are for, by the layouts of its kind."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from torch import Tensor

from mmm_graph.checkpoint.fit import OWN
from mmm_graph.checkpoint.lora import LoraFile, Pair, some
from mmm_graph.errors import Place, RunError, problem
from mmm_graph.registry.layout import Layout, Theirs

WEIGHT = ".weight"
Shapes = Mapping[str, tuple[int, ...]]
Where = Mapping[str, tuple[tuple[str, Theirs], ...]]


class Added(NamedTuple):
    """What a pair adds to one weight of ours: factor * up @ down.

    Attributes:
        weight: its name in a file of ours.
        down: r in, or r in k k.
        up: out r; where theirs is fused, the rows of ours.
        factor: alpha / r.
    """

    weight: str
    down: Tensor
    up: Tensor
    factor: float


@dataclass(frozen=True)
class LoraFit:
    """One part of a LoRA file, read as one layout.

    Attributes:
        layout: its name.
        where: (pair, name of our weight, which piece of their module it is).
        unknown: modules that the model does not have.
        wrong: what is of another shape, or of a layer that has no LoRAs, in words.
    """

    part: str
    layout: str
    where: tuple[tuple[Pair, str, Theirs], ...]
    unknown: tuple[str, ...] = ()
    wrong: tuple[str, ...] = ()

    @property
    def problems(self) -> int:
        """How many modules do not fit."""
        return len(self.unknown) + len(self.wrong)

    def describe(self) -> str:
        """All that does not fit, the first few by name."""
        unknown, wrong = list(self.unknown), list(self.wrong)
        found = [f"the model lacks {len(unknown)} that it is for ({some(unknown)})"] if unknown else []
        found += [f"{len(wrong)} do not fit ({some(wrong)})"] if wrong else []
        names = "" if self.layout == OWN else f"read as the layout {self.layout}: "
        return names + "; ".join(found)


def fit_lora(
    file: LoraFile, part: str, ours: Shapes, able: frozenset[str], layouts: Sequence[Layout], config: Any
) -> LoraFit:
    """The layout under which all pairs of the part fit; if there is none, that under which the most find a weight.

    Args:
        ours: shape of every weight of the model, by its name in a file of ours.
        able: names of those that LoRAs can be added to.
        config: of the model, for layouts whose names depend on it.
    """
    weights = [name for name in ours if name.endswith(WEIGHT)]
    tables = {OWN: {name: Theirs((name,)) for name in weights}}
    tables |= {layout.name: layout.theirs(weights, config) for layout in layouts}
    fits = (_fit(file, part, name, _by_module(rows), ours, able) for name, rows in tables.items())
    return min(fits, key=lambda fit: (len(fit.unknown), fit.problems))


def read_lora(
    file: LoraFile, fit: LoraFit, wanted: frozenset[str], *, what: str, place: Place | None
) -> Iterator[Added]:
    """What is added to each of the wanted weights, pair by pair, on the CPU.

    Raises:
        RunError: E630, numbers that are whole, or not finite.
    """
    pairs: dict[Pair, list[tuple[str, Theirs]]] = {}
    for pair, weight, piece in fit.where:
        if weight in wanted:
            pairs.setdefault(pair, []).append((weight, piece))
    for pair, pieces in pairs.items():
        names = [name for name in (pair.down, pair.up, pair.alpha) if name is not None]
        tensors = dict(file.checkpoint.read(names))
        wrong = [n for n, t in tensors.items() if n != pair.alpha and not t.is_floating_point()]
        wrong += [n for n, t in tensors.items() if t.is_floating_point() and not t.float().isfinite().all()]
        if wrong:
            message = (
                f"{what}: {file.path}: {', '.join(wrong)}: expected finite numbers that need not be whole"
            )
            raise RunError(
                problem("E630", message, place, "the file is damaged or quantised; fetch the full one")
            )
        alpha = float(tensors[pair.alpha]) if pair.alpha is not None else None
        factor, up = file.factor(fit.part, pair, alpha), tensors[pair.up].flatten(1)
        for weight, piece in pieces:
            yield Added(weight, tensors[pair.down], piece.of(up), factor)


def _by_module(rows: Mapping[str, Theirs]) -> Where:
    """Their module -> our weights in it, under its name and, if no other has the same, that with underscores.

    What they keep several times is left out: a LoRA of one copy would make it differ from the others. So are matrices
    that are no layers there, which LoRAs are not for.
    """
    found: dict[str, tuple[tuple[str, Theirs], ...]] = {}
    for name, theirs in rows.items():
        if len(theirs.names) == 1 and theirs.names[0].endswith(WEIGHT) and not theirs.transposed:
            module = theirs.names[0].removesuffix(WEIGHT)
            found[module] = (*found.get(module, ()), (name, theirs))
    flat: dict[str, list[str]] = {}
    for module in found:
        flat.setdefault(module.replace(".", "_"), []).append(module)
    return {key: found[modules[0]] for key, modules in flat.items() if len(modules) == 1} | found


def _fit(file: LoraFile, part: str, layout: str, where: Where, ours: Shapes, able: frozenset[str]) -> LoraFit:
    found: list[tuple[Pair, str, Theirs]] = []
    unknown: list[str] = []
    wrong: list[str] = []
    for pair in file.parts[part]:
        pieces = where.get(pair.module, ())
        if not pieces:
            unknown.append(pair.module)
        for weight, theirs in pieces:
            reason = _reason(file.checkpoint.shapes, pair, theirs.whole(ours[weight]))
            reason = reason if weight in able else "is no linear layer or convolution of this model"
            if reason:
                wrong.append(f"{pair.module}: {reason}")
            found.append((pair, weight, theirs))
    return LoraFit(part, layout, tuple(found), tuple(unknown), tuple(dict.fromkeys(wrong)))


def _reason(there: Shapes, pair: Pair, whole: tuple[int, ...]) -> str:
    """Why a pair does not fit a weight of theirs; "" if it does."""
    down, up = there[pair.down], there[pair.up]
    shapes = f"down {list(down)} and up {list(up)}"
    if len(down) < 2 or len(up) < 2 or not down[0] or down[0] != up[1] or math.prod(up[2:]) != 1:
        return f"{shapes} are no pair of one rank"
    if up[0] != whole[0] or math.prod(down[1:]) != math.prod(whole[1:]):
        return f"{shapes} in the file, {list(whole)} in the model"
    if pair.alpha is not None and math.prod(there[pair.alpha]) != 1:
        return f"alpha {list(there[pair.alpha])} is no number"
    return ""
