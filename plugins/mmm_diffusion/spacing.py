"""Which times a run visits, in plain Python: used by the law and, without torch, by the compiler."""

from __future__ import annotations

import math

from mmm_diffusion.config import FlowConfig, SchedulerConfig, Spacing, TimesConfig, VarianceConfig

MAX_LOG_SHIFT = 30.0
"""A dynamic shift beyond exp(30) leaves no level below 1 in float32."""
SIGMA_SPACINGS = ("karras", "exponential")


def count_steps(law: SchedulerConfig, config: TimesConfig) -> int:
    """Number of levels above the end that are left after `strength`, those between the steps included.

    Raises:
        ValueError: the choice of times does not fit the law.
    """
    check_times(law, config)
    given = config.timesteps if config.timesteps is not None else config.sigmas
    steps = len(given) if given is not None else config.steps or 0
    steps -= first_step(steps, config.strength)
    return steps if config.between == "none" else 2 * steps - 1


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
        _check_flow(law, config)
    elif isinstance(law, VarianceConfig):
        _check_variance(law, config)


def _check_flow(law: FlowConfig, config: TimesConfig) -> None:
    if config.final == "first":
        raise ValueError("a flow ends at sigma 0; `final: first` is for laws with discrete times")
    trailing_drop = config.drop_last and config.spacing != "linspace"
    if config.steps is not None and (config.spacing in ("leading", "lcm") or trailing_drop):
        raise ValueError("a flow is spaced trailing, linspace (also with drop_last), karras or exponential")
    if config.ends == "leading" or config.between != "none":
        raise ValueError("`ends: leading` and `between` are for laws with discrete times, not for a flow")
    if config.sigmas is not None and config.sigmas[0] > 1:
        raise ValueError(f"sigmas of a flow lie in (0, 1], found {config.sigmas[0]}")
    if config.sigma_max is not None and config.sigma_max > 1:
        raise ValueError(f"sigma_max of a flow is at most 1, found {config.sigma_max}")
    if config.timesteps is not None and not _inside(config.timesteps, law.time_scale, positive=True):
        raise ValueError(f"timesteps of this flow lie in (0, {law.time_scale:g}]")
    if config.steps is not None:
        run_shift(law, config)


def _check_variance(law: VarianceConfig, config: TimesConfig) -> None:
    last = law.num_train_steps - 1
    if config.steps is not None and config.steps + config.drop_last > law.num_train_steps:
        raise ValueError(f"{config.steps} steps do not fit into {law.num_train_steps} training times")
    if config.timesteps is not None and not _inside(config.timesteps, last):
        raise ValueError(
            f"timesteps lie in 0 .. {last}, found {config.timesteps[0]:g} .. {config.timesteps[-1]:g}"
        )
    if config.timesteps is not None and config.round is True and any(t != round(t) for t in config.timesteps):
        raise ValueError("`round: true` wants whole timesteps")
    if config.steps is not None and config.spacing == "leading" and spaced_times(law, config)[0] > last:
        raise ValueError(
            f"steps_offset {config.steps_offset} leads beyond the last time {last}; make it smaller"
        )
    if config.steps is not None and config.spacing == "lcm":
        _check_lcm(config.steps, config.original_steps, law.num_train_steps)
    if law.dark and config.spacing in SIGMA_SPACINGS and config.sigma_max is None:
        raise ValueError(f"{config.spacing} needs sigma_max: the law's own is infinite (zero_terminal_snr)")
    if config.between == "landings" and (config.steps is None or config.by_sigma):
        raise ValueError("landings are strides from times that are spaced leading, trailing or linspace")
    if config.between == "midpoints" and law.dark:
        raise ValueError("there is no midpoint in log(alpha/sigma) to a level without signal; set `terminal`")


def _check_lcm(steps: int, original: int, total: int) -> None:
    if not steps <= original <= total:
        raise ValueError(f"the spacing lcm wants steps {steps} <= original_steps {original} <= {total}")


