"""Settings of the temperature, the classifier, and the ops on vectors and labels."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from mmm_graph.config import Config

PLACE = "{}"


class TemperatureConfig(Config):
    """A learned scale of similarities.

    Attributes:
        init: temperature at the start: cosines are divided by it. CLIP 0.07, SigLIP 0.1.
        max: largest scale that training reaches; None: no bound. What a file says is taken as it is.
        bias: number that is added to all logits at the start, learned too; SigLIP -10. None: there is none.
    """

    init: float = Field(0.07, gt=0)
    max: float | None = Field(100.0, gt=0)
    bias: float | None = None


class ClassifierConfig(Config):
    """Class scores of a vector.

    Attributes:
        in_dim: width of the vector; solved from the links.
        classes: how many there are.
    """

    in_dim: int | None = Field(None, ge=1)
    classes: int = Field(1000, ge=1)


class ConstantConfig(Config):
    """Attributes: texts: what comes out."""

    texts: tuple[str, ...] = Field(min_length=1)


class TemplatesConfig(Config):
    """Attributes: templates: sentences that each hold `{}` once, where the label goes."""

    templates: tuple[str, ...] = Field(("a photo of a {}",), min_length=1)

    @field_validator("templates")
    @classmethod
    def _one_place(cls, templates: tuple[str, ...]) -> tuple[str, ...]:
        for text in templates:
            if text.count(PLACE) != 1:
                raise ValueError(
                    f"the template {text!r} holds {PLACE} {text.count(PLACE)} times; expected once"
                )
        return templates


class FillConfig(TemplatesConfig):
    """How an answer is written.

    Attributes:
        templates: the first one becomes the sentence.
        top: lines of the table; fewer where there are fewer labels.
        probability: softmax: one label is right (CLIP); sigmoid: each label is right or wrong by itself (SigLIP).
    """

    top: int = Field(5, ge=1)
    probability: Literal["softmax", "sigmoid"] = "softmax"


class TopConfig(Config):
    """Attributes: top: how many are found for each query; fewer where there are fewer keys."""

    top: int = Field(5, ge=1)
