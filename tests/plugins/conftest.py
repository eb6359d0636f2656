"""Weights of a reference model copied into ours, by a table of prefixes."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


def their_name(key: str, table: Mapping[str, str]) -> str:
    """The reference's name of one of our weights."""
    for ours, theirs in table.items():
        pattern = re.sub(r"\\\{(\w)\\\}", r"(?P<\1>\\d+)", re.escape(ours)) + r"\.(?P<end>weight|bias)"
        match = re.fullmatch(pattern, key)
        if match:
            numbers = match.groupdict()
            return f"{theirs.format(**numbers)}.{numbers['end']}"
    raise KeyError(f"no row of the key table matches {key}")


@pytest.fixture
def copy_weights() -> Callable[..., set[str]]:
    """Copies all weights of ours from the reference; returns the names of the reference that were not read."""

    def copy(ours: nn.Module, reference: nn.Module, table: Mapping[str, str], prefix: str = "") -> set[str]:
        theirs = reference.state_dict()
        read = set()
        state = {}
        for key, value in ours.state_dict().items():
            name = prefix + their_name(key.removeprefix("parts."), table)
            read.add(name)
            assert theirs[name].numel() == value.numel(), (
                f"{key} {tuple(value.shape)} {name} {tuple(theirs[name].shape)}"
            )
            state[key] = theirs[name].reshape(value.shape)
        ours.load_state_dict(state)
        return set(theirs) - read

    return copy


@pytest.fixture
def scramble() -> Callable[[nn.Module], nn.Module]:
    """Fills every weight with seeded noise, so that zero-initialised branches count; float64, eval."""

    def fill(module: nn.Module) -> nn.Module:
        generator = torch.Generator().manual_seed(0)
        module.double().eval()
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64) * 0.2)
        return module

    return fill


class Reads(dict):
    """A state that remembers which keys were asked for."""

    def __init__(self, values):
        super().__init__(values)
        self.asked = set()

    def get(self, key, default=None):
        self.asked.add(key)
        return super().get(key, default)

    def __getitem__(self, key):
        self.asked.add(key)
        return super().__getitem__(key)


@pytest.fixture
def check_parts() -> Callable[..., dict]:
    """Runs a model on one element and holds the parts table to it: order, keys, weights, sizes, work (within 3 %)."""

    def check(table, model: nn.Module, inputs: Mapping[str, torch.Tensor], path=None) -> dict:
        assert [part.name for part in table] == list(model.parts)
        rows = {part.name: part for part in table}
        state = dict(inputs)
        for name in path or rows:
            part, module = rows[name], model.parts[name]
            seen = Reads({k: v for k, v in state.items() if k in part.reads})
            with FlopCounterMode(display=False) as counter:
                written = module(seen)
            assert seen.asked <= set(part.reads), f"{name} reads {seen.asked - set(part.reads)} undeclared"
            assert set(written) == set(part.writes), name
            assert sum(p.numel() for p in module.parameters()) == part.params, name
            assert counter.get_total_flops() == pytest.approx(part.flops, rel=0.03), name
            assert {k: v.numel() for k, v in written.items()} == part.sizes, name
            state.update(written)
        return state

    return check


@pytest.fixture
def exact_norms() -> Callable[[nn.Module], nn.Module]:
    """diffusers rounds the mean square of its RMS norms to float32; torch's norm, which takes their place, does not."""

    def replace(model: nn.Module) -> nn.Module:
        for module in list(model.modules()):
            for name, theirs in list(module.named_children()):
                if type(theirs).__name__ == "RMSNorm" and not isinstance(theirs, nn.RMSNorm):
                    ours = nn.RMSNorm(theirs.dim, theirs.eps).double()
                    ours.load_state_dict(theirs.state_dict())
                    setattr(module, name, ours)
        return model

    return replace
