"""Foreign configs, read strictly."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from mmm_graph.registry import Fields

FIELDS = Fields(
    {"width": ("hidden_size", 8), "channels": ("chans", (1, 2))},
    {"other": None},
    {"act": "silu"},
    ("dropout",),
)


def test_sizes_defaults_and_what_means_nothing() -> None:
    sizes, others = FIELDS.read(
        {"chans": [3, [4]], "dropout": 0.1, "_class_name": "X", "act": "silu", "other": 5}
    )
    assert sizes == {"width": 8, "channels": (3, (4,))} and others == {"other": 5}


@pytest.mark.parametrize(
    ("theirs", "said"),
    [({"act": "relu"}, "act: 'relu' is not supported; expected 'silu'"), ({"new": 1}, "new: 1 is not")],
)
def test_what_is_refused(theirs: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        FIELDS.read(theirs)


def test_written() -> None:
    ours = SimpleNamespace(width=4, channels=(1,))
    assert FIELDS.write(ours) == {"hidden_size": 4, "chans": (1,), "act": "silu"}
