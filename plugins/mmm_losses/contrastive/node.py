"""Losses that compare the samples of a batch."""

from __future__ import annotations

from mmm_graph.config import Config
from mmm_graph.registry import OpType, op_type
from mmm_losses.contrastive import config as c

PAIRS = {"image": "Embeds[b,d]", "text": "Embeds[b,d]"}
SCALE, IDS = "Scalar[]?", "Ids[b]?"
LOSS = {"loss": "Scalar[]"}
CLIP, BLIP2 = "Radford et al. 2021 (arXiv:2103.00020)", "Li et al. 2023 (arXiv:2301.12597)"


def contrastive_nodes() -> list[OpType]:
    """loss.info_nce, loss.itc, loss.siglip, loss.cyclip, loss.triplet, loss.triplet_mined, ids.of_text."""
    return [*pair_losses(), *triplet_losses(), ids_of_text()]


def pair_losses() -> list[OpType]:
    """Losses over pairs of images and texts."""
    several = {**PAIRS, "image": "Embeds[b,l,d]"}
    known = {"scale": SCALE, "ids": IDS, "text_ids": IDS}
    return [
        _batch(
            "loss.info_nce",
            "ops:info_nce",
            {**PAIRS, **known},
            c.InfoNCEConfig,
            doc="Which text of the batch belongs to an image, and which image to a text (CLIP). Equal ids are no "
            "negatives.",
            source=f"{CLIP}, figure 3; equal ids: {BLIP2} as released",
        ),
        _batch(
            "loss.itc",
            "ops:image_text_contrast",
            {**several, **known},
            c.InfoNCEConfig,
            doc="InfoNCE where an image has several vectors and the nearest one counts (BLIP-2, first stage).",
            source=f"{BLIP2}, section 3.1",
        ),
        _batch(
            "loss.siglip",
            "ops:siglip",
            {**PAIRS, **known, "scale": "Scalar[]", "bias": SCALE},
            c.SigLIPConfig,
            doc="Each image and text of the batch belong together or not, by themselves (SigLIP).",
            source="Zhai et al. 2023 (arXiv:2303.15343), algorithm 1",
        ),
        _batch(
            "loss.cyclip",
            "ops:cyclip",
            PAIRS,
            c.CyCLIPConfig,
            {**LOSS, "cross": "Scalar[]", "within": "Scalar[]"},
            doc="Similarities are the same both ways and inside both modalities (CyCLIP); beside loss.info_nce.",
            source="Goel et al. 2022 (arXiv:2205.14459), both cyclic consistencies",
        ),
    ]


def triplet_losses() -> list[OpType]:
    """Losses over triplets."""
    vectors, faces = "Embeds[b,d]", "Schroff et al. 2015 (arXiv:1503.03832)"
    return [
        op_type(
            "loss.triplet",
            "mmm_losses.contrastive.triplet:triplet",
            anchor=vectors,
            positive=vectors,
            negative=vectors,
            returns={**LOSS, "active": "Scalar[]"},
            config=c.TripletConfig,
            doc="The anchor is nearer to the positive than to the negative, by a margin.",
            source=f"{faces}, section 3.1",
        ),
        _batch(
            "loss.triplet_mined",
            "triplet:triplet_mined",
            {"anchor": vectors, "other": f"{vectors}?", "labels": IDS, "other_labels": IDS},
            c.MinedTripletConfig,
            {**LOSS, "active": "Scalar[]", "triplets": "Scalar[]"},
            doc="Triplets that are looked for in the batch, by labels or by pairs: hard, semi-hard or all.",
            source=f"Hermans et al. 2017 (arXiv:1703.07737), section 2; {faces}, section 3.2",
        ),
    ]


def ids_of_text() -> OpType:
    """ids.of_text."""
    return op_type(
        "ids.of_text",
        "mmm_losses.contrastive.ops:ids_of_text",
        text="Text[b]",
        returns={"ids": "Ids[b]"},
        doc="A number for each text, equal for equal texts: which captions of a batch are no negatives.",
    )


def _batch(
    kind: str,
    function: str,
    ports: dict[str, str],
    config: type[Config],
    returns: dict[str, str] = LOSS,
    *,
    doc: str,
    source: str,
) -> OpType:
    """A loss that must see the whole batch, whatever it is split into."""
    return op_type(
        kind,
        f"mmm_losses.contrastive.{function}",
        ports=ports,
        returns=returns,
        config=config,
        accumulation="feature_cache",
        gather="data",
        doc=doc,
        source=source,
    )
