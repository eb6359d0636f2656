"""diffusers' scheduler_config.json -> our scheduler, sampler, times and start; without torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mmm_diffusion import config as c
from mmm_diffusion.fields import BY_SIGMA, CLASSES, FIXED, LEGACY
from mmm_graph.config import Config
from mmm_graph.registry import Foreign

Theirs = Mapping[str, Any]
Found = dict[str, Any]

PREDICTIONS = {"epsilon": "epsilon", "v_prediction": "v", "sample": "sample"}
LAWS: Mapping[str, tuple[str, type[c.VarianceConfig]]] = {
    "linear": ("scheduler.linear", c.BetaConfig),
    "scaled_linear": ("scheduler.scaled_linear", c.ScaledLinearConfig),
    "squaredcos_cap_v2": ("scheduler.cosine", c.CosineConfig),
}
DARK = 2**-24
"""alpha^2 that their schedulers in sigma/alpha leave the last time, where rescale_betas_zero_snr would leave none."""


def import_scheduler(foreign: Foreign) -> Found:
    """`read_scheduler` of the scheduler's folder in a pipeline."""
    return read_scheduler({"_class_name": foreign.class_name, **foreign.config})


def read_scheduler(theirs: Theirs) -> Found:
    """scheduler and sampler (kind and config each), times (config of the call, without steps) and init.

    Fields that are missing take their class's default; fields that belong to other classes are ignored, as they do.

    Raises:
        ValueError: a field that nobody knows, or a value that we do not support and that changes the result.
    """
    name = str(theirs.get("_class_name"))
    if name not in CLASSES:
        raise ValueError(f"_class_name {name!r}: no scheduler is like it; supported: {', '.join(CLASSES)}")
    known = {field for fields in CLASSES.values() for field in fields} | set(LEGACY)
    for field, value in theirs.items():
        if not field.startswith("_") and field not in known:
            raise ValueError(f"{field} {value!r} is not a field of any scheduler that we know")
    own = CLASSES[name]
    config = {**own, **{field: value for field, value in theirs.items() if field in own}}
    for field, supported in FIXED.items():
        if field in config and config[field] != supported and (config[field] or supported):
            raise _unsupported(field, config[field], repr(supported))
    return READERS[name](config) if name in READERS else _read_by_sigma(config, *BY_SIGMA[name])


def read_law(theirs: Theirs, *, kind: str) -> Found:
    """The config of a scheduler alone; its file says more, of sampler and times, which stays with the graph.

    Raises:
        ValueError: as of `read_scheduler`, or the noise law is of another kind.
    """
    law = read_scheduler(theirs)["scheduler"]
    if law["kind"] != kind:
        raise ValueError(f"its noise law is {law['kind']}")
    # our denoisers of flows take times in [0, 1] and scale them by themselves
    return {name: value for name, value in law["config"].items() if name != "time_scale"}


def _read_ddim(theirs: Theirs) -> Found:
    """Their step goes to t - T//n, and keeps the predicted noise whatever became of x0."""
    lands = theirs["timestep_spacing"] != "leading"
    limited = bool(theirs["clip_sample"] or theirs["thresholding"])
    sampler = c.DDIMConfig(direction="predicted" if limited else "limited", lands=lands)
    times = {**_spaced(theirs), "final": _final(theirs), "between": "landings" if lands else "none"}
    return _found(_law(theirs), ("sampler.ddim", sampler), times)


def _read_ddpm(theirs: Theirs) -> Found:
    """Their last step adds noise if its time is above 0."""
    kinds = {"fixed_small": "fixed_small", "fixed_small_log": "fixed_small"}
    kinds |= {"fixed_large": "fixed_large", "learned_range": "learned_range"}
    variance, times = _choose("variance_type", theirs, kinds), _spaced(theirs)
    late = times["spacing"] == "trailing" or times.get("steps_offset", 0) > 0
    sampler = c.DDPMConfig(variance=variance, final_noise=late)
    return _found(_law(theirs), ("sampler.ddpm", sampler), times)


