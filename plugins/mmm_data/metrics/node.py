"""What the metrics take and return; torch-free."""

from __future__ import annotations

from mmm_data.metrics.config import (
    DigitAccuracyConfig,
    MotionConfig,
    NearestConfig,
    RecallConfig,
    ToneConfig,
    WorldAnswerConfig,
)
from mmm_graph.registry import NodeType, op_type

IMAGE = "Image[b,1,$size,$size]"
JUDGED = {"correct": "Bool[b]", "exact": "Bool[b]"}


def metric_nodes() -> list[NodeType]:
    """Metrics of pictures, of sounds and videos, of answers, and of retrieval."""
    return [*picture_metrics(), *world_metrics(), *answer_metrics()]


def picture_metrics() -> list[NodeType]:
    """metric.digit_accuracy, metric.nearest_neighbour, metric.psnr."""
    return [
        op_type(
            "metric.digit_accuracy", "mmm_data.metrics.ops:digit_accuracy", config=DigitAccuracyConfig,
            image=IMAGE, label="Ids[b]",
            returns={"mean": "Scalar", "correct": "Bool[b]", "predicted": "Ids[b]",
                     "test_accuracy": "Scalar"},
            doc="Which images an independent classifier (SVM fitted on the train split of data.digits) takes "
            "for the digit of the label; test_accuracy is its share of right answers on the test split.",
        ),
        op_type(
            "metric.nearest_neighbour", "mmm_data.metrics.ops:nearest_neighbour", config=NearestConfig,
            image=IMAGE,
            returns={"mean": "Scalar", "distance": "Scalar[b]", "nearest": "Ids[b]", "copy": "Bool[b]",
                     "copies": "Scalar", "real_mean": "Scalar", "real_median": "Scalar"},
            doc="Root mean square distance of each image to the nearest training image, and the same of real "
            "test images; an image much nearer than real ones are is a copy.",
        ),
        op_type(
            "metric.psnr", "mmm_data.metrics.ops:psnr", image="Image[b,c,h,w]", target="Image[b,c,h,w]",
            returns={"mean": "Scalar", "value": "Scalar[b]"},
            doc="Peak signal-to-noise ratio in dB for images in [0,1]: of each image, and their mean.",
        ),
    ]  # fmt: skip


def world_metrics() -> list[NodeType]:
    """metric.tone_digit, metric.motion, metric.moving_digit, metric.digit_world, metric.digit_said."""
    found = {"mean": "Scalar", "correct": "Bool[b]", "predicted": "Ids[b]"}
    return [
        op_type(
            "metric.tone_digit", "mmm_data.metrics.world:tone_digit", config=ToneConfig,
            audio="Audio[b,1,n]{8000}", label="Ids[b]", returns=found,
            doc="Which sounds dial the digit of the label, by the energy at the eight frequencies of a telephone; "
            "predicted is -1 where most of a sound is something else.",
            source="Goertzel 1958; ITU-T Q.23 and Q.24",
        ),
        op_type(
            "metric.motion", "mmm_data.metrics.world:motion", config=MotionConfig,
            video="Video[b,f,c,h,w]", label="Ids[b]", returns=found,
            doc="In which videos the centre of what is bright goes left (0), right (1), up (2) or down (3) as the "
            "label says; predicted is -1 where it goes nowhere.",
        ),
        op_type(
            "metric.moving_digit", "mmm_data.metrics.world:moving_digit", config=DigitAccuracyConfig,
            video="Video[b,f,c,h,w]", label="Ids[b]", returns=found,
            doc="Which videos an independent classifier takes for the digit of the label: metric.digit_accuracy of "
            "the mean over frames of a square of `size` px around the centre of what is bright.",
        ),
        op_type(
            "metric.digit_world", "mmm_data.metrics.any_to_any:world_answer", config=WorldAnswerConfig,
            wanted="Bool[b]", digit="Ids[b]", move="Ids[b]", made="Any?", rows="Ids[r]?", returns=JUDGED,
            doc="Which answers have the picture, sound or video that is wanted, and it is right by the judges of "
            "pictures, sounds and videos; `exact`: there is one where one is wanted, and none elsewhere.",
        ),
        op_type(
            "metric.digit_said", "mmm_data.metrics.any_to_any:said_answer", text="Text[b]", answer="Text[b]",
            returns=JUDGED, doc="The same of a text, which is wanted where the answer is not empty.",
        ),
    ]  # fmt: skip


def answer_metrics() -> list[NodeType]:
    """metric.accuracy, metric.exact_match, metric.recall_at_k, metric.every."""
    counted = {"mean": "Scalar", "correct": "Bool[b]"}
    return [
        op_type(
            "metric.accuracy", "mmm_data.metrics.answers:accuracy", logits="Logits[b,v]", label="Ids[b]",
            returns={**counted, "predicted": "Ids[b]"},
            doc="Whether the class with the highest score is that of the label.",
        ),
        op_type(
            "metric.exact_match", "mmm_data.metrics.answers:exact_match", text="Text[b]", target="Text[b]",
            returns=counted,
            doc="Whether two texts are the same, but for capitals and white space.",
        ),
        op_type(
            "metric.recall_at_k", "mmm_data.metrics.answers:recall_at_k", config=RecallConfig,
            query="Embeds[b,d]", keys="Embeds[v,d]", query_id="Ids[b]?", key_id="Ids[v]?", returns=counted,
            doc="Whether one of the k nearest keys has the query's id, among the keys of this batch: let `batch` be "
            "the whole data. Without ids query i belongs to key i alone.",
            source="Karpathy and Fei-Fei 2014 (arXiv:1412.2306), section 4.1",
        ),
        op_type(
            "metric.every", "mmm_data.metrics.any_to_any:every", of="Bool*[b]", returns={"all": "Bool[b]"},
            doc="Whether all of several things are true of a row.",
        ),
    ]  # fmt: skip
