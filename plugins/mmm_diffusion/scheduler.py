"""Noise laws: the levels of a denoising run, and the forward process for training and image-to-image."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor

from mmm_diffusion.config import (
    BetaConfig,
    CosineConfig,
    FlowConfig,
    ScaledLinearConfig,
    StartConfig,
    TimesConfig,
    VarianceConfig,
)
from mmm_diffusion.spacing import check_times, first_step, flow_levels, sigma_levels, spaced_times
from mmm_graph.nn.noise import Noise
from mmm_graph.nn.sampler import Times

Steps = tuple[Tensor, Tensor, Tensor]
"""t, alpha and sigma, [n] each."""


MIXED = StartConfig()


class Law(ABC):
    """What the laws share: x = alpha x0 + sigma eps at a level, and the target that belongs to it."""

    def __init__(self, config: VarianceConfig | FlowConfig) -> None:
        self.config: Any = config

    @abstractmethod
    def times(self, config: TimesConfig) -> Times:
        """Levels of one denoising run."""

    @abstractmethod
    def draw(self, noise: Noise) -> tuple[Tensor, Tensor, Tensor]:
        """A random level for each element: t, alpha, sigma, each [b] float64."""

    def add_noise(self, x: Tensor, noise: Noise) -> dict[str, Tensor]:
        """The forward process at a random level for each element.

        Args:
            x: clean latents [b, ...].

        Returns:
            x: noisy latents; t: [b] times for the denoiser; target: what it should predict; snr: [b]
                alpha^2/sigma^2.
        Source: Ho et al. 2020 (arXiv:2006.11239), eq. 4 and algorithm 1.
        """
        t, alpha, sigma = self.draw(noise)
        eps = noise.normal(x.shape[1:], dtype=x.dtype, device=x.device)
        a, s = _like(alpha, x), _like(sigma, x)
        return {
            "x": a * x + s * eps,
            "t": t.to(x.device, torch.float32),
            "target": target_of(x, eps, a, s, self.config.prediction),
            "snr": (alpha**2 / sigma**2).to(x.device, torch.float32),
        }

    def add_noise_at(
        self, x: Tensor, times: Times, noise: Noise, eps: Tensor | None = None, config: StartConfig = MIXED
    ) -> Tensor:
        """Clean latents brought to the first level of a run: where image-to-image starts.

        Args:
            x: clean latents [b, ...].
            eps: standard normal [b, ...]; drawn from `noise` where it is not given.
        """
        alpha, sigma = times.level(0)
        if eps is None:
            eps = noise.normal(x.shape[1:], dtype=x.dtype, device=x.device)
        eps = eps.to(x.device, x.dtype)
        if config.full == "noise" and not times.skipped:
            return sigma * eps if config.scale == "sigma" else eps
        return alpha * x + sigma * eps

    def _times(self, t: Tensor, alpha: Tensor, sigma: Tensor, skipped: int) -> Times:
        c = self.config
        return Times(t, alpha, sigma, c.prediction, c.clip, c.threshold, c.threshold_max, skipped)


class VarianceLaw(Law):
    """alpha^2 + sigma^2 = 1, given by `alpha_bar` = alpha^2 at each of the discrete times (float64)."""

    def __init__(self, config: VarianceConfig, betas: Tensor) -> None:
        super().__init__(config)
        self.alpha_bar = torch.cumprod(1 - betas, 0)
        if config.zero_terminal_snr:
            self.alpha_bar = zero_terminal(self.alpha_bar)
            self.alpha_bar[-1] = config.terminal

    def times(self, config: TimesConfig) -> Times:
        check_times(self.config, config)
        steps = self._steps(config)
        first = first_step(len(steps[0]), config.strength)
        steps = (steps[0][first:], steps[1][first:], steps[2][first:])
        end = self._end(steps, config)
        if config.between == "midpoints":
            steps = _interleave(steps, self._midpoints(steps))
        elif config.between == "landings":
            t, alpha, sigma = self._landings(steps[0], end, config)
            steps, end = _interleave(steps, (t[:-1], alpha[:-1], sigma[:-1])), (alpha[-1:], sigma[-1:])
        alpha, sigma = torch.cat([steps[1], end[0]]), torch.cat([steps[2], end[1]])
        return self._times(steps[0], alpha, sigma, first)

    def draw(self, noise: Noise) -> tuple[Tensor, Tensor, Tensor]:
        t = noise.integers(self.config.num_train_steps, name="t")
        return (t.double(), *self._levels(t.double()))

    def _levels(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """alpha and sigma at times [n]; between whole times sigma/alpha is linear."""
        low = t.floor().long()
        bar = self.alpha_bar[low]
        part = t - low
        if bool((part > 0).any()):
            high = (low + 1).clamp(max=len(self.alpha_bar) - 1)
            ratio = torch.lerp(_ratio(bar), _ratio(self.alpha_bar[high]), part)
            bar = torch.where(part > 0, 1 / (1 + ratio**2), bar)
        return bar.sqrt(), (1 - bar).sqrt()

    def _steps(self, config: TimesConfig) -> Steps:
        """The level that each step starts from."""
        if config.by_sigma:
            t, alpha, sigma = self._at_ratio(self._sigmas(config))
            return (_whole(t, config) if config.round else t), alpha, sigma
        given = config.timesteps if config.timesteps is not None else spaced_times(self.config, config)
        t = torch.tensor(given, dtype=torch.float64)
        return (t, *self._levels(t))

    def _end(self, steps: Steps, config: TimesConfig) -> tuple[Tensor, Tensor]:
        """alpha and sigma where the last step ends, [1] each."""
        if config.final == "last":
            return steps[1][-1:], steps[2][-1:]
        bar = self.alpha_bar[:1] if config.final == "first" else torch.ones(1, dtype=torch.float64)
        return bar.sqrt(), (1 - bar).sqrt()

    def _midpoints(self, steps: Steps) -> Steps:
        """Halfway between neighbours in log(alpha/sigma)."""
        logs = (steps[2] / steps[1]).log()
        return self._at_ratio(((logs[:-1] + logs[1:]) / 2).exp())

    def _landings(self, t: Tensor, end: tuple[Tensor, Tensor], config: TimesConfig) -> Steps:
        """Where strides of num_train_steps // steps end; before time 0, the end of the run."""
        goal = t - self.config.num_train_steps // (config.steps or 1)
        alpha, sigma = self._levels(goal.clamp(min=0))
        over = goal < 0
        return goal.clamp(min=0), torch.where(over, end[0], alpha), torch.where(over, end[1], sigma)

    def _sigmas(self, config: TimesConfig) -> Tensor:
        """sigma/alpha of each step."""
        if config.sigmas is not None:
            return torch.tensor(config.sigmas, dtype=torch.float64)
        bar = self.alpha_bar[[0, -1]]
        if config.ends != "law":
            whole = spaced_times(self.config, config, config.ends)
            alpha, _ = self._levels(torch.tensor([whole[-1], whole[0]], dtype=torch.float64))
            bar = alpha**2
        low, high = _ratio(bar).tolist()
        levels = sigma_levels(config.sigma_min or low, config.sigma_max or high, config)
        return torch.tensor(levels, dtype=torch.float64)

    def _at_ratio(self, ratio: Tensor) -> Steps:
        """The level of a sigma/alpha, and its time: fractional, linear in log(sigma/alpha), held at the ends."""
        logs, wanted = _ratio(self.alpha_bar).log(), ratio.log()
        low = (torch.searchsorted(logs, wanted, right=True) - 1).clamp(0, len(logs) - 2)
        part = (wanted - logs[low]) / (logs[low + 1] - logs[low])
        alpha = 1 / (1 + ratio**2).sqrt()
        return low + part.clamp(0, 1), alpha, ratio * alpha


