"""What the compiler may know about a denoising run before anything runs, and what it refuses."""

from __future__ import annotations

from collections.abc import Mapping

from mmm_diffusion.config import FlowConfig, SchedulerConfig, TimesConfig, VarianceConfig
from mmm_diffusion.config.samplers import wanted_between
from mmm_diffusion.spacing import count_steps, spaced_times
from mmm_graph.config import Config
from mmm_graph.registry import Facts, GuidanceConfig, SamplerConfig


def times(law: SchedulerConfig, config: TimesConfig, have: Facts) -> Facts:
    """How many steps, what is predicted, and whether the first level has signal left."""
    assert isinstance(law, VarianceConfig | FlowConfig)
    return {
        "times.count": count_steps(law, config),
        "times.prediction": law.prediction,
        "times.signal": _starts_with_signal(law, config),
        "times.pointwise": law.threshold is None,
        "times.between": config.between,
    }


def noised(law: SchedulerConfig, config: Config, have: Facts) -> Facts:
    """What the target of training is."""
    assert isinstance(law, VarianceConfig | FlowConfig)
    return {"target.prediction": law.prediction}


def init(config: Config, uses: Mapping[str, Config], have: Facts) -> Facts:
    """How often the loop asks the denoiser, and whether a piece of an image can be started alone.

    Raises:
        ValueError: the sampler cannot follow these times.
    """
    sampler = uses["sampler"]
    assert isinstance(sampler, SamplerConfig)
    if "times.prediction" in have:
        sampler.check(have["times.prediction"], signal=have.get("times.signal", True))
    wanted, found = wanted_between(sampler), have.get("times.between", "none")
    if "times.count" in have and wanted != found:
        raise ValueError(f"this sampler's times need `between: {wanted}`, and they say {found}")
    count = have.get("times.count")
    known = {} if count is None else {"evaluations.count": sampler.evaluations(count)}
    return {**known, **_rowwise(sampler.pointwise())}


def step(config: Config, uses: Mapping[str, Config], have: Facts) -> Facts:
    """Whether a piece of an image can be stepped alone; with times that nobody knows, it cannot.

    Raises:
        ValueError: the denoiser predicts something else than the scheduler says.
    """
    sampler = uses["sampler"]
    assert isinstance(sampler, SamplerConfig)
    said, wanted = have.get("pred.prediction"), have.get("times.prediction")
    if said is not None and wanted is not None and said != wanted:
        raise ValueError(
            f"the denoiser predicts {said}, the scheduler's times are for {wanted}; set one of them"
        )
    return _rowwise(sampler.pointwise() and have.get("times.pointwise", False))


def bound(config: Config, uses: Mapping[str, Config], have: Facts) -> Facts:
    """Nothing new.

    Raises:
        ValueError: the noise law has no betas, or the denoiser predicts something else than it says.
    """
    law = uses["scheduler"]
    if not isinstance(law, VarianceConfig):
        raise ValueError("a flow has no betas between which a variance could lie; use another scheduler")
    said = have.get("pred.prediction")
    if said is not None and said != law.prediction:
        raise ValueError(
            f"the denoiser predicts {said}, the scheduler says {law.prediction}; set one of them"
        )
    return {}


def combine(guidance: Config, config: Config, have: Facts) -> Facts:
    """The prediction type passes through; with a rescale, a piece of an image cannot be combined alone.

    Raises:
        ValueError: the branches predict different things.
    """
    assert isinstance(guidance, GuidanceConfig)
    said = have.get("branches.prediction")
    if isinstance(said, tuple):
        raise ValueError(f"the branches predict different things: {', '.join(map(str, said))}")
    found = {} if said is None else {"pred.prediction": said}
    return {**found, **_rowwise(guidance.pointwise())}


def _rowwise(holds: bool) -> Facts:
    """What takes back the promise that rows of the inputs give the same rows of the outputs."""
    return {} if holds else {"rowwise": False}


def _starts_with_signal(law: VarianceConfig | FlowConfig, config: TimesConfig) -> bool:
    if isinstance(law, FlowConfig) or not law.dark or config.strength < 1 or config.by_sigma:
        return True
    first = (config.timesteps or spaced_times(law, config))[0]
    return first < law.num_train_steps - 1
