"""Every exact plan gives what one device gives, with even and with uneven pieces."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.plans.graphs import load, pipe, shared

pytestmark = pytest.mark.dist
DISPLACED = {"size": 2, "mode": "displaced"}
ANY = {
    "data2": shared({"data": 2}),
    "cfg2": shared({"cfg": 2}),
    "patch2": shared({"patch": 2}),
    "patch4": shared({"patch": 4}),
    "cfg2_patch2": shared({"cfg": 2, "patch": 2}),
    "data2_patch2": shared({"data": 2, "patch": 2}),
    "data2_cfg2": shared({"data": 2, "cfg": 2}),
    "ulysses2": shared({"ulysses": 2}),
    "ring2": shared({"ring": 2}),
    "ring2_ulysses2": shared({"ring": 2, "ulysses": 2}),
    "patch2_ulysses2": shared({"patch": 2, "ulysses": 2}),
    "cfg2_ulysses2": shared({"cfg": 2, "ulysses": 2}),
    "displaced2_all": shared({"patch": DISPLACED}, warmup="all"),
    "vae_patch2": {"ranks": 2, "axes": {"vae": {"patch": 2}}},
    "ulysses2_patch2": shared({"ulysses": 2, "patch": 2}),
    "vae_data2": {"ranks": 2, "axes": {"vae": {"data": 2}}},
    "vae_ring2": {"ranks": 2, "axes": {"vae": {"ring": 2}}},
    "pipe2": pipe(2),
    "pipe4": pipe(4),
    "pipe010": pipe([[0], [1], [0]]),
    "pipe2_batch2": {**pipe(2), "microbatches": 2},
    "pipe2_cfg2": pipe(2, {"cfg": 2}),
    "pipe2_data2": pipe(2, {"data": 2}),
    "pipe2_patch2": pipe(2, {"patch": 2}),
    "stages3": {
        "ranks": 3,
        "stages": [{"ranks": [i], "place": [m]} for i, m in enumerate(("text", "net", "vae"))],
    },
    "replicated": {"ranks": 2, "stages": [{"ranks": [0, 1], "place": ["text", "net", "vae"]}]},
}
TRANSFORMERS = {
    "tensor2": shared({"tensor": 2}),
    "tensor3": shared({"tensor": 3}),  # 4 heads: 2, 1, 1
    "ulysses3": shared({"ulysses": 3}),
    "tensor2_patch2": shared({"tensor": 2, "patch": 2}),
    "tensor2_ulysses2": shared({"tensor": 2, "ulysses": 2}),
    "tensor2_ring2": shared({"tensor": 2, "ring": 2}),
    "tensor2_cfg2": shared({"tensor": 2, "cfg": 2}),
    "tensor2_data2": shared({"tensor": 2, "data": 2}),
    "pipe2_tensor2": pipe(2, {"tensor": 2}),
    "pipefusion2_all": pipe(2, patches=4, warmup="all"),
    "pipefusion2_rows_all": pipe(2, patches=4, warmup="all", warm="rows"),
    "pipefusion2_ulysses2_all": pipe(2, {"ulysses": 2}, patches=2, warmup="all"),
    "text_tensor2": {"ranks": 2, "axes": {"text": {"tensor": 2}}},
}
CASES = [
    *(("dit", name) for name in (*ANY, *TRANSFORMERS)),
    *(("mmdit", name) for name in (*ANY, *TRANSFORMERS)),
    *(("unet", name) for name in ANY),
]
GIVEN: dict[str, dict[str, Any]] = {
    "even": {"seed": 3},
    # 5 patches of tokens, 3 elements: nothing divides
    "uneven": {"seed": [4, 5, 6], "height": 40, "prompt": ["one", "two", "a drawing of a 4"], "steps": 3},
}


@pytest.fixture(scope="module")
def whole(weights: dict[str, Path]) -> dict[tuple[str, str], dict[str, torch.Tensor]]:
    """What one device gives."""
    return {
        (name, size): load(name, folder).run(**given)
        for name, folder in weights.items()
        for size, given in GIVEN.items()
    }


@pytest.mark.parametrize("size", [pytest.param("even", marks=pytest.mark.slow), "uneven"])
@pytest.mark.parametrize(("denoiser", "name"), CASES)
def test_exact(denoiser: str, name: str, size: str, weights: dict[str, Path], whole: Any) -> None:
    plan = {**ANY, **TRANSFORMERS}[name]
    found = load(denoiser, weights[denoiser], plan).run(**GIVEN[size])
    for port, value in whole[denoiser, size].items():
        assert (found[port] - value).abs().max() < 1e-10, port
