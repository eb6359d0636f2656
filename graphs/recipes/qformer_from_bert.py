"""The Q-Former with which BLIP-2 begins, made of BERT: `python graphs/recipes/qformer_from_bert.py BERT OUT`.

BERT is the `model.safetensors` of google-bert/bert-base-uncased. Words, self-attention, MLPs and head are BERT's, and
the MLPs of the queries are copies of those of texts. Queries, cross-attention, the way to the language model and the
row of [DEC] start at random.
Source: salesforce/LAVIS, lavis/models/blip2_models/blip2_qformer.py (Blip2Qformer.__init__).
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from mmm_bridge.qformer.keys import lavis_rows
from mmm_graph.checkpoint.load import saved_names
from mmm_graph.checkpoint.save import save_module
from mmm_graph.graph.compile import compile_graph
from mmm_graph.registry import Layout, load_registry
from mmm_graph.runtime import build_models
from mmm_graph.spec import GraphSpec, load_spec

RECIPE = Path(__file__).with_name("blip2.yaml")
NEW = ("query_tokens", "crossattention", "opt_proj")
"""What names in a file of LAVIS have that BERT has nothing for."""


def random_qformer(spec: GraphSpec) -> nn.Module:
    """The Q-Former of the recipe as it starts without BERT."""
    registry = load_registry()
    node = replace(compile_graph(spec, registry).models["bridge"], weights=None, init="default")
    built = build_models({"bridge": node}, registry, base=spec.base, fresh=frozenset({"bridge"}))
    module: nn.Module = built["bridge"].object
    return module


@torch.no_grad()
def take_over(module: nn.Module, bert: Mapping[str, Tensor]) -> list[str]:
    """Copy into a Q-Former what BERT has; returns our names of what it does not have.

    Raises:
        KeyError: BERT lacks a tensor that it should have.
    """
    names, state = saved_names(module), module.state_dict()
    theirs = {old.replace("gamma", "weight").replace("beta", "bias"): tensor for old, tensor in bert.items()}
    new = []
    for ours, place in Layout("LAVIS", lavis_rows("opt_proj")).theirs(names).items():
        lavis = place.names[0]
        if any(word in lavis for word in NEW):
            new.append(ours)
        elif ours != "head.out.weight":  # it is the embedding of words
            tensor = theirs[lavis.removeprefix("Qformer.").replace("_query", "")]
            state[names[ours]][: len(tensor)].copy_(tensor)
    return new


def main(bert: Path, out: Path, spec: GraphSpec | None = None) -> list[str]:
    """Write the file that blip2.yaml reads."""
    module = random_qformer(spec or load_spec(RECIPE))
    new = take_over(module, load_file(bert))
    save_module(module, out)
    return new


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
