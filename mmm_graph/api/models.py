"""The models that a session has built so far, and the engine that runs them."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch

from mmm_graph.errors import InputError, problem
from mmm_graph.graph.graph import ModelNode
from mmm_graph.registry import Registry
from mmm_graph.runtime.attach import differ_in_scales
from mmm_graph.runtime.build import Built, build_models
from mmm_graph.runtime.engine import Engine
from mmm_graph.runtime.world import World


class Models:
    """Built models by name; one is kept for as long as its config stays the same.

    Attributes:
        built: what there is.
        expected: hashes that weights must have; others are refused.
    """

    def __init__(
        self,
        registry: Registry,
        base: Path,
        device: torch.device,
        weights: Path | None,
        world: World | None = None,
    ) -> None:
        """The arguments are those of Session."""
        self.built: dict[str, Built] = {}
        self.expected: Mapping[str, str] = {}
        self._registry, self._base, self._device, self._weights = registry, base, device, weights
        self._world = world
        self._engine = Engine(registry, self.built, device=device, world=world)
        self._lock, self._running = threading.RLock(), False

    def get(self, nodes: Mapping[str, ModelNode], name: str) -> Built:
        """One model."""
        with self._lock:
            self._build(self.built, nodes, frozenset((name,)))
            return self.built[name]

    def resident(self) -> dict[str, int]:
        """Bytes of weights by model, of those that have been loaded on any rank of this process."""
        found = {name: built.resident_bytes for name, built in sorted(self.built.items())}
        return {name: size for name, size in found.items() if size}

    def hashes(self, names: frozenset[str]) -> dict[str, str]:
        """Of the weights of these models, where they have some."""
        found = {name: self.built[name].fingerprint for name in sorted(names & self.built.keys())}
        return {name: text for name, text in found.items() if text}

    @contextmanager
    def engine(self, nodes: Mapping[str, ModelNode], needed: frozenset[str]) -> Iterator[Engine]:
        """The engine with these models, for one thread at a time.

        Where an observer runs the graph within a run, it gets an engine of its own: the other is at work.

        Raises:
            RunError: E6xx, weights that are not there. InputError: E609, weights that are not as expected.
        """
        with self._lock:
            if self._running:
                beside = {k: b for k, b in self.built.items() if b.node == nodes.get(k, b.node)}
                self._build(beside, nodes, needed)
                yield Engine(self._registry, beside, device=self._device, cache_bytes=0)
                return
            self._build(self.built, nodes, needed)
            self._running = True
            try:
                yield self._engine
            finally:
                self._running = False

    def _build(self, built: dict[str, Built], nodes: Mapping[str, ModelNode], needed: frozenset[str]) -> None:
        for name in [k for k, old in built.items() if k in nodes and old.node != nodes[k]]:
            if differ_in_scales(built[name].node, nodes[name]):
                built[name].rescale(nodes[name])
            else:
                del built[name]
        todo = needed - built.keys()
        if todo:
            self._check_loras({name: nodes[name] for name in sorted(todo)})
            found = build_models(
                nodes,
                self._registry,
                base=self._base,
                device=self._device,
                overlay=self._weights,
                needed=todo,
            )
            self._check_hashes(found)
            built.update(found)

    def _check_loras(self, nodes: Mapping[str, ModelNode]) -> None:
        """A folder of weights is laid over by model; a LoRA that training has left there is not a model."""
        for name, node in nodes.items():
            file = f"{name}.lora.safetensors"
            attached = {
                lora.source.partition("#")[0].rpartition("/")[2].removeprefix("file:") for lora in node.attach
            }
            if self._weights is None or file in attached or not (self._weights / file).is_file():
                continue
            message = (
                f"{self._weights} has a LoRA of {name}, which weights from a folder are laid over without"
            )
            hint = (
                f'run {self._weights / "graph.yaml"}, or give the model attach: [{{lora: "file:.../{file}"}}]'
            )
            raise InputError(problem("E855", message, node.place, hint))

    def _check_hashes(self, built: Mapping[str, Built]) -> None:
        for name in sorted(built.keys() & self.expected.keys()):
            if built[name].fingerprint != self.expected[name]:
                message = f"{name}: the weights are not those that made the picture"
                hint = "put the old file back, or give the folder that held it as --weights"
                raise InputError(problem("E609", message, built[name].node.place, hint))
