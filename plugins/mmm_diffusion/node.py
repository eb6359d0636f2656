"""Node types: noise laws, samplers, guidance, the ops of the denoising loop and the loop itself."""

from __future__ import annotations

from functools import partial

from mmm_diffusion import config as c
from mmm_diffusion import facts
from mmm_diffusion.denoise import expand
from mmm_diffusion.fields import CLASSES
from mmm_diffusion.foreign import read_law
from mmm_graph.config import Config
from mmm_graph.registry import (
    CompositeType,
    Layout,
    ModelType,
    NodeType,
    OpType,
    composite_type,
    method,
    model_type,
    op_type,
    sampler_type,
)

LATENTS, MASK = "Latents[b,c,...,h,w]", "Latents[b,1,...,h,w]"

KARRAS, SOLVER = "Karras et al. 2022 (arXiv:2206.00364)", "Lu et al. 2022 (arXiv:2211.01095)"
SAMPLERS: tuple[tuple[str, type[Config], str, str, str], ...] = (
    ("ddpm", c.DDPMConfig, "DDPM", "Draws from the posterior of each step.", "Ho et al. 2020 (arXiv:2006.11239)"),
    ("ddim", c.DDIMConfig, "DDIM", "Few deterministic steps, or noisy ones.", "Song et al. 2021 (arXiv:2010.02502)"),
    ("euler", c.EulerConfig, "Euler", "First order, deterministic.", KARRAS),
    ("euler_ancestral", c.EulerAncestralConfig, "EulerAncestral", "First order with fresh noise each step.",
     "k-diffusion; Song et al. 2021 (arXiv:2011.13456)"),
    ("heun", c.HeunConfig, "Heun", "Second order, two evaluations a step.", KARRAS),
    ("dpmpp_2m", c.DPMpp2MConfig, "DPMpp2M", "Second order, one evaluation a step, without noise or with.", SOLVER),
    ("dpmpp_sde", c.DPMppSDEConfig, "DPMppSDE", "Second order with fresh noise, two evaluations a step.", SOLVER),
    ("unipc", c.UniPCConfig, "UniPC", "A predictor of order 1 to 3 and a corrector, one evaluation a step.",
     "Zhao et al. 2023 (arXiv:2302.04867)"),
    ("pndm", c.PNDMConfig, "PNDM", "Fourth order over the noise, one evaluation more than steps.",
     "Liu et al. 2022 (arXiv:2202.09778)"),
    ("lms", c.LMSConfig, "LMS", "Linear multistep of order up to 4.", "k-diffusion's sample_lms"),
    ("lcm", c.LCMConfig, "LCM", "Few steps of a consistency model.", "Luo et al. 2023 (arXiv:2310.04378)"),
)  # fmt: skip
"""Name, config, class, what it does, source."""


def _scheduler(kind: str, config: type[Config], name: str, doc: str, source: str) -> ModelType:
    methods = {
        "times": method(
            returns={"times": "Times"},
            config=c.TimesConfig,
            facts=facts.times,
            doc="Levels of one denoising run.",
        ),
        "add_noise": method(
            x=LATENTS,
            returns={"x": LATENTS, "t": "Scalar[b]", "target": LATENTS, "snr": "Scalar[b]"},
            noise=True,
            rowwise=True,
            facts=facts.noised,
            doc="The forward process at a random level for each element, and what to predict of it.",
        ),
        "add_noise_at": method(
            x=LATENTS,
            times="Times",
            eps=LATENTS + "?",
            returns={"x": LATENTS},
            config=c.StartConfig,
            noise=True,
            rowwise=True,
            doc="Clean latents brought to the first level of a run, for image-to-image: by the noise eps, or else by "
            "noise of its own.",
        ),
    }
    builder = f"mmm_diffusion.scheduler:{name}"
    about = Layout("diffusers", {}, tuple(CLASSES), partial(read_law, kind=kind))
    return model_type(
        *(kind, config, builder), methods=methods, weights=False, doc=doc, source=source, layouts=(about,)
    )


def _guidance(kind: str, config: type[Config], name: str, doc: str, source: str) -> ModelType:
    combine = method(
        branches="Latents*[b,c,...,h,w]",
        i="Scalar?",
        returns={"pred": LATENTS},
        facts=facts.combine,
        rowwise=True,
        doc="The predictions of all branches -> one prediction.",
    )
    builder = f"mmm_diffusion.guidance:{name}"
    return model_type(
        kind, config, builder, methods={"combine": combine}, weights=False, doc=doc, source=source
    )


