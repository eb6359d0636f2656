"""Models that a session keeps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from mmm_graph.api.models import Models
from mmm_graph.api.session import Session
from mmm_graph.errors import InputError, RunError


@pytest.fixture
def models(graph: Session) -> Models:
    return Models(graph.registry, Path(), torch.device("cpu"), None)


def test_a_model_is_kept_until_its_config_changes(graph: Session, models: Models) -> None:
    nodes = graph.graph.models
    dit, guide = models.get(nodes, "dit"), models.get(nodes, "guide")
    other = {
        **nodes,
        "guide": replace(nodes["guide"], config=nodes["guide"].config.model_copy(update={"scale": 9.0})),
    }
    assert models.get(other, "dit") is dit
    with models.engine(other, frozenset(("dit", "guide"))) as engine:
        assert engine.models["dit"] is dit
        assert engine.models["guide"] is not guide


def test_a_run_within_a_run_has_an_engine_of_its_own(graph: Session, models: Models) -> None:
    nodes, name = graph.graph.models, frozenset(("dit",))
    with models.engine(nodes, name) as outer:
        with models.engine(nodes, name) as inner:
            assert inner is not outer
            assert inner.models["dit"] is outer.models["dit"]
        with models.engine(nodes, name) as inner:
            assert inner is not outer
    with models.engine(nodes, name) as later:
        assert later is outer


def test_weights_that_are_not_there_or_not_as_expected(graph: Session, models: Models) -> None:
    nodes = graph.graph.models
    with pytest.raises(RunError, match="does not exist"):
        models.get({"dit": replace(nodes["dit"], weights="file:none.safetensors")}, "dit")
    models.expected = {"dit": "00"}
    with pytest.raises(InputError, match="dit: the weights are not those"):
        models.get(nodes, "dit")
    assert models.built == {}


def test_what_is_resident_is_what_was_used(graph: Session, models: Models) -> None:
    nodes = graph.graph.models
    built = models.get(nodes, "dit")
    assert (models.resident(), built.resident_bytes) == ({}, 0), "found, and not loaded yet"
    tensors = [*built.object.parameters(), *built.object.buffers()]
    assert models.resident() == {"dit": sum(t.numel() * t.element_size() for t in tensors)}
    models.get(nodes, "guide")
    assert models.hashes(frozenset(("dit", "guide", "vae"))) == {"dit": built.fingerprint}
    assert models.hashes(frozenset()) == {}
