"""A sampler, driven for a few updates with made-up predictions."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from mmm_graph.config import Config
from mmm_graph.nn.sampler import Times
from mmm_graph.registry.node_type import SamplerConfig
from mmm_graph.testing.same import copied, same, untouched_rng
from mmm_graph.testing.values import cosine_times

SHAPE = (2, 3, 4, 5)


def check_sampler(kind: str, sampler: Any, config: Config) -> None:
    """The state machine keeps its promises for 1, 2 and 7 steps.

    Raises:
        AssertionError: the first broken one.
    """
    assert isinstance(config, SamplerConfig)
    for steps in (1, 2, 7):
        times = cosine_times(steps)
        count = sampler.evaluations(times)
        if count != config.evaluations(steps):
            said = config.evaluations(steps)
            raise AssertionError(f"{kind} asks {count} times for {steps} steps, but its config says {said}")
        with untouched_rng(kind), torch.no_grad():
            target = _normal(steps, 0)
            track = _drive(kind, sampler, times, target)
            again = _drive(kind, sampler, times, target)
        if not same(track, again):
            raise AssertionError(f"{kind}: two runs on the same inputs gave different results")
        error = float((track[-1] - target).abs().max())
        if not error < 1e-3:
            raise AssertionError(
                f"{kind}: every prediction was the same x0, yet after {steps} steps it is {error:.2g} off"
            )
    if sampler.pointwise != config.pointwise():
        said = config.pointwise()
        raise AssertionError(f"{kind} has pointwise {sampler.pointwise}, but its config says {said}")
    if sampler.pointwise:
        _check_pointwise(kind, sampler)


def _normal(seed: int, index: int) -> Tensor:
    return torch.randn(
        SHAPE, generator=torch.Generator().manual_seed(1000 * seed + index), dtype=torch.float64
    )


def _drive(kind: str, sampler: Any, times: Times, target: Tensor, rows: slice = slice(None)) -> list[Tensor]:
    """Latents after each update, and the result, for a denoiser that always predicts `target`.

    `rows` cuts the height of everything.
    """
    track = []
    x = (times.alpha[0] * target + times.sigma[0] * _normal(99, 0))[:, :, rows]
    state = _checked(kind, "init", sampler.init(x, times), x)
    for i in range(sampler.evaluations(times)):
        before = copied(state)
        asked, t = sampler.query(state, times, i)
        if asked.shape != x.shape or tuple(t.shape) != (len(x),):
            raise AssertionError(
                f"{kind}.query gave x{list(asked.shape)} and t{list(t.shape)} for x{list(x.shape)}"
            )
        noise = _normal(7, i)[:, :, rows] if sampler.noise else None
        after = _checked(kind, "update", sampler.update(state, target[:, :, rows], times, i, noise=noise), x)
        if not same(state, before):
            raise AssertionError(f"{kind}.update changed the state that it was given; return a new dict")
        state = after
        _check_put(kind, sampler, state, times, i + 1)
        track.append(sampler.latents(state))
    track.append(sampler.result(state))
    wrong = [list(v.shape) for v in track if v.shape != x.shape]
    if wrong:
        raise AssertionError(f"{kind}: latents or result have the shape {wrong[0]}, not {list(x.shape)}")
    return track


def _check_put(kind: str, sampler: Any, state: Any, times: Times, i: int) -> None:
    """A latent that is put in the place of the next question is what is asked; after the last, what results."""
    put = sampler.latents(state) + 1
    state = sampler.put(state, put, times, i)
    found = sampler.query(state, times, i)[0] if i < sampler.evaluations(times) else sampler.result(state)
    if not torch.equal(found, put):
        raise AssertionError(
            f"{kind}.put: evaluation {i} asks about (or results in) another latent than was put"
        )


def _checked(kind: str, what: str, state: Any, x: Tensor) -> dict[str, Tensor]:
    if not isinstance(state, dict):
        raise AssertionError(f"{kind}.{what} returned {type(state).__name__}; a state is a dict of tensors")
    for name, value in state.items():
        if not isinstance(value, Tensor) or value.shape != x.shape:
            found = list(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise AssertionError(f"{kind}.{what}: state {name!r} is {found}; expected a tensor shaped like x")
        if not bool(torch.isfinite(value).all()):
            raise AssertionError(f"{kind}.{what}: state {name!r} holds values that are not finite")
    return state


def _check_pointwise(kind: str, sampler: Any) -> None:
    times, target, rows = cosine_times(3), _normal(5, 0), slice(0, 2)
    with torch.no_grad():
        whole, patch = _drive(kind, sampler, times, target), _drive(kind, sampler, times, target, rows)
    if not all(torch.allclose(a[:, :, rows], b, atol=1e-9) for a, b in zip(whole, patch, strict=True)):
        raise AssertionError(f"{kind} is declared pointwise, but a patch alone gives another result")
