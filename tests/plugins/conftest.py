"""Weights of a reference model copied into ours, by a table of prefixes."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import pytest
import torch
from torch import nn


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
            assert theirs[name].numel() == value.numel(), f"{key} {tuple(value.shape)} {name} {tuple(theirs[name].shape)}"
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
