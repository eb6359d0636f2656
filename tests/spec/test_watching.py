"""Short and long forms of `cache`, and what the keys refuse."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from mmm_graph.spec.training import StageSpec
from mmm_graph.spec.watching import LIMITS_GB


@pytest.mark.parametrize(
    ("said", "where", "max_bytes"),
    [
        (True, "memory", LIMITS_GB["memory"] * 1e9),
        ("memory", "memory", LIMITS_GB["memory"] * 1e9),
        ("disk", "disk", LIMITS_GB["disk"] * 1e9),
        ({"where": "disk", "max_gb": 0.5}, "disk", 5e8),
    ],
    ids=["true", "memory", "disk", "mapping"],
)
def test_forms_of_cache(said: Any, where: str, max_bytes: float) -> None:
    cache = StageSpec.model_validate({"cache": said}).cache
    assert cache is not None and (cache.where, cache.max_bytes) == (where, max_bytes)
    assert StageSpec.model_validate({"cache": False}).cache is None


@pytest.mark.parametrize(
    "said",
    [
        {"cache": "ram"},
        {"cache": {"where": "disk", "max_gb": 0}},
        {"stop_if": {}},
        {"stop_if": {"times_median": 1}},
        {"samples": {"every": 0}},
        {"samples": {"outputs": ["image"]}},
    ],
    ids=["place", "budget", "empty", "median", "every", "needed"],
)
def test_what_is_refused(said: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        StageSpec.model_validate(said)
