"""Model nodes -> built objects: on the meta device, filled from files or by `init:`, when they are first used."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any
from weakref import WeakSet

import torch
from torch import nn

from mmm_graph.checkpoint.load import Weights
from mmm_graph.checkpoint.reader import hash_file, open_checkpoint
from mmm_graph.errors import MmmError, Problem, RunError, problem
from mmm_graph.graph.attached import type_of
from mmm_graph.graph.graph import ModelNode
from mmm_graph.nn.fused import fuse
from mmm_graph.nn.kept import Kept, find_kept
from mmm_graph.nn.linear import use_products
from mmm_graph.nn.lora import set_scales
from mmm_graph.parallel.exchange import Exchange, install
from mmm_graph.parallel.tensor import shard_weights
from mmm_graph.registry.node_type import ModelType, resolve
from mmm_graph.registry.registry import Registry
from mmm_graph.registry.source import Source, resolve_source
from mmm_graph.runtime.attach import add_loras, check_merged, check_parts, digest, find_loras, fit_loras
from mmm_graph.runtime.construct import SkipInit, constructed, naming, on_meta
from mmm_graph.runtime.offload import Offload, offload_from_host, offload_to_disk, stream_parts
from mmm_graph.runtime.prefixes import Prefixes
from mmm_graph.runtime.quantize import quantize_built, quantizer
from mmm_graph.spec.offload import OffloadSpec

_BUILDING = threading.RLock()
"""Ranks may be threads, and constructors draw from the one generator of the process."""
DTYPES = {"f64": torch.float64, "f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}


@dataclass(eq=False)
class Built:
    """A model of a graph.

    Attributes:
        node, type: what was asked for.
        source: where its weights are; None = `init:`, or it has none.
        seed: run seed, for `init:`.
        exchange: what its layers ask about other ranks; None = they are on their own. Set by `attach`.
        parts: names of those that this rank has; None = all.
        columns: (index, how many ranks) that split heads and columns of the weights; None = they are whole.
        base: the whole model that this is one rank's share of.
        offload: how its weights come and go; None = they stay on the device.
        room: where they are now; None until it is built, and where they stay.
        loras: files of the LoRAs of `node.attach`.
    """

    node: ModelNode
    type: ModelType
    device: torch.device
    source: Source | None = None
    seed: int = 0
    exchange: Exchange | None = None
    parts: frozenset[str] | None = None
    columns: tuple[int, int] | None = None
    base: Built | None = None
    loras: tuple[Source, ...] = ()

    offload: OffloadSpec | None = None
    room: Offload | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self._shares: WeakSet[Built] = WeakSet()
        self._kept: list[Kept] = []
        self.prefixes = Prefixes()
        self.traced: dict[tuple[str, ...], Callable[..., Any]] = {}  # by the parts that they run
        if self.base is not None:
            self.base._shares.add(self)

    def attach(self, exchange: Exchange) -> None:
        """Give its layers an exchange, now and when it is built."""
        self.exchange = exchange
        if "object" in self.__dict__:
            install(self.object, exchange, self._layers)

    @property
    def _layers(self) -> str:
        """What the names of its layers begin with: a model and its guests have one exchange."""
        return f"{self.node.name}." if self.node.host else ""

    def forget(self) -> None:
        """What its layers kept of a run that is over."""
        for kept in self._kept:
            kept.forget()

    def rescale(self, node: ModelNode) -> None:
        """Take the scales of LoRAs from a node that differs in nothing else; nothing is loaded again.

        Shares of this model on ranks that are threads take them too. No run may be going on.
        """
        self.node = node
        if "object" in self.__dict__:
            set_scales(self.object, [lora.scale for lora in node.attach])
        self.prefixes.forget()
        for share in self._shares:
            share.rescale(node)

    @cached_property
    def object(self) -> Any:
        """The model itself, built and loaded when it is first asked for.

        Raises:
            RunError: E6xx, the weights are not there, cannot be read or do not fit; E620, its builder failed.
        """
        with _BUILDING:
            return self.__dict__["object"] if "object" in self.__dict__ else self._make()

    def _make(self) -> Any:
        with naming(self.node):
            if not self.type.weights:
                return _build_plain(self)
            module, self.room = _made(self)
            use_products(module)
            if self.room is None:
                fuse(module, on_cpu=self.device.type != "cuda")
            self._kept = find_kept(module)
            self.prefixes.watch(module)
            if self.exchange is not None:
                install(module, self.exchange, self._layers)
            return module

    @property
    def resident_bytes(self) -> int:
        """Bytes of parameters and buffers in memory, here and in shares of it; 0 as long as nothing has used it."""
        loaded = [b.__dict__["object"] for b in (self, *self._shares) if "object" in b.__dict__]
        modules = [module for module in loaded if isinstance(module, nn.Module)]
        tensors = {id(t): t for module in modules for t in (*module.parameters(), *module.buffers())}
        return sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())

    @property
    def identity(self) -> str:
        """Tells apart models of one process without reading their weights: files by path, size and time; LoRAs."""
        loras = [(lora.scale, lora.merge) for lora in self.node.attach]
        return f"{self._stats} {loras}" if loras else self._stats

    @cached_property
    def _stats(self) -> str:
        own = _stats(self.source) if self.source is not None else self._own_fingerprint
        return " ".join([own, *map(_stats, self.loras)])

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the weights (of an initialised model: of how it is initialised); "" for models without.

        With LoRAs it is of their files too, not of their scales, which are told by the graph and its params.
        """
        if not self.loras:
            return self._own_fingerprint
        texts = [self._own_fingerprint, *(f"{digest(s)}#{s.prefix}" for s in self.loras)]
        return hashlib.blake2b(" ".join(texts).encode(), digest_size=16).hexdigest()

    @cached_property
    def _own_fingerprint(self) -> str:
        if self.source is not None:
            return _hash_source(self.source, tensors=self.type.weights)
        if not self.type.weights:
            return ""
        node = self.node
        text = f"{node.kind} {node.config!r} {node.init} {node.name} {self.seed}"
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def build_models(  # noqa: PLR0913 - one place where all that decides about weights is written down
    models: Mapping[str, ModelNode],
    registry: Registry,
    *,
    base: Path,
    device: str | torch.device = "cpu",
    seed: int = 0,
    overlay: Path | None = None,
    needed: frozenset[str] | None = None,
    fresh: frozenset[str] = frozenset(),
    online: bool = False,
) -> dict[str, Built]:
    """Prepare the models that are needed. Each loads when it is first used: a branch that does not run costs nothing.

    Args:
        base: folder of the graph file, for `file:`.
        seed: run seed, for `init:`.
        overlay: folder whose `<model>.safetensors` come before `weights:`.
        needed: names; None = all.
        fresh: names to be initialised even if they have weights.
        online: `hf:` weights that are not on this machine may be downloaded.

    Raises:
        RunError: E601, a model has neither weights nor `init:`; E602, E603, its weights or a LoRA cannot be found;
            E604, E605, E630, E632, a LoRA is none, or not all of it is taken. All of them.
    """
    found: dict[str, Built] = {}
    problems: list[Problem] = []
    for name, node in models.items():
        if needed is not None and name not in needed:
            continue
        kind = type_of(node, registry)
        try:
            source = None if name in fresh else _find_source(node, kind, registry, (base, overlay), online)
            loras = find_loras(node, registry, base=base, online=online)
        except MmmError as error:
            problems += error.problems
            continue
        if source is None and kind.weights and node.init is None and name not in fresh:
            hint = f"give it `weights:`, `init: default` for random ones, or a folder that holds {name}.safetensors"
            problems.append(problem("E601", f"{name} ({node.kind}) has no weights", node.place, hint))
        found[name] = Built(node, kind, torch.device(device), source, seed, loras=loras)
    problems += check_parts(models, {name: built.loras for name, built in found.items()})
    if problems:
        raise RunError(problems)
    return found


