"""The temperature, a classifier, and ops on vectors and labels.

Axes: b pictures or queries, v labels or keys, r prompts, d width.
"""

from __future__ import annotations

from mmm_dual import config as c
from mmm_dual.foreign import LAYOUTS
from mmm_graph.registry import ModelType, NodeType, OpType, method, model_type, op_type

CLIP, SIGLIP = "Radford et al. 2021 (arXiv:2103.00020)", "Zhai et al. 2023 (arXiv:2303.15343)"


def dual_nodes() -> list[NodeType]:
    """Everything that this plugin offers."""
    return [temperature(), classifier(), *text_ops(), *embeds_ops()]


def temperature() -> ModelType:
    """projector.temperature."""
    return model_type(
        "projector.temperature",
        c.TemperatureConfig,
        "mmm_dual.temperature:Temperature",
        methods={
            "forward": method(
                returns={"scale": "Scalar[]", "bias": "Scalar[]?"},
                doc="What cosines are multiplied with, and what is then added to them.",
            )
        },
        doc="The learned scale of similarities, and SigLIP's learned bias.",
        source=f"{CLIP}, section 2.5; {SIGLIP}, section 3.2",
        layouts=LAYOUTS,
    )


def classifier() -> ModelType:
    """classifier.linear."""
    return model_type(
        "classifier.linear",
        c.ClassifierConfig,
        "mmm_dual.classifier:Linear",
        methods={
            "forward": method(
                features="Embeds[b,$in_dim]",
                returns={"logits": "Logits[b,$classes]"},
                doc="Scores of the classes.",
            )
        },
        doc="A linear layer on the vector of an encoder, which is trained with it, or frozen (a linear probe).",
        source=f"{CLIP}, section 3.2",
    )


def text_ops() -> list[OpType]:
    """text.constant, text.templates and text.fill_best."""
    return [
        op_type(
            "text.constant",
            "mmm_dual.texts:constant",
            returns={"text": "Text[v]"},
            config=c.ConstantConfig,
            doc="Texts of the config, such as the labels of an evaluation.",
        ),
        op_type(
            "text.templates",
            "mmm_dual.texts:fill_templates",
            text="Text[v]",
            returns={"text": "Text[r]", "groups": "Ids[r]"},
            config=c.TemplatesConfig,
            doc="Every label in every template, and which label each text is of.",
            source=f"{CLIP}, section 3.1.4",
        ),
        op_type(
            "text.fill_best",
            "mmm_dual.texts:fill_best",
            logits="Logits[b,v]",
            labels="Text[v]",
            returns={
                "text": "Text[b]",
                "table": "Text[b]",
                "best": "Ids[b]",
                "probabilities": "Scalar[b,v]",
            },
            config=c.FillConfig,
            doc="The best label in a sentence, the best few in a table, and the probabilities of all.",
        ),
    ]


def embeds_ops() -> list[OpType]:
    """embeds.normalize, embeds.mean_groups, embeds.cosine_logits, embeds.top_k."""
    return [
        op_type(
            "embeds.normalize",
            "mmm_dual.embeds:normalize",
            embeds="Embeds[b,...,d]",
            returns={"embeds": "Embeds[b,...,d]"},
            doc="Vectors of length 1.",
        ),
        op_type(
            "embeds.mean_groups",
            "mmm_dual.embeds:mean_groups",
            embeds="Embeds[r,d]",
            groups="Ids[r]",
            returns={"embeds": "Embeds[v,d]"},
            doc="One vector for each group: the mean of its normalised vectors, normalised again.",
            source=f"{CLIP}, section 3.1.4",
        ),
        op_type(
            "embeds.cosine_logits",
            "mmm_dual.embeds:cosine_logits",
            query="Embeds[b,d]",
            keys="Embeds[v,d]",
            scale="Scalar[]?",
            bias="Scalar[]?",
            returns={"logits": "Logits[b,v]"},
            doc="Cosines of all pairs, scaled and shifted.",
            source=f"{CLIP}, figure 3; {SIGLIP}, algorithm 1",
        ),
        op_type(
            "embeds.top_k",
            "mmm_dual.embeds:top_k",
            query="Embeds[b,d]",
            keys="Embeds[v,d]",
            returns={"indices": "Ids[b,r]", "scores": "Scalar[b,r]"},
            config=c.TopConfig,
            doc="The nearest keys of each query and their cosines, the best one first.",
        ),
    ]
