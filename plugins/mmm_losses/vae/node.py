"""Losses of autoencoders, and a draw from their posterior."""

from __future__ import annotations

from collections.abc import Mapping

from mmm_graph.config import Config
from mmm_graph.registry import Facts, OpType, op_type
from mmm_losses.vae import config as c

LATENTS, LOSS = "Latents[b,c,h,w]", {"loss": "Scalar"}
VAE = "Kingma & Welling 2013 (arXiv:1312.6114)"


def vae_nodes() -> list[OpType]:
    """loss.kl, loss.perceptual, loss.gan_generator, loss.gan_discriminator, latents.sample."""
    return [
        op_type(
            "loss.kl",
            "mmm_losses.vae.ops:kl",
            mean="Latents",
            logvar="Latents",
            returns=LOSS,
            config=c.KLConfig,
            doc="Divergence of a diagonal normal posterior from the standard normal.",
            source=f"{VAE}, appendix B",
        ),
        op_type(
            "loss.perceptual",
            "mmm_losses.vae.ops:perceptual",
            pred="Any*",
            target="Any*",
            returns=LOSS,
            config=c.PerceptualConfig,
            doc="Difference of what a network sees in two pictures: link the same layers of both.",
            source="Zhang et al. 2018 (arXiv:1801.03924), eq. 1",
        ),
        *adversaries(),
        op_type(
            "latents.sample",
            "mmm_losses.vae.ops:sample_latents",
            mean=LATENTS,
            logvar=LATENTS,
            returns={"latents": LATENTS},
            config=c.SampleConfig,
            noise=True,
            facts=sampled,
            doc="A draw from a diagonal normal posterior: latents, as `encode` with `sample: true` makes them.",
            source=f"{VAE}, section 2.4",
        ),
    ]


def sampled(config: c.SampleConfig, uses: Mapping[str, Config], have: Facts) -> Facts:
    """Nothing new.

    Raises:
        ValueError: the autoencoder makes latents in another way.
    """
    said = {key: have.get(f"mean.{key}", mine) for key, mine in config.model_dump().items()}
    if said != config.model_dump():
        raise ValueError(
            f"latents of this autoencoder have scale {said['scale']:g} and shift {said['shift']:g}; say so"
        )
    return {}


def adversaries() -> list[OpType]:
    """Both sides of adversarial training."""
    source = "Goodfellow et al. 2014 (arXiv:1406.2661); Lim & Ye 2017 (arXiv:1705.02894)"
    return [
        op_type(
            "loss.gan_generator",
            "mmm_losses.vae.ops:gan_generator",
            fake="Logits",
            returns=LOSS,
            config=c.AdversaryConfig,
            doc="What was made is taken for real.",
            source=source,
        ),
        op_type(
            "loss.gan_discriminator",
            "mmm_losses.vae.ops:gan_discriminator",
            real="Logits",
            fake="Logits",
            returns=LOSS,
            config=c.AdversaryConfig,
            doc="What is real and what was made are told apart.",
            source=source,
        ),
    ]
