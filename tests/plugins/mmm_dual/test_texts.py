"""Labels to prompts, and answers in words."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError

from mmm_dual import texts
from mmm_dual.config import FillConfig, TemplatesConfig
from mmm_graph.errors import RunError

LABELS = ["cat", "dog", "golden retriever"]
LOGITS = torch.tensor([[0.0, 3.0, 1.0], [2.0, -1.0, 2.0]])


def test_every_label_in_every_template() -> None:
    config = TemplatesConfig(templates=("a {}", "my {}!"))
    got = texts.fill_templates([" cat", "dog"], config)
    assert got["text"] == ["a cat", "my cat!", "a dog", "my dog!"] and got["groups"].tolist() == [0, 0, 1, 1]
    with pytest.raises(RunError, match=r"E746.*label 1 of 2 is empty"):
        texts.fill_templates(["cat", " "], config)


@pytest.mark.parametrize("template", ["a photo", "{} and {}"])
def test_a_template_has_one_place(template: str) -> None:
    with pytest.raises(ValidationError, match="expected once"):
        TemplatesConfig(templates=(template,))
    with pytest.raises(ValidationError, match="at least 1"):
        TemplatesConfig(templates=())


def test_the_best_label_is_said() -> None:
    got = texts.fill_best(LOGITS, LABELS, FillConfig(templates=("a photo of a {}",), top=2))
    assert got["text"] == ["A photo of a dog.", "A photo of a cat."]  # of equal ones the first
    assert got["best"].tolist() == [1, 0]
    assert torch.allclose(got["probabilities"], LOGITS.softmax(-1))
    assert got["table"][0] == "1. dog                84.38%\n2. golden retriever   11.42%"
    assert texts.sentence("is it a {}?", "dog") == "Is it a dog?"


def test_each_label_by_itself() -> None:
    got = texts.fill_best(LOGITS, LABELS, FillConfig(top=9, probability="sigmoid"))
    assert torch.allclose(got["probabilities"], LOGITS.sigmoid())
    lines = got["table"][1].splitlines()
    assert len(lines) == 3 and lines[-1].startswith("3. dog") and lines[-1].endswith("26.89%")


def test_logits_that_are_no_numbers_are_no_answer() -> None:
    broken = LOGITS.clone()
    broken[1, 2] = float("nan")
    with pytest.raises(RunError, match=r"E746.*picture 1 of 2 are not finite"):
        texts.fill_best(broken, LABELS, FillConfig())