class Linear(VarianceLaw):
    """Betas rise linearly. Source: Ho et al. 2020 (arXiv:2006.11239), section 4."""

    def __init__(self, config: BetaConfig) -> None:
        ends = (config.beta_start, config.beta_end)
        super().__init__(config, torch.linspace(*ends, config.num_train_steps, dtype=torch.float64))


class ScaledLinear(VarianceLaw):
    """Square roots of betas rise linearly. Source: Rombach et al. 2022 (arXiv:2112.10752) and its code."""

    def __init__(self, config: ScaledLinearConfig) -> None:
        ends = (config.beta_start**0.5, config.beta_end**0.5)
        super().__init__(config, torch.linspace(*ends, config.num_train_steps, dtype=torch.float64) ** 2)


class Cosine(VarianceLaw):
    """alpha_bar falls as cos^2. Source: Nichol & Dhariwal 2021 (arXiv:2102.09672), eq. 17."""

    def __init__(self, config: CosineConfig) -> None:
        u = torch.arange(config.num_train_steps + 1, dtype=torch.float64) / config.num_train_steps
        bar = torch.cos((u + config.offset) / (1 + config.offset) * (math.pi / 2)) ** 2
        super().__init__(config, (1 - bar[1:] / bar[:-1]).clamp(max=config.max_beta))


