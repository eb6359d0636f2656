"""A pipeline of diffusers beside the graph that `mmm import` makes of its folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import mmm_graph as mmm
from mmm_graph.api.convert import import_graph
from mmm_graph.registry import load_registry
from tests.plugins.mmm_pipelines import files, tiny


@pytest.fixture(scope="session")
def single(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], files.Made]:
    """A case of `files`, made once; what is in its folder is for reading."""
    return cache(lambda name: files.make(name, tmp_path_factory.mktemp("single")))


@pytest.fixture
def both(tmp_path: Path) -> Callable[..., tuple[dict[str, Tensor], Tensor | None]]:
    """(what the graph gives, latents of diffusers), of the same noise.

    The call takes the pipeline, our inputs and params, and its own arguments; None: only the graph is run.
    """

    def run(
        pipeline: Any, given: Mapping[str, Any], theirs: Mapping[str, Any] | None, noise: Tensor
    ) -> tuple[dict[str, Tensor], Tensor | None]:
        folder = tiny.save(pipeline, tmp_path / "checkpoint")
        made = import_graph(str(folder), tmp_path / "graph.yaml", load_registry())
        session = mmm.load(made.tree, base=tmp_path)
        found = session.run(**given, supply={"noise": noise}, outputs=["denoise.latents", "image"])
        if theirs is None:
            return found, None
        with torch.no_grad():
            return found, pipeline(**{"latents": noise, **theirs}, output_type="latent").images

    return run