def _read_pndm(theirs: Theirs) -> Found:
    """Their steps go to t - T//n, which is the next time only where spacing is leading."""
    _choose("timestep_spacing", theirs, {"leading": "leading"})
    if not theirs["skip_prk_steps"]:
        raise _unsupported("skip_prk_steps", theirs["skip_prk_steps"], "True")
    law = _law(theirs, predictions=("epsilon", "v_prediction"))
    mixes = "prediction" if law[1].prediction == "v" else "epsilon"
    sampler = c.PNDMConfig(mixes=mixes)
    return _found(law, ("sampler.pndm", sampler), {**_spaced(theirs), "final": _final(theirs)})


def _read_lcm(theirs: Theirs) -> Found:
    """Their timestep_spacing, steps_offset and set_alpha_to_one are read by nothing."""
    sampler = c.LCMConfig(timestep_scaling=theirs["timestep_scaling"])
    times = {"spacing": "lcm", "original_steps": theirs["original_inference_steps"]}
    return _found(_law(theirs), ("sampler.lcm", sampler), times)


def _read_dpm_solver(theirs: Theirs) -> Found:
    if theirs["solver_order"] != 2:
        raise _unsupported("solver_order", theirs["solver_order"], "2")
    if theirs["variance_type"]:
        raise _unsupported("variance_type", theirs["variance_type"], "None")
    algorithms = {"dpmsolver++": "ode", "sde-dpmsolver++": "sde"}
    sampler = c.DPMpp2MConfig(
        algorithm=_choose("algorithm_type", theirs, algorithms),
        solver=_choose("solver_type", theirs, {"midpoint": "midpoint", "heun": "heun"}),
        lower_order_final=theirs["lower_order_final"],
        euler_final=theirs["euler_at_final"],
    )
    if _is_flow(theirs):
        if theirs["final_sigmas_type"] != "zero":
            raise _unsupported("final_sigmas_type", theirs["final_sigmas_type"], "zero with use_flow_sigmas")
        levels = {"spacing": "trailing", "sigma_max": 1 - 1 / theirs["num_train_timesteps"], "round": "down"}
        return _found(_flow(theirs, "flow_shift"), ("sampler.dpmpp_2m", sampler), levels)
    times = {**_spaced(theirs, drop_last=True), "final": _final(theirs)}
    if theirs["use_karras_sigmas"]:
        whole = "down" if theirs["beta_schedule"] == "squaredcos_cap_v2" else True
        times = {"spacing": "karras", "round": whole, "final": _final(theirs)}
    elif theirs["use_exponential_sigmas"]:
        times = {"spacing": "exponential", "round": "down", "final": _final(theirs)}
    return _found(_law(theirs, terminal=DARK), ("sampler.dpmpp_2m", sampler), times)


def _read_unipc(theirs: Theirs) -> Found:
    if theirs["solver_order"] not in (1, 2, 3):
        raise _unsupported("solver_order", theirs["solver_order"], "1, 2, 3")
    predicts = "x0" if theirs["predict_x0"] else "epsilon"
    sampler = c.UniPCConfig(
        order=theirs["solver_order"],
        solver=_choose("solver_type", theirs, {"bh1": "bh1", "bh2": "bh2"}),
        predicts=predicts,
        lower_order_final=theirs["lower_order_final"],
        disable_corrector=tuple(theirs["disable_corrector"]),
    )
    if predicts == "epsilon":  # then they threshold nothing
        theirs = {**theirs, "thresholding": False}
    end = "last" if _final(theirs) == "first" else "zero"
    if _is_flow(theirs):
        total = theirs["num_train_timesteps"]
        levels = {"spacing": "linspace", "drop_last": True, "sigma_min": 1 / total, "cap": 1 - 1e-6}
        flow = _flow(theirs, "flow_shift", shift_terminal=theirs["shift_terminal"] or None)
        return _found(flow, ("sampler.unipc", sampler), {**levels, "round": "down", "final": end})
    if theirs["shift_terminal"]:
        raise _unsupported("shift_terminal", theirs["shift_terminal"], "None without use_flow_sigmas")
    times = {**_spaced(theirs, drop_last=True), "final": _final(theirs)}
    spacing = _sigma_spacing(theirs)
    if spacing:
        whole = True if spacing == "karras" else "down"
        times = {"spacing": spacing, **_ends(theirs), "round": whole, "final": end}
    return _found(_law(theirs, terminal=DARK), ("sampler.unipc", sampler), times)


