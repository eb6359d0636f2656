"""Drives a diffusers scheduler and one of our samplers over the same toy denoiser and the same noise."""

from __future__ import annotations

import importlib
import math
import sys
from types import ModuleType
from typing import Any

import torch

from mmm_diffusion import ops
from mmm_diffusion.config import InitConfig, TimesConfig
from mmm_diffusion.foreign import read_scheduler
from mmm_diffusion.node import node_types
from mmm_graph.registry import resolve

SHAPE = (2, 3, 4, 4)


class Wide:
    """A module in which float32 means float64."""

    def __init__(self, module: ModuleType) -> None:
        self._module = module
        self.float32 = module.float64

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)


def peer(name: str, monkeypatch, *, wide: bool = True, **config):
    """A diffusers scheduler; wide: its module builds its tables and casts samples in float64.

    The peers make their tables (and Euler, Heun, DPM-Solver their steps) in float32 whatever the sample's
    dtype; over 1000 steps 1 - alpha_bar_t / alpha_bar_(t-1) then loses four digits. So what float32 means is
    replaced inside the peer's module, instead of loosening the tolerance.
    """
    cls = peer_class(name, monkeypatch)
    module = importlib.import_module(cls.__module__)
    if wide:
        monkeypatch.setattr(module, "torch", Wide(module.torch))
        monkeypatch.setattr(module, "np", Wide(module.np))
    return cls(**config)


def peer_class(name: str, monkeypatch) -> type:
    """DPMSolverSDEScheduler wants torchsde for its Brownian tree, whose noise is given in these tests."""
    if name == "DPMSolverSDEScheduler":
        monkeypatch.setitem(sys.modules, "torchsde", ModuleType("torchsde"))
        return getattr(importlib.import_module("diffusers.schedulers.scheduling_dpmsolver_sde"), name)
    return getattr(importlib.import_module("diffusers"), name)


class Path:
    """Stands for their BrownianTreeNoiseSampler: one path over sigma, of a given increment each evaluation."""

    def __init__(self, noises: list[torch.Tensor]) -> None:
        self.noises, self.calls, self.middle = noises, 0, 0.0

    def __call__(self, start: torch.Tensor, end: torch.Tensor) -> torch.Tensor:
        noise, first = self.noises[self.calls], self.calls % 2 == 0
        self.calls += 1
        if first:
            self.middle = end
            return noise
        early, late = start - self.middle, self.middle - end
        whole = early.sqrt() * self.noises[self.calls - 2] + late.sqrt() * noise
        return whole / (start - end).sqrt()


def from_theirs(name: str, config: dict[str, Any], steps: int, **more: Any):
    """Our sampler and times of their config, and the config of the start, through the translator."""
    found = read_scheduler({"_class_name": name, **config})
    nodes = {n.kind: n for n in node_types()}
    law, sampler = (nodes[found[role]["kind"]] for role in ("scheduler", "sampler"))
    built = resolve(law.builder)(law.config(**found["scheduler"]["config"]))
    times = built.times(TimesConfig(steps=steps, **found["times"], **more))
    rule = resolve(sampler.builder)(sampler.config(**found["sampler"]["config"]))
    return rule, times, found["init"].get("scale", "none")


def toy(x: torch.Tensor, t: float) -> torch.Tensor:
    """A denoiser without weights: nonlinear, and different at each time."""
    return torch.tanh(x * 0.7 + 0.1 * math.sin(float(t))) * 0.9


def draws(count: int, dtype: torch.dtype, seed: int = 0) -> list[torch.Tensor]:
    """Start noise and the noise of each step."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(SHAPE, generator=generator, dtype=torch.float64).to(dtype) for _ in range(count + 1)]


class Given:
    """Stands for nn.noise.Noise: hands out the given tensors, the i-th to evaluation i."""

    def __init__(self, tensor: torch.Tensor) -> None:
        self.tensor = tensor

    def normal(self, shape, **_):
        assert tuple(shape) == SHAPE[1:]
        return self.tensor


def run_ours(sampler, times, x, noises, scale="none", model=toy, kept=None):
    """Result and the times that the denoiser was asked about. kept: mask, original and noise of `ops.keep`."""
    values = ops.init(x, times, sampler, InitConfig(scale=scale))
    asked = []
    for i in range(values["evaluations"]):
        asked.append(float(values["t"][0]))
        pred = model(values["x"], values["t"][0])
        pred, variance = pred.chunk(2, 1) if pred.shape[1] > SHAPE[1] else (pred, None)
        values = ops.step(values["state"], pred, times, i, sampler, Given(noises[i]), variance)
        if kept is not None:
            back = ops.keep(values["state"], values["x"], *kept, times, i, sampler)
            values = {**values, **back}
    return values["latents"], asked


def run_peer(scheduler, x, noises, monkeypatch, model=toy, skip=0, after=None, **step):
    """Result and the times that the denoiser was asked about.

    skip: evaluations that are left out, as image-to-image does. after: (x, number of the next evaluation) -> x.

    Where whole times repeat at the start, the peer looks its place up by time, begins with the second, and runs out of
    levels at the end; so it is told where to begin. A whole time times a Python float (LCM) has the default type.
    """
    module = importlib.import_module(type(scheduler).__module__)
    queue = iter(noises)
    if hasattr(module, "randn_tensor"):
        monkeypatch.setattr(module, "randn_tensor", lambda *_, **__: next(queue))
    if hasattr(module, "BrownianTreeNoiseSampler"):
        monkeypatch.setattr(module, "BrownianTreeNoiseSampler", lambda *_, **__: Path(noises))
    if len(scheduler.timesteps) > 1 and scheduler.timesteps[0] == scheduler.timesteps[1]:
        scheduler.set_begin_index(0)
    if skip and hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(skip)
    asked = []
    before = torch.get_default_dtype()
    torch.set_default_dtype(x.dtype)
    try:
        for i, t in enumerate(scheduler.timesteps[skip:]):
            asked.append(float(t))
            seen = scheduler.scale_model_input(x, t) if hasattr(scheduler, "scale_model_input") else x
            x = scheduler.step(model(seen, t), t, x, **step).prev_sample
            x = x if after is None else after(x, skip + i + 1)
    finally:
        torch.set_default_dtype(before)
    return x, asked


def assert_close(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    """1e-10 in float64, 1e-5 in float32, relative to max(1, max|x|)."""
    tolerance = 1e-10 if ours.dtype == torch.float64 else 1e-5
    size = max(1.0, float(theirs.abs().max()))
    error = float((ours - theirs).abs().max()) / size
    assert ours.dtype == theirs.dtype
    assert error <= tolerance, f"{error:.2e} > {tolerance:.0e}"
    return error
