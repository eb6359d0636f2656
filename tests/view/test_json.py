"""Nouns as plain JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from mmm_graph.config import Config
from mmm_graph.errors import Place
from mmm_graph.graph.graph import ModelNode
from mmm_graph.plan.ops import At, Free, Run, Value
from mmm_graph.spec.ports import parse_port
from mmm_graph.view.json import dump_json, to_json
from tests.view.sample_graphs import Steps, ref, text_to_image


def test_a_graph_survives_the_way_through_text():
    graph = text_to_image()
    assert json.loads(dump_json(graph)) == to_json(graph)


def test_port_types_and_refs_are_their_text():
    assert to_json(parse_port("Latents[b,4,h/8,w/8]{sd15}?")) == "Latents[b,4,h/8,w/8]{sd15}?"
    assert to_json({"x": ref("a/b.c")}) == {"x": "a/b.c"}


def test_places_are_left_out():
    node = ModelNode("vae", "vae.kl", Steps(), place=Place("a.yaml", 3, 4))
    assert to_json(node) == to_json(replace(node, place=None))


def test_defaults_of_nouns_are_left_out_and_configs_are_whole():
    assert to_json(ModelNode("vae", "vae.kl", Steps())) == {
        "is": "ModelNode",
        "name": "vae",
        "kind": "vae.kl",
        "config": {"steps": 50},
    }


def test_zero_and_false_are_not_taken_for_one_another():
    @dataclass
    class Flag:
        value: object = 0

    assert to_json(Flag(False)) == {"is": "Flag", "value": False}
    assert to_json(Flag(0)) == {"is": "Flag"}


def test_instructions():
    value = Value("r0", "noise.latents")
    run = Run(("op", "noise"), (), (("latents", value),), At("r0", "noise"))
    assert to_json(run)["writes"][0][1]["name"] == "noise.latents"
    assert to_json(Free((value,)))["is"] == "Free"


def test_aliases_paths_and_sets():
    class Spec(Config):
        folder: Path

    assert to_json(Spec(folder=Path("a") / "b")) == {"folder": "a/b"}
    assert to_json(frozenset({"b", "a"})) == ["a", "b"]


def test_what_has_no_plain_form_is_refused():
    with pytest.raises(TypeError, match="no plain JSON form"):
        to_json(object())
