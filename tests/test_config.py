"""The base of configs is frozen and strict about keys."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from mmm_graph.config import Config, Empty


class Size(Config):
    width: int = 8


def test_an_unknown_key_is_an_error():
    with pytest.raises(ValidationError, match="widht"):
        Size(widht=3)
    with pytest.raises(ValidationError):
        Empty(width=1)


def test_a_config_does_not_change():
    with pytest.raises(ValidationError, match="frozen"):
        Size().width = 3


def test_equal_configs_are_equal_and_hash_alike():
    assert Size(width=3) == Size(width=3)
    assert hash(Size(width=3)) == hash(Size(width=3))