def _read_flow_euler(theirs: Theirs) -> Found:
    """Pipelines pass sigmas of their own: FLUX's run from 1 to 1/steps, which is our `spacing: trailing`."""
    more: Found = {"shift_terminal": theirs["shift_terminal"] or None}
    if theirs["use_dynamic_shifting"]:
        kinds = {"exponential": "exponential", "linear": "linear"}
        more |= {"dynamic": _choose("time_shift_type", theirs, kinds)}
        more |= {"base_tokens": theirs["base_image_seq_len"], "max_tokens": theirs["max_image_seq_len"]}
        more |= {"base_shift": theirs["base_shift"], "max_shift": theirs["max_shift"]}
    field = None if theirs["use_dynamic_shifting"] else "shift"
    sampler: tuple[str, Config] = ("sampler.euler", c.EulerConfig())
    if theirs["stochastic_sampling"]:
        sampler = ("sampler.lcm", c.LCMConfig(boundary=False))  # x0, then all noise anew
    return _found(_flow(theirs, field, **more), sampler, {"spacing": _sigma_spacing(theirs) or "linspace"})


def _read_flow_heun(theirs: Theirs) -> Found:
    return _found(_flow(theirs, "shift"), ("sampler.heun", c.HeunConfig()), {"spacing": "linspace"})


def _read_by_sigma(theirs: Theirs, kind: str, config: type[Config], predictions: tuple[str, ...]) -> Found:
    """The classes that keep x/alpha: they scale the start, and keep fractions of times."""
    spaced = _spaced(theirs)
    times = {**spaced, "round": False} if spaced["spacing"] == "linspace" else dict(spaced)
    spacing = _sigma_spacing(theirs)
    if spacing:
        times = {**spaced, "spacing": spacing, "ends": spaced["spacing"], **_ends(theirs)}
    values: Found = {}
    if "final_sigmas_type" in theirs:
        times["final"] = _final(theirs)
        values["unscaled"] = times["final"] != "zero"
    if kind == "sampler.dpmpp_sde":
        times["between"] = "midpoints"
    law = _law(theirs, predictions=predictions, terminal=DARK)
    return _found(law, (kind, config(**values)), times, scaled=spaced["spacing"] != "leading")


READERS: Mapping[str, Callable[[Theirs], Found]] = {
    "DDIMScheduler": _read_ddim,
    "DDPMScheduler": _read_ddpm,
    "PNDMScheduler": _read_pndm,
    "LCMScheduler": _read_lcm,
    "DPMSolverMultistepScheduler": _read_dpm_solver,
    "UniPCMultistepScheduler": _read_unipc,
    "FlowMatchEulerDiscreteScheduler": _read_flow_euler,
    "FlowMatchHeunDiscreteScheduler": _read_flow_heun,
}


def _found(law: tuple[str, Config], sampler: tuple[str, Config], times: Found, scaled: bool = False) -> Found:
    """The answer, with nothing in it that is our default anyway."""
    run = c.TimesConfig(steps=1, **times).model_dump(mode="json", exclude_defaults=True, exclude={"steps"})
    models = {
        role: {"kind": kind, "config": config.model_dump(mode="json", exclude_defaults=True)}
        for role, (kind, config) in (("scheduler", law), ("sampler", sampler))
    }
    return {**models, "times": run, "init": {"scale": "sigma"} if scaled else {}}


