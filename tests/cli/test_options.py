"""Options that several verbs take."""

from __future__ import annotations

import pytest

from mmm_graph.cli.options import parse_names, parse_seed, parse_sets, use_device
from mmm_graph.errors import InputError


def test_sets() -> None:
    assert parse_sets(("a=1", "b=x=y", "c=")) == {"a": "1", "b": "x=y", "c": ""}
    for bad in ("a", "=1", ""):
        with pytest.raises(InputError, match="--set takes NAME=VALUE"):
            parse_sets((bad,))


def test_names() -> None:
    assert parse_names("--outputs", None) is None
    assert parse_names("--outputs", "a, b.c,a") == ["a", "b.c"]
    for bad in ("", "a,", ",", " "):
        with pytest.raises(InputError, match="--outputs takes names"):
            parse_names("--outputs", bad)


def test_seeds() -> None:
    assert parse_seed("7") == 7
    assert parse_seed("1, 2") == [1, 2]
    for bad in ("", "a", "1,", "1.5", "-1", "1,-2"):
        with pytest.raises(InputError, match="--seed takes"):
            parse_seed(bad)


def test_devices() -> None:
    assert use_device("cpu", None) == "cpu"
    for bad in ("", "gpu", "meta", "cpu:x", "cuda:99"):
        with pytest.raises(InputError, match=r"cannot be used: .*\n.*cpu"):
            use_device(bad, None)


def test_tf32_is_for_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    with pytest.raises(InputError, match="--tf32 is for CUDA devices, found --device cpu"):
        use_device("cpu", None, True)
    made, told = torch.zeros, []
    monkeypatch.setattr(torch, "zeros", lambda *shape, device: made(*shape))
    monkeypatch.setattr(torch, "set_float32_matmul_precision", told.append)
    assert use_device("cuda", None, True) == "cuda" and told == ["high"]
