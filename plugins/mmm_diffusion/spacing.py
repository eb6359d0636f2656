"""Which times a run visits, in plain Python: used by the law and, without torch, by the compiler."""

from __future__ import annotations

import math

from mmm_diffusion.config import FlowConfig, SchedulerConfig, TimesConfig, VarianceConfig

SIGMA_SPACINGS = ("karras", "exponential")


def count_steps(law: SchedulerConfig, config: TimesConfig) -> int:
    """Number of steps that are left after `strength`.

    Raises:
        ValueError: the choice of times does not fit the law.
    """
    check_times(law, config)
    given = config.timesteps if config.timesteps is not None else config.sigmas
    steps = len(given) if given is not None else config.steps or 0
    return steps - first_step(steps, config.strength)


def first_step(steps: int, strength: float) -> int:
    """Index of the first step that is done.

    Raises:
        ValueError: none is left.
    """
    done = min(int(steps * strength), steps)
    if done == 0:
        raise ValueError(f"strength {strength} of {steps} steps leaves none to do; raise one of them")
    return steps - done


def check_times(law: SchedulerConfig, config: TimesConfig) -> None:
    """Refuse a choice of times that makes no sense for the law.

    Raises:
        ValueError: with what would be right.
    """
    if isinstance(law, FlowConfig):
        if config.final == "first":
            raise ValueError("a flow ends at sigma 0; `final: first` is for laws with discrete times")
        if config.steps is not None and (config.spacing == "leading" or config.drop_last):
            raise ValueError("a flow is spaced trailing, linspace, karras or exponential, without drop_last")
        if config.sigmas is not None and config.sigmas[0] > 1:
            raise ValueError(f"sigmas of a flow lie in (0, 1], found {config.sigmas[0]}")
        if config.timesteps is not None and not _inside(config.timesteps, law.time_scale, positive=True):
            raise ValueError(f"timesteps of this flow lie in (0, {law.time_scale:g}]")
    elif isinstance(law, VarianceConfig):
        last = law.num_train_steps - 1
        if config.steps is not None and config.steps + config.drop_last > law.num_train_steps:
            raise ValueError(f"{config.steps} steps do not fit into {law.num_train_steps} training times")
        if config.timesteps is not None and not _inside(config.timesteps, last):
            raise ValueError(
                f"timesteps lie in 0 .. {last}, found {config.timesteps[0]:g} .. {config.timesteps[-1]:g}"
            )
        if config.timesteps is not None and config.round and any(t != round(t) for t in config.timesteps):
            raise ValueError("`round: true` wants whole timesteps")
        if config.steps is not None and config.spacing == "leading" and spaced_times(law, config)[0] > last:
            raise ValueError(
                f"steps_offset {config.steps_offset} leads beyond the last time {last}; make it smaller"
            )
        if law.zero_terminal_snr and config.spacing in SIGMA_SPACINGS and config.sigma_max is None:
            raise ValueError(
                f"{config.spacing} needs sigma_max: the law's own is infinite (zero_terminal_snr)"
            )


def spaced_times(law: VarianceConfig, config: TimesConfig) -> list[float]:
    """Times of a law with discrete times, falling, for the spacings leading, trailing and linspace.

    Source: Lin et al. 2023 (arXiv:2305.08891), table 2.
    """
    steps, total = config.steps or 0, law.num_train_steps
    whole = config.round is not False
    if config.spacing == "trailing":
        times = [total - i * (total / steps) for i in range(steps)]
        return [(round(t) if whole else t) - 1 for t in times]
    points = steps + config.drop_last
    if config.spacing == "leading":
        times = [float(i * (total // points) + config.steps_offset) for i in range(points)]
    else:
        times = linspace(0, total - 1, points)
        times = [float(round(t)) for t in times] if whole else times
    return times[config.drop_last :][::-1]


def flow_levels(law: FlowConfig, config: TimesConfig) -> list[float]:
    """Falling sigmas of a flow, for the spacings trailing (1 .. 1/n) and linspace, shifted.

    linspace ends at the first training level, which has been shifted once before, as diffusers' table is.
    """
    steps = config.steps or 0
    if config.spacing == "trailing":
        levels = [1 - i / steps for i in range(steps)]
    else:
        levels = linspace(1, shift_level(1 / law.num_train_steps, law.shift), steps)
    return [shift_level(s, law.shift) for s in levels]


def sigma_levels(low: float, high: float, config: TimesConfig) -> list[float]:
    """Falling sigmas spaced by karras (evenly in sigma^(1/rho)) or exponential (evenly in log sigma).

    Source: Karras et al. 2022 (arXiv:2206.00364), eq. 5.
    """
    steps = config.steps or 0
    ramp = linspace(0, 1, steps)
    if config.spacing == "exponential":
        return [math.exp(math.log(high) + r * (math.log(low) - math.log(high))) for r in ramp]
    top, bottom = high ** (1 / config.rho), low ** (1 / config.rho)
    return [(top + r * (bottom - top)) ** config.rho for r in ramp]


def shift_level(sigma: float, shift: float) -> float:
    """A flow level moved towards noise. Source: Esser et al. 2024 (arXiv:2403.03206), eq. 23."""
    return shift * sigma / (1 + (shift - 1) * sigma)


def linspace(start: float, stop: float, points: int) -> list[float]:
    """Evenly spaced values with both ends; one point is the start."""
    if points == 1:
        return [float(start)]
    step = (stop - start) / (points - 1)
    return [start + i * step for i in range(points - 1)] + [float(stop)]


def _inside(times: tuple[float, ...], last: float, positive: bool = False) -> bool:
    low = min(times)
    return max(times) <= last and (low > 0 if positive else low >= 0)
