"""The ops around every denoiser call: start a sampler, make its step from a prediction, keep what is not painted."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from mmm_diffusion.config import ConcatConfig, InitConfig
from mmm_graph.nn.noise import Noise
from mmm_graph.nn.sampler import Sampler, State, Times, limit_x0, to_x0


def init(x: Tensor, times: Times, sampler: Sampler, config: InitConfig) -> dict[str, Any]:
    """Sampler state from a latent at the first level, and the first question to the denoiser.

    Args:
        x: pure noise or a noised image, [b, c, ...].

    Returns:
        state; x [b, c, ...] and t [b] to ask about; evaluations: how often the loop asks.
    """
    scaled = x * times.level(0)[1] if config.scale == "sigma" else x
    state = sampler.init(scaled, times)
    query, t = sampler.query(state, times, 0)
    return {"state": state, "x": query, "t": t, "evaluations": sampler.evaluations(times)}


def step(
    state: State,
    pred: Tensor,
    times: Times,
    i: int,
    sampler: Sampler,
    noise: Noise,
    variance: Tensor | None = None,
) -> dict[str, Any]:
    """One update, and the question of the next evaluation at its end.

    Args:
        pred: the denoiser's answer to evaluation i, of the type that `times` names.
        variance: what the denoiser says about the variance of the step, in [-1, 1].

    Returns:
        state; x and t of evaluation i + 1 (after the last: the result, and the t before); x0: what the answer
        stands for, limited to its range; latents: the latent at the level reached.
    """
    x, t = sampler.query(state, times, i)
    said = to_x0(pred.to(x.dtype), x, *times.level(sampler.level(i)), times.prediction)
    x0 = limit_x0(said, times)
    drawn = noise.normal(x.shape[1:], dtype=x.dtype, device=x.device) if sampler.noise else None
    given = said if getattr(sampler, "limits", False) else x0  # it may want what was said as well
    state = sampler.update(state, given, times, i, drawn, variance)
    if i + 1 < sampler.evaluations(times):
        query, t = sampler.query(state, times, i + 1)
        return {"state": state, "x": query, "t": t, "x0": x0, "latents": sampler.latents(state)}
    result = sampler.result(state)
    return {"state": state, "x": result, "t": t, "x0": x0, "latents": result}


def keep(
    state: State,
    x: Tensor,
    mask: Tensor,
    original: Tensor,
    noise: Tensor,
    times: Times,
    i: int,
    sampler: Sampler,
) -> dict[str, Any]:
    """What is not painted, put back after update i: the original, noised to the level of the next question.

    What evaluation i + 1 asks about changes, and nothing else of the state; so a rule that remembers keeps its memory
    of what it said itself. After the last update the original stands there as it is, bit for bit.

    Args:
        x: what evaluation i + 1 asks about; after the last, the result [b, c, h, w].
        mask: [b, 1, h, w], above 0.5 where it is painted.
        original: clean latents; noise: standard normal, the same in all turns; both [b, c, h, w].

    Returns:
        state; x; latents: at the level reached.

    Source: Lugmayr et al. 2022 (arXiv:2201.09865), eq. 8, with one noise for all levels.
    """
    kept = original.to(x.device, x.dtype)
    ended = i + 1 == sampler.evaluations(times)
    if not ended:
        alpha, sigma = times.level(sampler.level(i + 1))
        kept = alpha * kept + sigma * noise.to(x.device, x.dtype)
    blended = torch.where(mask.to(x.device) > 0.5, x, kept)
    state = sampler.put(state, blended, times, i + 1)
    return {"state": state, "x": blended, "latents": blended if ended else sampler.latents(state)}


def concat(x: Tensor, beside: Tensor, config: ConcatConfig) -> Tensor:
    """Channels of latents b c h w side by side, in the type of x.

    Raises:
        ValueError: their other axes differ, or they are not as many as the config says.
    """
    if (len(x), *x.shape[2:]) != (len(beside), *beside.shape[2:]):
        raise ValueError(
            f"latents of {_size(x)} and {_size(beside)} do not lie side by side; only their channels may differ"
        )
    found = x.shape[1] + beside.shape[1]
    if config.channels not in (None, found):
        raise ValueError(
            f"{x.shape[1]} channels and {beside.shape[1]} beside them are {found}; the denoiser takes {config.channels}"
        )
    return torch.cat([x, beside.to(x.device, x.dtype)], dim=1)


def _size(x: Tensor) -> str:
    return " x ".join(map(str, x.shape))
