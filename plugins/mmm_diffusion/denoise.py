"""The composite `diffusion.denoise`: the denoising loop as a graph, without torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmm_diffusion.config import DDPMConfig, DenoiseConfig
from mmm_graph.registry import GuidanceConfig, Used


def expand(config: DenoiseConfig, uses: Mapping[str, Used], inputs: frozenset[str]) -> Mapping[str, Any]:
    """One denoiser call for each branch of the guidance, combined, then a step that ends with a question.

    The question sits at the end of the body, so that under patches every update is followed at once by its
    next call.

    Raises:
        ValueError: a branch of the guidance has no input.
    """
    sampler = {"sampler": uses["sampler"].name}
    branches = _branches(uses["guidance"], inputs)
    calls = {f"predict_{b}": _predict(uses["denoiser"].name, b, inputs) for b in branches}
    links = {"state": "$carry.state", "pred": "pred", "times": "$in.times", "i": "$each.i"}
    if _asks_variance(uses["sampler"]):
        links["variance"] = f"predict_{branches[0]}.variance"
    body: dict[str, Any] = {
        **calls,
        "pred": {"call": f"{uses['guidance'].name}.combine", "in": {"branches": list(calls), "i": "$each.i"}},
        "step": {"op": "sampler.step", "use": sampler, "in": links},
    }
    loop: dict[str, Any] = {
        "each": {"i": "start.evaluations"},
        "carry": {"state": "start.state", "x": "start.x", "t": "start.t"},
        "nodes": body,
        "next": {"state": "step.state", "x": "step.x", "t": "step.t"},
        "out": {"latents": "step.latents"},
    }
    if config.preview:
        loop["preview"] = {"from": "step.x0", "every": config.preview}
    start = {
        "op": "sampler.init",
        "use": sampler,
        "in": {"x": "$in.x", "times": "$in.times"},
        "config": {"scale": config.scale},
    }
    return {"nodes": {"start": start, "steps": {"loop": loop}}, "out": {"latents": "steps.latents"}}


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
    links = {"x": "$carry.x", "t": "$carry.t"}
    if branch in inputs:
        links["cond"] = f"$in.{branch}"
    return {"call": f"{denoiser}.predict", "in": links}
