"""Prompts -> class ids, by the words of each class."""

from __future__ import annotations

import re
from collections.abc import Sequence

import torch
from torch import Tensor

from mmm_graph.errors import RunError, problem
from mmm_text.config import LabelConfig


class LabelTokenizer:
    """See LabelConfig."""

    def __init__(self, config: LabelConfig) -> None:
        self.config = config
        self.ids = {word.lower(): i for i, words in enumerate(config.classes) for word in words}

    def encode(self, text: Sequence[str]) -> Tensor:
        """Class ids [b], int64.

        Raises:
            RunError: a text has no word of a class, or words of several.
        """
        return torch.tensor([self.label(each) for each in text], dtype=torch.int64)

    def label(self, text: str) -> int:
        """The class of one text."""
        if not text.strip() and self.config.empty:
            return len(self.config.classes)
        found = {self.ids[word] for word in re.findall(r"\w+", text.lower()) if word in self.ids}
        if len(found) == 1:
            return found.pop()
        names = [words[0] for words in self.config.classes]
        what = "names no class" if not found else "names " + " and ".join(names[i] for i in sorted(found))
        raise RunError(
            problem(
                "E709", f"the text {text!r} {what}; expected exactly one", hint="classes: " + ", ".join(names)
            )
        )
