"""Calls -> least seconds on a device: each part takes as long as its products or its memory traffic, whichever is more.

Source: Williams, Waterman, Patterson 2009 (doi:10.1145/1498765.1498785), the roofline model.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from mmm_graph.errors import InputError, problem
from mmm_graph.graph.graph import Call, ModelNode
from mmm_graph.plan.cost import DTYPE_BYTES, bytes_of
from mmm_graph.plan.devices import Device
from mmm_graph.registry.node_type import ModelType
from mmm_graph.registry.part import Part, TextWork


@dataclass(frozen=True)
class Work:
    """What is to do.

    Attributes:
        flops: multiply-adds x 2.
        bytes: of weights, state and caches that go through the memory.
    """

    flops: float = 0.0
    bytes: float = 0.0


@dataclass(frozen=True)
class Spent:
    """Seconds; in `products`, those of parts whose products take longer than their traffic."""

    seconds: float = 0.0
    products: float = 0.0

    def __add__(self, other: Spent) -> Spent:
        return Spent(self.seconds + other.seconds, self.products + other.products)

    @property
    def bound(self) -> str:
        """What most of the time is spent with."""
        return "compute" if 2 * self.products > self.seconds else "memory"


@dataclass(frozen=True)
class Share:
    """How much of a call a rank does.

    Attributes:
        batch: elements.
        rows: share of the rows or tokens of each.
        tensor: ranks that share each part's columns.
        scale: size of the images, in that which the parts are counted for.
    """

    batch: float = 1
    rows: float = 1
    tensor: int = 1
    scale: float = 1


ALL = Share()


def goes_on(kind: ModelType, call: Call) -> bool:
    """Whether a call has a cache of what came before: it is asked for one token more."""
    return any(port.kind == "State" for port in kind.methods[call.method].inputs.values())


def begins(kind: ModelType, call: Call) -> bool:
    """Whether a call makes a cache."""
    return any(port.kind == "State" for port in kind.methods[call.method].returns.values())


@dataclass(frozen=True)
class Lengths:
    """How long the text of a call is.

    Attributes:
        prompt: tokens before it, or that it reads itself.
        step: it is one token more.
        starts: it begins a cache: of the last token only the logits are wanted.
    """

    prompt: int
    step: bool = False
    starts: bool = False

    def works(self, parts: Iterable[Part]) -> Iterator[tuple[Part, int, TextWork | None]]:
        """Parts of a path, each with the tokens that it works on; 0 for those that do not work on a text."""
        one = self.step
        for part in parts:
            text = part.text
            yield part, 0 if text is None else 1 if one else self.prompt, text
            one = one or (self.starts and text is not None and text.last)


def path_works(
    parts: Iterable[Part], model: ModelNode, text: Lengths | None, share: Share = ALL
) -> Iterator[tuple[Part, Work]]:
    """What each part of a whole path has to do.

    Args:
        text: None: each part works on as many tokens as it is counted for.
    """
    item_bytes, held = DTYPE_BYTES[model.dtype or "f32"], dict[str, float]()
    told = text.works(parts) if text is not None else ((p, 0, None) for p in parts)
    for part, tokens, of_text in told:
        ratio = tokens / of_text.tokens if of_text is not None else share.scale
        made = {key: n * ratio * share.batch * share.rows for key, n in part.sizes.items()}
        numbers = sum(made.values()) + sum(held.get(key, 0.0) for key in part.reads)
        flops, cache = part.flops * ratio, 0.0
        if of_text is not None and text is not None:
            flops, cache = _of_text(part, of_text, tokens, text)
        held |= made
        weights = weights_read(part, model, step=text is not None and text.step) / share.tensor
        traffic = (numbers + cache * share.batch / share.tensor) * item_bytes
        yield part, Work(flops * share.batch * share.rows / share.tensor, weights + traffic)


def weights_read(part: Part, model: ModelNode, *, step: bool = False) -> int:
    """Bytes of the weights that one call reads: all but the rows of tables; what is done once only the first time."""
    once = part.text.once_params if step and part.text is not None else 0
    read = replace(part, params=part.params - part.table - once, linear=max(0, part.linear - once))
    return bytes_of(model, [read])


def _of_text(part: Part, of_text: TextWork, tokens: int, text: Lengths) -> tuple[float, float]:
    """(flops, numbers read from the cache) for so many tokens that see the prompt."""
    plain = part.flops - of_text.pairs - of_text.once_flops
    sees = min(text.prompt, of_text.window or text.prompt)
    longer = sees / of_text.seen if of_text.seen else 1.0
    flops = plain * tokens / of_text.tokens + of_text.pairs * tokens / of_text.tokens * longer
    if text.step:
        return flops, part.kept * longer
    others = of_text.seen - of_text.tokens
    return flops + of_text.once_flops * (text.prompt / others if others > 0 else 1.0), 0.0


def spend(work: Work, rate: float, bandwidth: float) -> Spent:
    """How long it takes: the longer of products and traffic."""
    products, traffic = work.flops / rate, work.bytes / bandwidth
    return Spent(max(products, traffic), products if products >= traffic else 0.0)


def rate_of(device: Device, name: str, model: ModelNode, *, tf32: bool) -> float:
    """FLOP/s of a model's products.

    Raises:
        InputError: E528, nobody says how fast the device multiplies numbers of its dtype.
    """
    dtype = model.dtype or "f32"
    found = device.rate(dtype, tf32=tf32)
    if found is None:
        message = f"{name} has no flops of {dtype}, in which {model.name} computes; it has {', '.join(device.flops)}"
        raise InputError(problem("E528", message, hint=f"add `{dtype}:` to its flops"))
    return found
