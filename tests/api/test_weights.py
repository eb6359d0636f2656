"""The folder of --weights."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmm_graph.api.weights import check_weights
from mmm_graph.errors import InputError


def test_it_must_hold_weights_of_the_graph(tmp_path: Path) -> None:
    (tmp_path / "unet.safetensors").touch()
    check_weights(tmp_path, ["vae", "unet"])
    with pytest.raises(InputError, match=r"has no weights of this graph's models\n.*vae\.safetensors"):
        check_weights(tmp_path, ["vae"])
    with pytest.raises(InputError, match="does not exist"):
        check_weights(tmp_path / "no", ["unet"])
    with pytest.raises(InputError, match="is a file"):
        check_weights(tmp_path / "unet.safetensors", ["unet"])