class Flow(Law):
    """alpha = 1 - sigma, the velocity eps - x0. Source: Liu et al. 2022 (arXiv:2209.03003), eq. 1; Lipman et
    al. 2023 (arXiv:2210.02747); logit-normal and mode density, and shift: Esser et al. 2024
    (arXiv:2403.03206), eq. 19, 20 and 23.
    """

    def __init__(self, config: FlowConfig) -> None:
        super().__init__(config)

    def times(self, config: TimesConfig) -> Times:
        check_times(self.config, config)
        scale = self.config.time_scale
        if config.sigmas is not None:
            levels = list(config.sigmas)
        elif config.timesteps is not None:
            levels = [t / scale for t in config.timesteps]
        else:
            levels = flow_levels(self.config, config)
        first = first_step(len(levels), config.strength)
        levels = levels[first:]
        end = levels[-1] if config.final == "last" else 0.0
        sigma = torch.tensor([*levels, end], dtype=torch.float64)
        t = sigma[:-1] * scale
        return self._times(_whole(t, config) if config.round else t, 1 - sigma, sigma, first)

    def draw(self, noise: Noise) -> tuple[Tensor, Tensor, Tensor]:
        c = self.config
        if c.density == "logit_normal":
            level = torch.sigmoid(
                c.logit_mean + c.logit_std * noise.normal((), dtype=torch.float64, name="t")
            )
        else:
            drawn = noise.uniform(dtype=torch.float64, name="t")
            level = 1 - drawn
            if c.density == "mode":
                level = level - c.mode_scale * (torch.cos(math.pi / 2 * drawn) ** 2 - 1 + drawn)
        sigma = c.shift * level / (1 + (c.shift - 1) * level)
        return sigma * c.time_scale, 1 - sigma, sigma


def _interleave(steps: Steps, others: Steps) -> Steps:
    """n levels of steps with n - 1 others between them."""
    t, alpha, sigma = (
        torch.cat([torch.stack([a[:-1], b], 1).flatten(), a[-1:]]) for a, b in zip(steps, others, strict=True)
    )
    return t, alpha, sigma


def _whole(t: Tensor, config: TimesConfig) -> Tensor:
    """Whole times, as the config asks for them."""
    return t.floor() if config.round == "down" else t.round()


def target_of(x0: Tensor, eps: Tensor, alpha: Tensor, sigma: Tensor, prediction: str) -> Tensor:
    """What a denoiser of that prediction type should say about alpha x0 + sigma eps."""
    if prediction == "epsilon":
        return eps
    if prediction == "sample":
        return x0
    return eps - x0 if prediction == "flow" else alpha * eps - sigma * x0


def zero_terminal(alpha_bar: Tensor) -> Tensor:
    """alpha_bar with its square root shifted and scaled: the last is 0, the first stays.

    Source: Lin et al. 2023 (arXiv:2305.08891), algorithm 1.
    """
    alpha = alpha_bar.sqrt()
    return ((alpha - alpha[-1]) * (alpha[0] / (alpha[0] - alpha[-1]))) ** 2


def _ratio(alpha_bar: Tensor) -> Tensor:
    """sigma / alpha."""
    return ((1 - alpha_bar) / alpha_bar).sqrt()


def _like(values: Tensor, x: Tensor) -> Tensor:
    """[b] -> [b, 1, 1 ...] in the dtype and on the device of x [b, ...]."""
    return values.to(x.device, x.dtype).view(-1, *[1] * (x.ndim - 1))
