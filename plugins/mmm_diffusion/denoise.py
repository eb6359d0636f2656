"""The composite `diffusion.denoise`: the denoising loop as a graph, without torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmm_diffusion.config import DDPMConfig, DenoiseConfig
from mmm_graph.registry import GuidanceConfig, Used

KEPT = ("mask", "original", "noise")
"""Inputs of inpainting by a denoiser that knows nothing of it."""


def expand(config: DenoiseConfig, uses: Mapping[str, Used], inputs: frozenset[str]) -> Mapping[str, Any]:
    """One denoiser call for each branch of the guidance, combined, then a step that ends with a question.

    The question sits at the end of the body, so that under patches every update is followed at once by its
    next call.

    Raises:
        ValueError: a branch of the guidance has no input, or inpainting lacks some of its inputs.
    """
    keeps = _keeps(inputs)
    last = "keep" if keeps else "step"
    loop: dict[str, Any] = {
        "each": {"i": "start.evaluations"},
        "carry": {"state": "start.state", "x": "start.x", "t": "start.t"},
        "nodes": {
            **_asked(uses["denoiser"], inputs),
            **_step(uses, inputs),
            **(_keep(uses["sampler"].name) if keeps else {}),
        },
        "next": {"state": f"{last}.state", "x": f"{last}.x", "t": "step.t"},
        "out": {"latents": f"{last}.latents"},
    }
    if config.preview:
        loop["preview"] = {"from": "step.x0", "every": config.preview}
    start = {
        "op": "sampler.init",
        "use": {"sampler": uses["sampler"].name},
        "in": {"x": "$in.x", "times": "$in.times"},
        "config": {"scale": config.scale},
    }
    return {"nodes": {"start": start, "steps": {"loop": loop}}, "out": {"latents": "steps.latents"}}


def _keeps(inputs: frozenset[str]) -> bool:
    """Whether something is kept."""
    missing = [name for name in KEPT if name not in inputs]
    if 0 < len(missing) < len(KEPT):
        raise ValueError(
            f"to keep what is not painted it takes {', '.join(KEPT)}; {missing[0]!r} is not linked"
        )
    return not missing


def _asked(denoiser: Used, inputs: frozenset[str]) -> dict[str, Any]:
    """What the denoiser sees, if it is more than x."""
    if "beside" not in inputs:
        return {}
    channels = getattr(denoiser.config, "in_channels", None)  # ports cannot say a sum
    links = {"x": "$carry.x", "beside": "$in.beside"}
    return {"asked": {"op": "latents.concat", "in": links, "config": {"channels": channels}}}


def _step(uses: Mapping[str, Used], inputs: frozenset[str]) -> dict[str, Any]:
    """Predictions, what they say together, and the sampler's step."""
    branches = _branches(uses["guidance"], inputs)
    calls = {f"predict_{b}": _predict(uses["denoiser"].name, b, inputs) for b in branches}
    links = {"state": "$carry.state", "pred": "pred", "times": "$in.times", "i": "$each.i"}
    if _asks_variance(uses["sampler"]):
        links["variance"] = f"predict_{branches[0]}.variance"
    guidance, sampler = uses["guidance"].name, {"sampler": uses["sampler"].name}
    return {
        **calls,
        "pred": {"call": f"{guidance}.combine", "in": {"branches": list(calls), "i": "$each.i"}},
        "step": {"op": "sampler.step", "use": sampler, "in": links},
    }


def _keep(sampler: str) -> dict[str, Any]:
    """What is not painted, put back."""
    links = {"state": "step.state", "x": "step.x", "times": "$in.times", "i": "$each.i"}
    links |= {name: f"$in.{name}" for name in KEPT}
    return {"keep": {"op": "diffusion.keep", "use": {"sampler": sampler}, "in": links}}


def _asks_variance(sampler: Used) -> bool:
    return isinstance(sampler.config, DDPMConfig) and sampler.config.variance == "learned_range"


def _branches(guidance: Used, inputs: frozenset[str]) -> tuple[str, ...]:
    assert isinstance(guidance.config, GuidanceConfig)
    branches = guidance.config.branches()
    missing = [b for b in branches if b not in inputs and b != "cond"]
    if missing:
        raise ValueError(
            f"{guidance.name} ({guidance.kind}) compares with {missing[0]!r}: link it under `in:`"
        )
    return branches


def _predict(denoiser: str, branch: str, inputs: frozenset[str]) -> dict[str, Any]:
    links = {"x": "asked" if "beside" in inputs else "$carry.x", "t": "$carry.t"}
    if branch in inputs:
        links["cond"] = f"$in.{branch}"
    return {"call": f"{denoiser}.predict", "in": links}
