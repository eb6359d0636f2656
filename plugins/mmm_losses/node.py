"""Node types: losses, and the random ops of training."""

from __future__ import annotations

from mmm_graph.config import Config
from mmm_graph.registry import NodeType, OpType, op_type
from mmm_losses import config as c
from mmm_losses import facts

LOSS = {"loss": "Scalar"}


def losses() -> list[OpType]:
    """Losses; each returns one number."""
    return [
        op_type(
            "loss.diffusion",
            "mmm_losses.ops:diffusion",
            pred="Latents",
            target="Latents",
            snr="Scalar[b]?",
            returns=LOSS,
            config=c.DiffusionLossConfig,
            facts=facts.diffusion,
            doc="Squared error between a denoiser's prediction and its target, plain or weighted by min-SNR.",
            source="Ho et al. 2020 (arXiv:2006.11239), eq. 14; Hang et al. 2023 (arXiv:2303.09556)",
        ),
        _error("loss.mse", "mse", "Squared error."),
        _error("loss.l1", "l1", "Absolute error."),
        op_type(
            "loss.kl",
            "mmm_losses.ops:kl",
            mean="Latents",
            logvar="Latents",
            returns=LOSS,
            config=c.KLConfig,
            doc="Divergence of a diagonal normal posterior from the standard normal.",
            source="Kingma & Welling 2013 (arXiv:1312.6114), appendix B",
        ),
        op_type(
            "loss.cross_entropy",
            "mmm_losses.ops:cross_entropy",
            logits="Logits",
            labels="Ids",
            returns=LOSS,
            config=c.CrossEntropyConfig,
            doc="Mean negative log likelihood of the labels.",
        ),
    ]


def training_ops() -> list[OpType]:
    """Random ops of training; what they draw is keyed by seed, node, element and step."""
    guidance = "Ho & Salimans 2022 (arXiv:2207.12598), algorithm 1"
    return [
        _drop("text.drop", "drop_text", "text", "Text[b]", c.DropConfig, guidance),
        _drop("ids.drop", "drop_ids", "ids", "Ids", c.IdsDropConfig, guidance),
        op_type(
            "latents.sample",
            "mmm_losses.ops:sample_latents",
            mean="Latents[b,c,h,w]",
            logvar="Latents[b,c,h,w]",
            returns={"latents": "Latents[b,c,h,w]"},
            noise=True,
            doc="A draw from a diagonal normal posterior.",
            source="Kingma & Welling 2013 (arXiv:1312.6114), section 2.4",
        ),
    ]


def node_types() -> list[NodeType]:
    """Everything that this plugin offers."""
    return [*losses(), *training_ops()]


def _error(kind: str, name: str, doc: str) -> OpType:
    function = f"mmm_losses.ops:{name}"
    return op_type(kind, function, pred="Any", target="Any", returns=LOSS, config=c.ErrorConfig, doc=doc)


def _drop(kind: str, name: str, port: str, type_: str, config: type[Config], source: str) -> OpType:
    return op_type(
        kind,
        f"mmm_losses.ops:{name}",
        ports={port: type_},
        returns={port: type_},
        config=config,
        noise=True,
        doc="Takes the condition away from a share of the elements, for classifier-free guidance.",
        source=source,
    )
