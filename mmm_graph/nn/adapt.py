"""Lets a module of another library share its rows: convolutions, group norms and self-attention ask an exchange."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from functools import partial
from types import TracebackType
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from mmm_graph.nn.foreign import is_local, reason_against
from mmm_graph.parallel.exchange import SINGLE, Exchange

Forward = Callable[..., Any]


class Adapted:
    """What `adapt` did. As a context manager it takes it back at the end.

    Attributes:
        names: the sub-modules that ask the exchange now.
    """

    def __init__(self, layers: Mapping[str, nn.Module]) -> None:
        self.names = tuple(layers)
        self._layers = layers

    def undo(self) -> None:
        """Give the sub-modules their own forward back; a second time does nothing."""
        for layer in self._layers.values():
            del layer.forward, layer.exchange, layer.layer
        self._layers = {}

    def __enter__(self) -> Adapted:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.undo()


def adapt(
    module: nn.Module, exchange: Exchange = SINGLE, self_attention: str | Iterable[str] = "*.attn1"
) -> Adapted:
    """Let a module that knows no ranks work on the rows that are here, as its exchange says.

    Every nn.Conv2d that reads neighbouring pixels, every nn.GroupNorm, and the attention of the matched sub-modules ask
    `exchange`; all else is taken to work on each pixel by itself. Classes, parameters and their names stay. Only
    sub-modules are looked at: a function that mixes rows (a group norm, padding or convolution of
    torch.nn.functional, attention that is not matched) is not found. `parallel.exchange.install` installs another
    exchange later. The caller binds the exchange, and gives the module the rows that are its own.

    Args:
        self_attention: patterns (of fnmatch) of the names of sub-modules that attend between pixels with
            F.scaled_dot_product_attention, of nested ones the outermost; () = there are none. Cross-attention stays
            local: it must not match.

    Raises:
        ValueError: sub-modules whose rows cannot be shared, each with the reason; a pattern that matches nothing; a
            sub-module that asks an exchange already.
    """
    patterns = (self_attention,) if isinstance(self_attention, str) else tuple(self_attention)
    parts = dict(module.named_modules())
    attentions = outermost(matching(parts, patterns))
    found = {name: part for name, part in parts.items() if name in attentions or asks(part)}
    reasons = [f"{name}: {why}" for name, part in parts.items() if (why := reason_against(part))]
    reasons += [
        f"{name}: its forward is replaced already" for name in found if "forward" in vars(parts[name])
    ]
    reasons += [
        f"{pattern}: matches no sub-module" for pattern in patterns if not set(matching(parts, [pattern]))
    ]
    if reasons:
        raise ValueError(f"rows of {type(module).__name__} cannot be shared: " + "; ".join(reasons))
    for name, part in found.items():
        own: Any = part
        own.forward = own_forward(part, name in attentions)
        own.exchange, own.layer = exchange, name
    return Adapted(found)


def asks(part: nn.Module) -> bool:
    """Whether it is a layer that reads pixels beside those that it writes."""
    return isinstance(part, nn.Conv2d | nn.GroupNorm) and not is_local(part)


def matching(names: Iterable[str], patterns: Iterable[str]) -> Iterator[str]:
    """The names that a pattern matches."""
    patterns = tuple(patterns)
    return (name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns))


def outermost(names: Iterable[str]) -> set[str]:
    """Those inside none of the others: `blocks.*` means the blocks, not what they are made of."""
    found: set[str] = set()
    for name in sorted(names):  # a module comes before what it is made of
        dots = [i for i, letter in enumerate(name) if letter == "."]
        if not any(name[:end] in found for end in ([0, *dots] if name else [])):
            found.add(name)
    return found


def own_forward(part: nn.Module, is_attention: bool) -> Forward:
    """What the sub-module does instead of its forward. Set on the object: class and references stay."""
    if is_attention:
        return partial(attend, part, part.forward)
    return partial(convolve if isinstance(part, nn.Conv2d) else normalise, part)


def convolve(conv: Any, x: Tensor) -> Tensor:
    """b c h w -> b out h/stride w/stride."""
    padding = (conv.padding[0], conv.padding[0])
    y: Tensor = conv.exchange.conv2d(conv.layer, x, conv.weight, conv.bias, conv.stride[0], padding)
    return y


def normalise(norm: Any, x: Tensor) -> Tensor:
    """b c h w, or with the pixels of all rows in one dim b c l; the same back."""
    pixels = x if x.dim() == 4 else x.flatten(2).unsqueeze(3)  # b c l 1
    y: Tensor = norm.exchange.group_norm(
        norm.layer, pixels, norm.num_groups, norm.weight, norm.bias, norm.eps
    )
    return y.view(x.shape) if y.shape != x.shape else y


def attend(part: nn.Module, forward: Forward, *args: Any, **kwargs: Any) -> Any:
    """The own forward, in which scaled_dot_product_attention asks the exchange.

    Raises:
        ValueError: it attends by other means, which would see the rows here only.
    """
    routing = Routing(part)
    with routing:
        y = forward(*args, **kwargs)
    if not routing.calls:
        raise ValueError(
            f"{routing.layer}: its forward did not call F.scaled_dot_product_attention, so its rows cannot be shared; "
            f"choose the attention of torch (of diffusers: AttnProcessor2_0), or another pattern"
        )
    return y


class Routing(TorchFunctionMode):
    """While it is entered, on this thread, scaled_dot_product_attention goes through the exchange of `part`."""

    def __init__(self, part: Any) -> None:
        super().__init__()
        self.exchange: Exchange = part.exchange
        self.layer: str = part.layer
        self.calls = 0

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is not F.scaled_dot_product_attention:
            return func(*args, **kwargs)
        self.calls += 1
        return self.attention(*args, **kwargs)

    def attention(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> Tensor:
        """Over the whole sequence.

        Raises:
            ValueError: what an exchange does not know: dropout, another scale, grouped queries, cross-attention.
        """
        is_usual = scale is None or math.isclose(scale, query.shape[-1] ** -0.5, rel_tol=1e-6)
        refused = {
            f"dropout {dropout_p}": dropout_p,
            f"scale {scale}": not is_usual,
            "grouped queries": enable_gqa and key.shape[1] != query.shape[1],
            f"{query.shape[-2]} queries over {key.shape[-2]} keys": query.shape[-2] != key.shape[-2],
        }
        if any(refused.values()):
            what = ", ".join(name for name, is_so in refused.items() if is_so)
            raise ValueError(f"{self.layer}: self-attention with {what} cannot be shared among ranks")
        return self.exchange.attention(self.layer, query, key, value, attn_mask, is_causal)
