"""Values compared bit for bit, copied, and the random state of the process watched."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor


def same(a: Any, b: Any) -> bool:
    """Equal bit for bit, in nested dicts, lists and tuples too."""
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return a.dtype == b.dtype and a.shape == b.shape and torch.equal(a.nan_to_num(), b.nan_to_num())
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, str | int | float | bool | None):
        return bool(a == b)
    return type(a) is type(b)


def copied(value: Any) -> Any:
    """The value with every tensor in it cloned."""
    if isinstance(value, Tensor):
        return value.clone()
    if isinstance(value, dict):
        return {k: copied(v) for k, v in value.items()}
    if type(value) in (list, tuple):
        return type(value)(map(copied, value))
    return value


@contextmanager
def untouched_rng(what: str, *, torch_too: bool = True) -> Iterator[None]:
    """Fail if the body drew from a global random generator.

    Raises:
        AssertionError: naming the generator.
    """
    before = _states()
    yield
    for name, state in _states().items():
        if not same(before[name], state) and (torch_too or name != "torch"):
            raise AssertionError(
                f"{what} draws from the global generator of {name}, so no seed makes it repeatable; "
                "declare noise=True and use the `noise` argument"
            )


def _states() -> dict[str, Any]:
    kind, keys, *rest = np.random.get_state(legacy=True)
    return {
        "torch": torch.get_rng_state(),
        "random": random.getstate(),
        "numpy": (kind, torch.from_numpy(np.asarray(keys).astype(np.int64)), *rest),
    }