def schedulers() -> list[ModelType]:
    """The noise laws."""
    ddpm, ldm = "Ho et al. 2020 (arXiv:2006.11239)", "Rombach et al. 2022 (arXiv:2112.10752)"
    cosine, flow = (
        "Nichol & Dhariwal 2021 (arXiv:2102.09672), eq. 17",
        "Lipman et al. 2023 (arXiv:2210.02747)",
    )
    return [
        _scheduler("scheduler.linear", c.BetaConfig, "Linear", "Betas rise linearly, as in DDPM.", ddpm),
        _scheduler(
            "scheduler.scaled_linear",
            c.ScaledLinearConfig,
            "ScaledLinear",
            "Square roots of betas rise linearly, as in Stable Diffusion.",
            ldm,
        ),
        _scheduler("scheduler.cosine", c.CosineConfig, "Cosine", "Signal falls as a cosine.", cosine),
        _scheduler("scheduler.flow", c.FlowConfig, "Flow", "Straight paths from data to noise.", flow),
    ]


def samplers() -> list[ModelType]:
    """The step rules."""
    return [
        sampler_type(f"sampler.{name}", config, f"mmm_diffusion.samplers:{cls}", doc=doc, source=source)
        for name, config, cls, doc, source in SAMPLERS
    ]


def guidances() -> list[ModelType]:
    """How the predictions of several conditions become one."""
    return [
        _guidance("guidance.none", c.NoGuidanceConfig, "NoGuidance", "The condition alone.", ""),
        _guidance(
            "guidance.cfg",
            c.CFGConfig,
            "CFG",
            "Classifier-free guidance, with an optional rescale.",
            "Ho & Salimans 2022 (arXiv:2207.12598); Lin et al. 2023 (arXiv:2305.08891)",
        ),
    ]


def ops() -> list[OpType]:
    """The ops around the denoiser."""
    return [
        op_type(
            "sampler.init",
            "mmm_diffusion.ops:init",
            x=LATENTS,
            times="Times",
            returns={"state": "State", "x": LATENTS, "t": "Scalar[b]", "evaluations": "Scalar"},
            config=c.InitConfig,
            uses={"sampler": "sampler"},
            facts=facts.init,
            rowwise=True,
            doc="Sampler state from a latent at the first level, and the first question to the denoiser.",
        ),
        op_type(
            "sampler.step",
            "mmm_diffusion.ops:step",
            state="State",
            pred=LATENTS,
            times="Times",
            i="Scalar",
            variance=LATENTS + "?",
            returns={"state": "State", "x": LATENTS, "t": "Scalar[b]", "x0": LATENTS, "latents": LATENTS},
            uses={"sampler": "sampler"},
            noise=True,
            facts=facts.step,
            rowwise=True,
            doc="A prediction becomes x0, the sampler moves on, and the next question comes out.",
        ),
        op_type(
            "diffusion.keep",
            "mmm_diffusion.ops:keep",
            ports={"noise": LATENTS},
            state="State",
            x=LATENTS,
            mask=MASK,
            original=LATENTS,
            times="Times",
            i="Scalar",
            returns={"state": "State", "x": LATENTS, "latents": LATENTS},
            uses={"sampler": "sampler"},
            rowwise=True,
            doc="After a step, what is not to be painted (mask 0) becomes the original again, noised as the next "
            "question is; after the last step, the original itself.",
            source="Lugmayr et al. 2022 (arXiv:2201.09865), eq. 8",
        ),
        op_type(
            "latents.concat",
            "mmm_diffusion.ops:concat",
            x=LATENTS,
            beside="Latents[b,e,...,h,w]",
            returns={"x": "Latents[b,n,...,h,w]"},
            config=c.ConcatConfig,
            rowwise=True,
            doc="The channels of two latents of one size, one after the other.",
        ),
    ]


def losses() -> list[OpType]:
    """What a denoiser learns beside its prediction."""
    return [
        op_type(
            "loss.variance",
            "mmm_diffusion.bound:variance_loss",
            x0=LATENTS,
            x=LATENTS,
            t="Scalar[b]",
            pred=LATENTS,
            variance=LATENTS,
            returns={"loss": "Scalar"},
            uses={"scheduler": "scheduler"},
            facts=facts.bound,
            doc="Teaches a denoiser with learned_sigma its variance: the variational bound in bits, through which no "
            "gradient reaches pred. Added to loss.diffusion.",
            source="Nichol & Dhariwal 2021 (arXiv:2102.09672), section 3.1",
        ),
    ]


def composites() -> list[CompositeType]:
    """The denoising loop."""
    return [
        composite_type(
            "diffusion.denoise",
            expand,
            x=LATENTS,
            times="Times",
            cond="Cond?",
            uncond="Cond?",
            beside="Latents[b,e,...,h,w]?",
            mask=MASK + "?",
            original=LATENTS + "?",
            noise=LATENTS + "?",
            config=c.DenoiseConfig,
            uses={"denoiser": "denoiser", "sampler": "sampler", "guidance": "guidance"},
            doc="From a latent at the first level of `times` (pure noise, or an image brought there by "
            "scheduler.add_noise_at) to a clean one. `beside` is shown to the denoiser as further channels of x. With "
            "mask (1 = to be painted), original and noise, what is not painted ends as the original.",
        )
    ]


def node_types() -> list[NodeType]:
    """Everything that this plugin offers."""
    return [*schedulers(), *samplers(), *guidances(), *ops(), *losses(), *composites()]