def _find_source(
    node: ModelNode, kind: ModelType, registry: Registry, folders: tuple[Path, Path | None], online: bool
) -> Source | None:
    base, overlay = folders
    file = overlay / f"{node.name}.safetensors" if overlay is not None else None
    if kind.weights and file is not None and file.is_file():
        return Source(file, "", f"file:{file}")
    if node.weights is None:
        return None
    return resolve_source(
        node.weights,
        base=base,
        what=f"weights of {node.name}",
        place=node.place,
        sources=registry.weight_sources,
        online=online,
    )


def _made(built: Built) -> tuple[nn.Module, Offload | None]:
    """The module with its weights where they belong."""
    if built.offload is None:
        return _whole(built, built.device), None
    if built.offload.from_ == "disk":
        module, room = _load(built, built.device)
        assert room is not None
    else:
        module = _whole(built, torch.device("cpu"))
        room = offload_from_host(module, built.offload, built.device)
    stream_parts(module, room)
    return module, room


def _whole(built: Built, device: torch.device) -> nn.Module:
    module = _load(built, device)[0] if built.source is not None else _initialise(built, device)
    if built.columns is not None:
        shard_weights(module, *built.columns)
    module.to(memory_format=torch.channels_last)  # type: ignore[call-overload] # else reordered every call
    return module