def _law(
    theirs: Theirs, *, predictions: tuple[str, ...] = tuple(PREDICTIONS), terminal: float = 0.0
) -> tuple[str, c.VarianceConfig]:
    """The noise law, with its prediction and its limits on x0."""
    kind, config = LAWS[_choose("beta_schedule", theirs, {name: name for name in LAWS})]
    said = theirs["prediction_type"]
    if said == "original_sample" and "sample" in predictions and "interpolation_type" in theirs:
        said = "sample"  # another word for it, that Euler alone knows
    if said not in predictions:
        raise _unsupported("prediction_type", said, " or ".join(predictions))
    values: Found = {"num_train_steps": theirs["num_train_timesteps"], "prediction": PREDICTIONS[said]}
    if config is not c.CosineConfig:
        values |= {"beta_start": theirs["beta_start"], "beta_end": theirs["beta_end"]}
    if theirs.get("rescale_betas_zero_snr"):
        values |= {"zero_terminal_snr": True, "terminal": terminal}
    return kind, config(**values, **_limits(theirs))


def _flow(theirs: Theirs, shift: str | None, **more: Any) -> tuple[str, c.FlowConfig]:
    """The law of a flow. Args: shift: their name of it."""
    total = theirs["num_train_timesteps"]
    values = {"num_train_steps": total, "time_scale": total, **_limits(theirs), **more}
    if shift is not None:
        values["shift"] = theirs[shift]
    return "scheduler.flow", c.FlowConfig(**values)


def _limits(theirs: Theirs) -> Found:
    if theirs.get("thresholding"):
        largest = theirs["sample_max_value"]
        if largest < 1:
            raise _unsupported("sample_max_value", largest, "1 and more")
        return {"threshold": theirs["dynamic_thresholding_ratio"], "threshold_max": largest}
    return {"clip": theirs["clip_sample_range"]} if theirs.get("clip_sample") else {}


def _spaced(theirs: Theirs, drop_last: bool = False) -> Found:
    spacing = _choose("timestep_spacing", theirs, {n: n for n in ("leading", "trailing", "linspace")})
    found: Found = {"spacing": spacing}
    if spacing == "leading":
        found["steps_offset"] = theirs["steps_offset"]
    return {**found, "drop_last": True} if drop_last and spacing != "trailing" else found


def _sigma_spacing(theirs: Theirs) -> str | None:
    karras, exponential = (theirs.get(f"use_{name}_sigmas") for name in ("karras", "exponential"))
    if karras and exponential:
        raise _unsupported("use_karras_sigmas", karras, "one of it and use_exponential_sigmas")
    return "karras" if karras else "exponential" if exponential else None


def _ends(theirs: Theirs) -> Found:
    return {end: theirs.get(end) for end in ("sigma_min", "sigma_max")}


def _final(theirs: Theirs) -> Any:
    if "set_alpha_to_one" in theirs:
        return "zero" if theirs["set_alpha_to_one"] else "first"
    return _choose("final_sigmas_type", theirs, {"zero": "zero", "sigma_min": "first"})


def _is_flow(theirs: Theirs) -> bool:
    """Whether a multistep scheduler is set to a flow, which two of its fields must agree about."""
    if theirs["use_dynamic_shifting"]:
        raise _unsupported("use_dynamic_shifting", theirs["use_dynamic_shifting"], "False")
    said, used = theirs["prediction_type"], bool(theirs["use_flow_sigmas"])
    if (said == "flow_prediction") != used:
        raise _unsupported(
            "prediction_type", said, f"flow_prediction if and only if use_flow_sigmas ({used})"
        )
    if used and _sigma_spacing(theirs):
        raise _unsupported(f"use_{_sigma_spacing(theirs)}_sigmas", True, "False with use_flow_sigmas")
    return used


def _choose(field: str, theirs: Theirs, values: Mapping[str, str]) -> Any:
    if theirs[field] not in values:
        raise _unsupported(field, theirs[field], ", ".join(values))
    return values[theirs[field]]


def _unsupported(field: str, value: Any, supported: str) -> ValueError:
    return ValueError(f"{field} {value!r} is not supported; supported: {supported}")
