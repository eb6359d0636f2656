"""The config of the instance that is checked."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ConfigDict, field_serializer

from mmm_graph.config import Config
from mmm_graph.testing.setup import check_config, make_config
from tests.testing.toys import linear, parts


class Loose(Config):
    model_config = ConfigDict(extra="ignore")


class Forgets(Config):
    size: int = 3

    @field_serializer("size")
    def _wrong(self, size: int) -> int:
        return size + 1


def test_open_widths_are_filled_and_differ() -> None:
    config: Any = make_config(linear(), {})
    assert (config.in_dim, config.out_dim) == (16, 32)
    given: Any = make_config(linear(), {"in_dim": 3})
    assert (given.in_dim, given.out_dim) == (3, 16)
    assert make_config(parts(), {}) is not None


def test_a_config_that_cannot_be_made_says_what_to_pass() -> None:
    with pytest.raises(AssertionError, match=r"adaptor\.toy: pass config=\{\.\.\.\}.*in_dim"):
        make_config(linear(), {"in_dim": "wide"})


@pytest.mark.parametrize(
    ("config", "message"),
    [(Loose(), "refuse unknown keys"), (Forgets(), r'does not survive JSON: \{"size":4\}')],
)
def test_a_config_that_breaks_the_rules_is_refused(config: Config, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_config("adaptor.toy", config)
