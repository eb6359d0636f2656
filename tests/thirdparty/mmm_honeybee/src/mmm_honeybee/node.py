"""What the node types take and return; torch-free."""

from __future__ import annotations

from mmm_graph.registry import NodeType, method, model_type, op_type, sampler_type
from mmm_honeybee.config import HoneybeeConfig, Lms2Config, PseudoHuberConfig


def nodes() -> list[NodeType]:
    """adaptor.honeybee, sampler.lms2, loss.pseudo_huber."""
    return [
        model_type(
            "adaptor.honeybee",
            HoneybeeConfig,
            "mmm_honeybee.model:Honeybee",
            methods={
                "forward": method(
                    features="Embeds[b,l,$in_dim]",
                    returns={"embeds": "Embeds[b,$num_tokens,$out_dim]"},
                    doc="A square of features as fewer embeddings.",
                )
            },
            doc="Convolutional abstractor: keeps what is near together, at any number of tokens.",
            source="Cha et al. 2023 (arXiv:2312.06742)",
        ),
        sampler_type(
            "sampler.lms2",
            Lms2Config,
            "mmm_honeybee.sampler:Lms2",
            doc="Linear multistep of second order, one evaluation a step.",
            source="Liu et al. 2022 (arXiv:2202.09778)",
        ),
        op_type(
            "loss.pseudo_huber",
            "mmm_honeybee.loss:pseudo_huber",
            config=PseudoHuberConfig,
            pred="Latents",
            target="Latents",
            returns={"loss": "Scalar[]"},
            doc="Quadratic near zero, linear far away.",
            source="Song and Dhariwal 2023 (arXiv:2310.14189)",
        ),
    ]
