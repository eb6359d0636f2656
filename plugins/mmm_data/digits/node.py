"""What the digit datasets offer; torch-free."""

from __future__ import annotations

from collections.abc import Mapping

from mmm_data.digits.config import DigitPromptsConfig, DigitsConfig
from mmm_graph.registry import NodeType, data_type

SOURCE = (
    "Optical Recognition of Handwritten Digits, Alpaydin and Kaynak 1998 (UCI Machine Learning Repository); "
    "the copy inside scikit-learn, sklearn.datasets.load_digits."
)


def digit_nodes() -> list[NodeType]:
    """data.digits and data.digit_prompts."""
    return [
        data_type(
            "data.digits", DigitsConfig, "mmm_data.digits.dataset:Digits",
            columns=digit_columns, source=SOURCE,
            doc="The 1,797 scans of scikit-learn, enlarged, with captions; split_seed fixes the test split.",
        ),
        data_type(
            "data.digit_prompts", DigitPromptsConfig, "mmm_data.digits.dataset:DigitPrompts",
            columns=prompt_columns,
            doc="Prompts and labels of all ten digits, the classes in turn, with empty ones for guidance.",
        ),
    ]  # fmt: skip


def digit_columns(config: DigitsConfig) -> Mapping[str, str]:
    """Columns of data.digits; `id` is the number of the scan in scikit-learn's order."""
    return {
        "image": f"Image[b,1,{config.size},{config.size}]",
        "text": "Text[b]",
        "label": "Ids[b]",
        "id": "Ids[b]",
    }


def prompt_columns(config: DigitPromptsConfig) -> Mapping[str, str]:
    """Columns of data.digit_prompts."""
    return {"prompt": "Text[b]", "negative_prompt": "Text[b]", "label": "Ids[b]"}
