"""Good toys and their spoiled variants; each variant breaks one promise."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mmm_graph.config import Config
from mmm_graph.registry import SamplerConfig


class LinearConfig(Config):
    in_dim: int | None = None
    out_dim: int | None = None


class Linear(nn.Module):
    """b l in_dim -> b l out_dim, a bias per row if given."""

    def __init__(self, config: LinearConfig) -> None:
        super().__init__()
        self.proj = nn.Linear(config.in_dim or 1, config.out_dim or 1)

    def forward(self, x: Tensor, shift: Tensor | None = None) -> Any:
        y = self.proj(x)
        return y if shift is None else y + shift[:, None, None]


class WrongShape(Linear):
    def forward(self, x: Tensor, shift: Tensor | None = None) -> Any:
        return super().forward(x, shift)[:, :, 1:]


class WrongPort(Linear):
    def forward(self, x: Tensor, shift: Tensor | None = None) -> Any:
        return {"features": super().forward(x, shift)}


class InPlace(Linear):
    def forward(self, x: Tensor, shift: Tensor | None = None) -> Any:
        return super().forward(x.mul_(2), shift)


class NeedsShift(Linear):
    def forward(self, x: Tensor, shift: Tensor | None = None) -> Any:
        return self.proj(x) + shift.mean()  # type: ignore[union-attr]


class GlobalTorch(Linear):
    def forward(self, x: Tensor, shift: Tensor | None = None) -> Any:
        return super().forward(x, shift) + torch.rand(1)


class GlobalNumpy(Linear):
    def forward(self, x: Tensor, shift: Tensor | None = None) -> Any:
        return super().forward(x, shift) + np.random.rand()


class GlobalRandom(Linear):
    def __init__(self, config: LinearConfig) -> None:
        super().__init__(config)
        self.proj.weight.data[0, 0] = random.random()


class Counts(Linear):
    calls = 0

    def forward(self, x: Tensor, shift: Tensor | None = None) -> Any:
        self.calls += 1
        return super().forward(x, shift) * self.calls


class Hidden(Linear):
    """Keeps a random tensor outside its state dict."""

    def __init__(self, config: LinearConfig) -> None:
        super().__init__(config)
        self.scale = torch.rand(1)

    def forward(self, x: Tensor, shift: Tensor | None = None) -> Any:
        return super().forward(x, shift) * self.scale


class Endless(Linear):
    def forward(self, x: Tensor, shift: Tensor | None = None) -> Any:
        return super().forward(x, shift) / 0


class Embed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.proj = nn.Linear(8, 4)

    def forward(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        h = self.proj(state["x"])
        mask = state.get("mask")
        return {"h": h if mask is None else h * mask[..., None]}


class Head(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.proj = nn.Linear(4, 3)

    def forward(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"pred": self.proj(state["h"])}


class TwoParts(nn.Module):
    def __init__(self, config: Config) -> None:
        super().__init__()
        self.parts = nn.ModuleDict({"embed": Embed(), "head": Head()})


class OutsidePart(TwoParts):
    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.extra = nn.Linear(2, 2)


class Steps(SamplerConfig):
    def evaluations(self, steps: int) -> int:
        return steps


class Euler:
    """x moves on the straight line between the levels, from the x0 it is given."""

    noise = False
    pointwise = True

    def __init__(self, config: Steps) -> None: ...

    def evaluations(self, times: Any) -> int:
        return len(times.t)

    def init(self, x: Tensor, times: Any) -> dict[str, Any]:
        return {"x": x}

    def put(self, state: Any, x: Tensor, times: Any, i: int) -> Any:
        return {**state, "x": x}

    def query(self, state: Any, times: Any, i: int) -> tuple[Tensor, Tensor]:
        return state["x"], times.t[i].expand(len(state["x"]))

    def update(
        self, state: Any, x0: Tensor, times: Any, i: int, noise: Any = None, variance: Any = None
    ) -> Any:
        eps = (state["x"] - times.alpha[i] * x0) / times.sigma[i]
        return {"x": times.alpha[i + 1] * x0 + times.sigma[i + 1] * eps}

    def latents(self, state: Any) -> Any:
        return state["x"]

    def result(self, state: Any) -> Any:
        return state["x"]


class EulerDeaf(Euler):
    def put(self, state: Any, x: Tensor, times: Any, i: int) -> Any:
        return state


class EulerOneMore(Euler):
    def evaluations(self, times: Any) -> int:
        return len(times.t) + 1


class EulerShort(Euler):
    def update(
        self, state: Any, x0: Tensor, times: Any, i: int, noise: Any = None, variance: Any = None
    ) -> Any:
        new = super().update(state, x0, times, i)
        return {"x": 0.9 * new["x"]}


class EulerInPlace(Euler):
    def update(
        self, state: Any, x0: Tensor, times: Any, i: int, noise: Any = None, variance: Any = None
    ) -> Any:
        state["x"] = super().update(state, x0, times, i)["x"]
        return state


class EulerState(Euler):
    def init(self, x: Tensor, times: Any) -> dict[str, Any]:
        return {"x": x, "mean": x.mean()}


class EulerMixes(Euler):
    def update(
        self, state: Any, x0: Tensor, times: Any, i: int, noise: Any = None, variance: Any = None
    ) -> Any:
        new = super().update(state, x0, times, i)["x"]
        last = i + 1 == len(times.t)
        return {"x": new if last else new + state["x"].mean(2, keepdim=True) * times.sigma[i + 1]}


def add_noise(x: Tensor, noise: Any) -> Tensor:
    return x + noise.normal(x.shape[1:])


def add_own_noise(x: Tensor, noise: Any) -> Tensor:
    return x + torch.randn_like(x)


def squared(pred: Tensor, target: Tensor) -> Tensor:
    return (pred - target).square().mean()


def squared_detached(pred: Tensor, target: Tensor) -> Tensor:
    return (pred - target).detach().square().mean()


def unreduced(pred: Tensor, target: Tensor) -> Tensor:
    return (pred - target).square()


class Squares:
    """Row i is i squared."""

    def __init__(self, config: Any) -> None:
        self.size = config.size

    def __len__(self) -> int:
        return int(self.size)

    def __getitem__(self, i: int) -> dict[str, Any]:
        return {"x": torch.full((3,), float(i * i)), "name": str(i)}


class NoisySquares(Squares):
    def __getitem__(self, i: int) -> dict[str, Any]:
        return {"x": torch.rand(3), "name": str(i)}


def descent(groups: Any, config: Any) -> torch.optim.Optimizer:
    return torch.optim.SGD(groups, lr=config.lr)


def ascent(groups: Any, config: Any) -> torch.optim.Optimizer:
    return torch.optim.SGD(groups, lr=config.lr, maximize=True)