def _build_plain(built: Built) -> Any:
    """A model without weights; files that it has are its own business, if they are not its config alone."""
    make = resolve(built.type.builder)
    if built.source is None or built.type.layouts:
        return make(built.node.config)
    return make(built.node.config, path=built.source.path)


def _initialise(built: Built, device: torch.device) -> nn.Module:
    """The constructor's own initialisation, from a seed of its own."""
    text = f"init {built.seed} {built.node.name}"
    key = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(key)
        module = constructed(built.node, built.type)
    loras = fit_loras(module, built.node, built.type, built.loras)
    if built.node.quantize is None:
        add_loras(module, built.node, loras)
        _keep_parts(module, built.parts)
        return module.to(device=device, dtype=_dtype(built)).eval()
    quantize_built(module.to(device=device, dtype=_dtype(built)), built.node)
    add_loras(module, built.node, loras)  # beside the packed weights
    _keep_parts(module, built.parts)
    return module.eval()


def _load(built: Built, device: torch.device) -> tuple[nn.Module, Offload | None]:
    """Built on the meta device, so that nothing is initialised twice, then filled from the checkpoint.

    What rests on disk is not filled yet.
    """
    assert built.source is not None
    node = built.node
    with on_meta():
        module = constructed(built.node, built.type)
    checkpoint = open_checkpoint(built.source.path)
    check_merged(checkpoint, node, built.loras)
    loras = fit_loras(module, node, built.type, built.loras)
    weights = Weights(
        module,
        checkpoint,
        prefix=built.source.prefix,
        layouts=built.type.layouts,
        config=node.config,
        what=f"weights of {node.name}",
        place=node.place,
    )
    keep = lambda name: _is_kept(built, name)  # noqa: E731
    room: Offload | None = None
    if built.offload is not None and built.offload.from_ == "disk":
        _keep_parts(module, built.parts)
        room = offload_to_disk(module, weights, built.offload, dtype=_dtype(built), device=device)
    else:
        take = quantizer(module, node, device, _dtype(built))
        weights.load(module, dtype=_dtype(built), device=device, keep=keep, take=take)
    add_loras(module, node, loras, keep)
    _keep_parts(module, built.parts)
    if any(b.is_meta for b in module.buffers()):
        with SkipInit():
            _copy_buffers(constructed(built.node, built.type), module, device)
    return module.eval(), room


def _is_kept(built: Built, name: str) -> bool:
    return built.parts is None or _part_of(name) in (*built.parts, "")


def _part_of(name: str) -> str:
    """The part that a tensor belongs to; "" for what is outside of the parts."""
    head, _, rest = name.partition(".")
    return rest.partition(".")[0] if head == "parts" else ""


def _keep_parts(module: nn.Module, names: frozenset[str] | None) -> None:
    """Forget the parts that live on other ranks."""
    if names is not None:
        parts = module.get_submodule("parts")
        assert isinstance(parts, nn.ModuleDict)
        for name in [n for n in parts if n not in names]:
            del parts[name]


def _copy_buffers(source: nn.Module, module: nn.Module, device: torch.device) -> None:
    """Buffers that are computed by the constructor and not saved."""
    for name, old in list(module.named_buffers()):
        path, _, leaf = name.rpartition(".")
        if old.is_meta:
            module.get_submodule(path)._buffers[leaf] = source.get_buffer(name).to(device)


def _dtype(built: Built) -> torch.dtype | None:
    return None if built.node.dtype is None else DTYPES[built.node.dtype]


def _hash_source(source: Source, *, tensors: bool) -> str:
    if tensors:
        return open_checkpoint(source.path).digest() + (f"#{source.prefix}" if source.prefix else "")
    digest = hashlib.blake2b(digest_size=16)
    for file in _files(source.path):
        digest.update(file.name.encode())
        hash_file(digest, file)
    return digest.hexdigest()


def _stats(source: Source) -> str:
    return (
        f"{source.prefix} {[(str(f), f.stat().st_size, f.stat().st_mtime_ns) for f in _files(source.path)]}"
    )


def _files(path: Path) -> list[Path]:
    found = sorted(path.rglob("*")) if path.is_dir() else [path]
    return [file for file in found if file.is_file()]
