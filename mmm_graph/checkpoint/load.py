"""Checkpoint -> a module's weights: strict, tensor by tensor, in place of what was built on the meta device."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mmm_graph.checkpoint.fit import find_fit
from mmm_graph.checkpoint.grown import grown
from mmm_graph.checkpoint.reader import Checkpoint
from mmm_graph.errors import Place, RunError, problem
from mmm_graph.registry.layout import Layout, Theirs

PARTS = "parts."
"""A model's parts are a ModuleDict of that name; saved names leave it out."""


def saved_names(module: nn.Module) -> dict[str, str]:
    """Name in a file -> name in the module, of everything that is saved."""
    return {name.removeprefix(PARTS): name for name in module.state_dict()}


def load_module(  # noqa: PLR0913 - all that decides about the weights of one model
    module: nn.Module,
    checkpoint: Checkpoint,
    *,
    prefix: str = "",
    layouts: Sequence[Layout] = (),
    config: Any = None,
    dtype: torch.dtype | None = None,
    device: torch.device | str = "cpu",
    what: str = "the model",
    place: Place | None = None,
    keep: Callable[[str], bool] = lambda name: True,
) -> None:
    """Give every weight and saved buffer its value from the checkpoint.

    Args:
        module: built on any device, "meta" too; its tensors are replaced.
        prefix: only names below it are read; the rest of the checkpoint belongs to others.
        layouts: in which the file may be, beside our own.
        config: of the model, for layouts whose names depend on it.
        dtype: of floating-point tensors; None = what the module was built with.
        what: whose weights, for errors.
        keep: whether a tensor, by its name in the module, is wanted; the others are not read.

    Raises:
        RunError: E610, names that are missing, unused or of another shape; all of them. E611, copies of one tensor
            that differ. E614, whole numbers where the model has others.
    """
    weights = Weights(
        module, checkpoint, prefix=prefix, layouts=layouts, config=config, what=what, place=place
    )
    weights.load(module, dtype=dtype, device=device, keep=keep)


class Weights:
    """A checkpoint that fits a module, to be read as often as wanted.

    Attributes:
        state: tensors of the module, as it was built, by name.
        where: our name in a file -> its place in this one.
    """

    def __init__(
        self,
        module: nn.Module,
        checkpoint: Checkpoint,
        *,
        prefix: str = "",
        layouts: Sequence[Layout] = (),
        config: Any = None,
        what: str = "the model",
        place: Place | None = None,
    ) -> None:
        """Find where everything is; nothing is read.

        Raises:
            RunError: E610.
        """
        self.checkpoint, self.what, self.place = checkpoint, what, place
        self.start = f"{prefix}." if prefix else ""
        shapes_there = checkpoint.shapes.items()
        there = {n.removeprefix(self.start): s for n, s in shapes_there if n.startswith(self.start)}
        self.state: dict[str, Tensor] = module.state_dict(keep_vars=True)
        self._names = saved_names(module)
        self._alike = _tied(self.state)
        short = {n: [o.removeprefix(PARTS) for o in self._alike[own]] for n, own in self._names.items()}
        shapes = {n: tuple(self.state[own].shape) for n, own in self._names.items()}
        fit = find_fit(shapes, there, alike=short, layouts=layouts, config=config)
        if fit.problems:
            name = f"{checkpoint.path}{'#' + prefix if prefix else ''}"
            message = f"{what}: {name} does not fit: {fit.describe()}"
            hint = "the config and the file must be of the same model"
            raise RunError(problem("E610", message, place, hint))
        self.where = fit.where

    def load(
        self,
        module: nn.Module,
        *,
        dtype: torch.dtype | None = None,
        device: torch.device | str = "cpu",
        keep: Callable[[str], bool] = lambda name: True,
        take: Callable[[str, Tensor], bool] = lambda name, value: False,
    ) -> None:
        """Give the module its tensors, as `load_module` does.

        Args:
            take: told each tensor by its name in the module, before it is put there; whether that is done with it. The
                value is lent.
        """
        for all_names, value in self.values(keep):
            names = [name for name in all_names if not take(name, value)]
            if not names:
                continue
            old = self.state[names[0]]
            wanted = (dtype or old.dtype) if value.is_floating_point() else value.dtype
            new = value.to(device, wanted, copy=True, memory_format=torch.contiguous_format)
            assign(module, names, new, old)

    def values(self, keep: Callable[[str], bool] = lambda name: True) -> Iterator[tuple[list[str], Tensor]]:
        """(all names of a tensor in the module, its value), on the CPU, in its shape there and the file's own dtype.

        Rows of a table that the file lacks are drawn, the same ones each time.
        A value is lent: the next one is read into the same memory.

        Raises:
            RunError: E605, E611, E614.
        """
        wanted = {n: p for n, p in self.where.items() if any(map(keep, self._alike[self._names[n]]))}
        for name, value in _read(self.checkpoint, self.start, wanted, self.what):
            own = self._names[name]
            old = self.state[own]
            if value.is_floating_point() != old.is_floating_point():
                found = f"{name} in {self.checkpoint.path} is {_word(value)}"
                message = f"{self.what}: {found}, the model needs {_word(old)}"
                hint = "a quantised file cannot be read; fetch the full one"
                raise RunError(problem("E614", message, self.place, hint))
            names = self._alike[own]
            if value.numel() < old.numel():
                value = grown(value, len(old), names[0])
            yield names, value.reshape(old.shape)


def _read(
    checkpoint: Checkpoint, start: str, wanted: Mapping[str, Theirs], what: str
) -> Iterator[tuple[str, Tensor]]:
    """(our name, value), each tensor of theirs read once; what they keep several times is compared."""
    readers: dict[str, list[str]] = {}
    for name, place in wanted.items():
        for their in place.names:
            readers.setdefault(start + their, []).append(name)
    first: dict[str, Tensor] = {}
    for their, value in checkpoint.lend(list(readers)):
        for name in readers[their]:
            place = wanted[name]
            if name in first and not torch.equal(first[name], value):
                message = f"{what}: {their} in {checkpoint.path} should be a copy of {start}{place.names[0]}"
                raise RunError(problem("E611", message, None, "this model has only one of it"))
            if name in first:
                continue
            if len(place.names) > 1:
                first[name] = value.clone()
            yield name, place.of(value)


def _word(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _tied(state: dict[str, Tensor]) -> dict[str, list[str]]:
    """Names of one and the same tensor, by each of them."""
    groups: dict[int, list[str]] = {}
    for name, value in state.items():
        groups.setdefault(id(value), []).append(name)
    return {name: group for group in groups.values() for name in group}


def assign(module: nn.Module, names: Iterable[str], value: Tensor, old: Tensor) -> Tensor:
    """Put a tensor in the place of an old one, under all its names; returns what the module has now."""
    new = nn.Parameter(value, old.requires_grad) if isinstance(old, nn.Parameter) else value
    for name in names:
        path, _, leaf = name.rpartition(".")
        owner = module.get_submodule(path)
        table = owner._parameters if leaf in owner._parameters else owner._buffers
        table[leaf] = new  # type: ignore[assignment]
    return new