def spaced_times(law: VarianceConfig, config: TimesConfig, spacing: Spacing | None = None) -> list[float]:
    """Times of a law with discrete times, falling, for the spacings leading, trailing, linspace and lcm.

    Args:
        spacing: another one than the config's.
    Source: Lin et al. 2023 (arXiv:2305.08891), table 2; lcm: Luo et al. 2023 (arXiv:2310.04378) and its code.
    """
    steps, total, spacing = config.steps or 0, law.num_train_steps, spacing or config.spacing
    whole = config.round is not False
    nearest = math.floor if config.round == "down" else round
    if spacing == "lcm":
        skip = total // config.original_steps
        origin = [float(i * skip - 1) for i in range(config.original_steps, 0, -1)]
        return [origin[int(i * (len(origin) / steps))] for i in range(steps)]
    if spacing == "trailing":
        stride = (total - total / steps) - total  # rounded as numpy's arange: it decides ties
        times = [total + i * stride for i in range(steps)]
        return [float(nearest(t) if whole else t) - 1 for t in times]
    points = steps + config.drop_last
    if spacing == "leading":
        times = [float(i * (total // points) + config.steps_offset) for i in range(points)]
    else:
        times = linspace(0, total - 1, points)
        times = [float(nearest(t)) for t in times] if whole else times
    return times[config.drop_last :][::-1]


def flow_levels(law: FlowConfig, config: TimesConfig) -> list[float]:
    """Falling sigmas of a flow: spaced, shifted, stretched, and laid out anew by karras or exponential.

    linspace ends at the first training level, which has been shifted once before, as diffusers' table is.
    """
    shift = run_shift(law, config)
    levels = [shift_level(s, shift) for s in _plain_levels(law, config)]
    if law.shift_terminal is not None and levels[-1] < 1:
        scale = (1 - levels[-1]) / (1 - law.shift_terminal)
        levels = [1 - (1 - s) / scale for s in levels]
    if config.spacing in SIGMA_SPACINGS:
        levels = sigma_levels(config.sigma_min or levels[-1], config.sigma_max or levels[0], config)
    return [min(s, config.cap) for s in levels]


def _plain_levels(law: FlowConfig, config: TimesConfig) -> list[float]:
    """Before shifting."""
    steps, again = config.steps or 0, config.spacing in SIGMA_SPACINGS
    top, low = (None, None) if again else (config.sigma_max, config.sigma_min)
    if config.spacing == "trailing" or (again and config.ends == "trailing"):
        if top is None:
            return [1 - i / steps for i in range(steps)]
        return [1 - a for a in linspace(1, 1 - top, steps + 1)][:0:-1]
    if low is None:
        low = 1 / law.num_train_steps
        low = shift_level(low, law.shift) if law.dynamic == "none" else low
    return linspace(top or 1, low, steps + config.drop_last)[:steps]


def run_shift(law: FlowConfig, config: TimesConfig) -> float:
    """The shift of one run: the law's own, or what the number of image tokens asks for.

    Raises:
        ValueError: the number is not said.
    Source: Esser et al. 2024 (arXiv:2403.03206), section 5.3.2; mu as FLUX's code has it.
    """
    if law.dynamic == "none":
        return law.shift
    if config.tokens is None:
        raise ValueError(
            "this flow's shift follows the size of the image: give times image_tokens, or height, width "
            "and token_px"
        )
    slope = (law.max_shift - law.base_shift) / (law.max_tokens - law.base_tokens)
    mu = config.tokens * slope + (law.base_shift - slope * law.base_tokens)
    if law.dynamic == "exponential":
        if mu > MAX_LOG_SHIFT:
            raise ValueError(f"the shift of a picture of that size would be exp({mu:.0f}); make it smaller")
        return math.exp(mu)
    if mu <= 0:
        raise ValueError(f"a linear dynamic shift must be above 0; {config.tokens} tokens make it {mu:g}")
    return mu


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
