from __future__ import annotations

import pytest

from mmm_losses.config import DiffusionLossConfig
from mmm_losses.facts import diffusion


def check(have, **config):
    return diffusion(DiffusionLossConfig(**config), {}, have)


def test_agreement():
    assert check({}) == {}
    assert (
        check({"pred.prediction": "v", "target.prediction": "v"}, prediction="v", weighting="min_snr") == {}
    )


@pytest.mark.parametrize(
    ("have", "config"),
    [
        ({"pred.prediction": "v", "target.prediction": "epsilon"}, {}),
        ({"target.prediction": "epsilon"}, {"prediction": "v"}),
    ],
)
def test_disagreement_names_both_ends(have, config):
    with pytest.raises(ValueError, match="they must agree"):
        check(have, **config)


def test_min_snr_must_know_the_prediction():
    with pytest.raises(ValueError, match="set config prediction"):
        check({}, weighting="min_snr")
