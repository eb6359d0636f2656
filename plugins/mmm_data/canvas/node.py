"""What the canvas datasets offer; torch-free."""

from __future__ import annotations

from collections.abc import Mapping

from mmm_data.canvas.config import CanvasConfig, QuestionsConfig
from mmm_data.digits.node import SOURCE
from mmm_graph.registry import NodeType, data_type


def canvas_nodes() -> list[NodeType]:
    """data.digit_canvas and data.digit_questions."""
    return [
        data_type(
            "data.digit_canvas", CanvasConfig, "mmm_data.canvas.dataset:Canvases",
            columns=canvas_columns, source=SOURCE,
            doc="Canvases with one to four scans of data.digits and captions; canvases of one `id` mean the same.",
        ),
        data_type(
            "data.digit_questions", QuestionsConfig, "mmm_data.canvas.dataset:Questions",
            columns=question_columns, source=SOURCE,
            doc="Canvases with questions and answers, and conversations that show the image or say what is on it.",
        ),
    ]  # fmt: skip


def canvas_columns(config: CanvasConfig) -> Mapping[str, str]:
    """Columns of data.digit_canvas."""
    return {"image": _image(config), "text": "Text[b]", "label": "Ids[b]", "count": "Ids[b]", "id": "Ids[b]"}


def question_columns(config: QuestionsConfig) -> Mapping[str, str]:
    """Columns of data.digit_questions; `prompt` is `chat` without the answer."""
    texts = dict.fromkeys(("description", "question", "answer"), "Text[b]")
    return {"image": _image(config), **texts, "chat": "Chat[b]", "prompt": "Chat[b]"}


def _image(config: CanvasConfig) -> str:
    return f"Image[b,3,{config.size},{config.size}]"
