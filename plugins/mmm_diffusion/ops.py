"""The two ops around every denoiser call: start a sampler, and make its step from a prediction."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from mmm_diffusion.config import InitConfig
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
