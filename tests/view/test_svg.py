"""The SVG is well-formed, stands alone, and says what the graph says."""

from __future__ import annotations

import re
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from mmm_graph.graph.graph import Graph, Input
from mmm_graph.spec.ports import parse_port
from mmm_graph.view.svg import to_svg
from tests.view.sample_graphs import op, sixty_nodes, text_to_image


@pytest.mark.parametrize("graph", [text_to_image(), sixty_nodes()], ids=lambda g: g.name)
def test_it_is_well_formed_and_fetches_nothing(graph: Graph):
    text = to_svg(graph)
    ElementTree.fromstring(text)
    assert re.findall(r"https?://(?!www\.w3\.org)", text) == []
    assert not re.search(r"<(image|script|use|foreignObject)\b|url\(|@import", text)


def test_ports_and_shapes_are_shown_on_hover():
    text = to_svg(text_to_image())
    titles = [e.text for e in ElementTree.fromstring(text).iter("{http://www.w3.org/2000/svg}title")]
    decode = next(t for t in titles if t and t.startswith("image\n"))
    assert "call vae.decode (vae.kl)" in decode
    assert "in  latents: denoise/loop.latents" in decode
    assert "out image: Image[b,1,32,32]" in decode


def test_roles_parameters_turns_and_weights_are_on_the_page():
    words = set(re.findall(r">([^<>]+)</text>", to_svg(text_to_image())))
    assert {"denoiser", "next turn", "steps = 20", "↻ loop  × 20", "Text[b]", "vae.decode"} <= words
    assert "file:weights/ldm/unet.safetensors" in words


def test_names_are_escaped():
    graph = Graph(
        'a<b>&"c"', "main", "$in", {"p": "<script>"}, {"x": Input(parse_port("Text[b]"), "<i>", required=False)}, {},
        (op("n", "k.k", {"y": "Text[b]"}, i="$in.x"),), {},
    )  # fmt: skip
    ElementTree.fromstring(to_svg(graph))


def test_an_empty_graph_is_an_empty_page():
    ElementTree.fromstring(to_svg(Graph("nothing", "main", "$in", {}, {}, {}, (), {})))


def test_a_stage_is_named():
    assert "digits-ldm · train.vae" in to_svg(replace(text_to_image(), section="train.vae"))
