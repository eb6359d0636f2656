"""An importer of a whole model finds adaptors by the names of transformers' classes; a graph reads and exports them."""

import pytest
import torch

import mmm_graph as mmm
from mmm_graph.registry import Foreign, load_registry
from tests.plugins.mmm_bridge.peers import blip2, close, idefics, llava, saved

CASES = {
    "LlavaMultiModalProjector": (llava, "#multi_modal_projector", "adaptor.mlp"),
    "LlavaNextImageNewline": (lambda: llava("LlavaNext"), "", "adaptor.anyres"),
    "Blip2QFormerModel": (blip2, "", "adaptor.qformer"),
    "IdeficsPerceiverResampler": (idefics, "#model.perceiver_resampler", "adaptor.perceiver"),
}


@pytest.mark.parity
@pytest.mark.parametrize("name", list(CASES))
def test_a_part_of_a_folder_becomes_a_model_of_a_graph(tmp_path, name):
    make, prefix, kind = CASES[name]
    theirs = make()
    saved(theirs, tmp_path)
    registry = load_registry()
    part = Foreign(tmp_path, f"file:{tmp_path}{prefix}", registry, name, theirs.config.to_dict())
    model = part.model()
    assert model["kind"] == kind
    if kind == "adaptor.anyres":
        assert model["config"] == {"width": 16}
        return
    graph = {
        **{"mmm": 1, "name": "part", "inputs": {"x": "Embeds[b,l,12]"}, "models": {"bridge": model}},
        **{"nodes": {"soft": {"call": "bridge", "in": {"features": "$in.x"}}}, "outputs": {"soft": "soft"}},
    }
    session = mmm.load(graph)
    x = torch.randn(2, 5, 12, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        close(session.run(x=x)["soft"], WANT[kind](theirs, x))


def queries(theirs, x):
    tokens = theirs.query_tokens.expand(len(x), -1, -1)
    return theirs.language_projection(theirs.qformer(query_embeds=tokens, encoder_hidden_states=x)[0])


WANT = {
    "adaptor.mlp": lambda theirs, x: theirs.model.multi_modal_projector(x),
    "adaptor.qformer": queries,
    "adaptor.perceiver": lambda theirs, x: theirs.model.perceiver_resampler(x),
}
