"""The classifier of one vector, and texts that a config says."""

from __future__ import annotations

import torch

from mmm_dual.classifier import Linear
from mmm_dual.config import ClassifierConfig, ConstantConfig
from mmm_dual.node import classifier
from mmm_dual.texts import constant
from mmm_graph.testing import check_node


def test_classifier_keeps_what_it_declares() -> None:
    check_node(classifier(), config={"in_dim": 6, "classes": 3})


def test_scores_are_linear_in_the_vector() -> None:
    model = Linear(ClassifierConfig(in_dim=4, classes=3))
    x = torch.randn(2, 4, generator=torch.Generator().manual_seed(0))
    wanted = x @ model.proj.weight.T + model.proj.bias
    assert torch.allclose(model(x), wanted)
    assert model(torch.zeros(1, 4)).tolist() == [model.proj.bias.tolist()]


def test_constant_texts_are_those_of_the_config() -> None:
    assert constant(ConstantConfig(texts=("one", "two"))) == ["one", "two"]
