"""`samples:` of a stage: outputs of the top level, made with the models as they are, saved as `mmm run` saves them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from mmm_graph.errors import InputError, did_you_mean, problem
from mmm_graph.graph.compile import compile_graph
from mmm_graph.graph.graph import Graph
from mmm_graph.registry import Registry
from mmm_graph.runtime import Built, Engine, Request
from mmm_graph.runtime.events import Result
from mmm_graph.spec import GraphSpec
from mmm_graph.train.reach import needed_models
from mmm_graph.train.stage import Stage
from mmm_graph.train.start import build_started, find_starts

GRID = "grid-"
"""Put before the name of the picture that shows all rows of an output."""


@dataclass(frozen=True)
class SampleTools:
    """How inputs are read and outputs saved: what stands above training hands it down.

    Attributes:
        bind: (graph, inputs by name, seed, folder of the file) -> a request.
        save: (graph, registry, result, folder, prefix) -> files by output.
    """

    bind: Callable[[Graph, Mapping[str, Any], int, Path], Request]
    save: Callable[[Graph, Registry, Result, Path, str], Mapping[str, Sequence[Path]]]


def sample_graph(
    spec: GraphSpec, registry: Registry, stage: Stage, tools: SampleTools | None
) -> tuple[Graph, Request]:
    """The top level with the outputs that a stage wants, and the request.

    Raises:
        InputError: E810, nothing can be saved here; E811, no such output, or one that is not saved; what compiling
            and the inputs find.
    """
    said, place = stage.samples, spec.place("train", "stages", stage.name, "samples")
    assert said is not None
    if tools is None:
        what = f"stage {stage.name} has `samples:`, and this caller cannot save them"
        hint = "train with `mmm train`, or `mmm.load(...).train(...)`"
        raise InputError(problem("E810", what, place, hint))
    graph = compile_graph(spec, registry)
    saved = [name for name, output in graph.outputs.items() if output.save is not None]
    wrong = [name for name in said.outputs if name not in saved]
    if wrong or not saved:
        what = f"stage {stage.name}: no output {wrong[0]!r} is saved" if wrong else "no output is saved"
        hint = did_you_mean(wrong[0], saved) if wrong and saved else "give the output `save: {format: ...}`"
        raise InputError(problem("E811", what, place, hint))
    names = said.outputs or saved
    graph = replace(graph, outputs={name: graph.outputs[name] for name in names})
    return graph, tools.bind(graph, said.inputs, said.seed, spec.base)


class Samples:
    """Makes the samples of one stage. Models that the stage does not have are built once, when they are first needed.

    Args:
        ready: models of the stage.
        outputs: models that earlier stages left in OUT.
    """

    def __init__(  # noqa: PLR0913 - what it is made with, by name
        self,
        spec: GraphSpec,
        registry: Registry,
        stage: Stage,
        tools: SampleTools | None,
        *,
        ready: Mapping[str, Built],
        outputs: Mapping[str, str],
        out: Path,
        device: str,
        seed: int,
    ) -> None:
        self._registry, self._tools, self._stage, self._out = registry, tools, stage, out
        self._graph, self._request = sample_graph(spec, registry, stage, tools)
        needed = needed_models(self._graph)
        missing = [self._graph.models[name] for name in sorted(needed - ready.keys())]
        starts = find_starts(spec, registry, missing, outputs=outputs)
        others = build_started(spec, registry, self._graph, starts, out=out, device=device, seed=seed)
        own = {name: ready[name] for name in needed & ready.keys()}
        self._engine = Engine(registry, {**own, **others}, device=device, cache_bytes=0)

    def folder(self, step: int) -> Path:
        """Where the samples after `step` steps are."""
        return self._out / "samples" / f"{self._stage.name}-{step:06d}"

    def make(self, step: int, *, writes: bool = True) -> dict[str, list[str]]:
        """Run the graph and save its outputs; returns the files by output, grids as `grid-NAME`.

        Raises:
            RunError: E7xx, a node failed, or a file cannot be written.
        """
        assert self._tools is not None
        result = self._engine.run(self._graph, [self._request])[self._request.id]
        if not writes:
            return {}
        folder = self.folder(step)
        saved = dict(self._tools.save(self._graph, self._registry, result, folder, ""))
        grids = {
            name: grid(value) for name, value in result.values.items() if is_sheet(self._graph, name, value)
        }
        if grids:
            sheets = replace(result, values=grids, absent={}, owners={})
            made = self._tools.save(self._graph, self._registry, sheets, folder, GRID)
            saved |= {f"{GRID}{name}": files for name, files in made.items()}
        return {name: [str(file) for file in files] for name, files in saved.items() if files}


def is_sheet(graph: Graph, name: str, value: Any) -> bool:
    """Whether an output is several images of one size."""
    return graph.outputs[name].type.kind == "Image" and isinstance(value, Tensor) and len(value) > 1


def grid(images: Tensor) -> Tensor:
    """Images [b,c,h,w] in rows and columns, about as many of each: [1,c,H,W]; free places are black."""
    b, c, h, w = images.shape
    columns = math.ceil(math.sqrt(b))
    rows = -(-b // columns)
    padded = F.pad(images, (0, 0, 0, 0, 0, 0, 0, rows * columns - b))
    sheet: Tensor = (
        padded.reshape(rows, columns, c, h, w).permute(2, 0, 3, 1, 4).reshape(1, c, rows * h, columns * w)
    )
    return torch.clamp(sheet, 0, 1)
