import pytest
import torch
from pydantic import ValidationError

from mmm_graph.errors import RunError
from mmm_text.config import LabelConfig
from mmm_text.label import LabelTokenizer

CLASSES = (("cat", "kitten"), ("dog",))


def test_words_name_classes_and_the_empty_text_the_class_after_the_last():
    ids = LabelTokenizer(LabelConfig(classes=CLASSES)).encode(["A Kitten!", "the dog, asleep", ""])
    assert torch.equal(ids, torch.tensor([0, 1, 2]))


@pytest.mark.parametrize(
    ("text", "message"),
    [("a bird", "names no class"), ("cat and dog", "names cat and dog"), ("concatenate", "names no class")],
)
def test_a_text_must_name_exactly_one_class(text, message):
    with pytest.raises(RunError, match=message):
        LabelTokenizer(LabelConfig(classes=CLASSES)).encode([text])


def test_the_empty_text_may_be_an_error():
    with pytest.raises(RunError, match="names no class"):
        LabelTokenizer(LabelConfig(classes=CLASSES, empty=False)).encode([""])


def test_a_word_stands_for_one_class():
    with pytest.raises(ValidationError, match="more than one class: cat"):
        LabelConfig(classes=(("cat",), ("Cat", "dog")))
