"""Plans on gloo processes have the bits of the same plans on threads: every axis, hybrid, and requests in flight."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from mmm_graph.runtime.launch import launch
from tests.plans.graphs import load, pipe, shared
from tests.plans.test_exact import ANY, TRANSFORMERS
from tests.plans.test_pipefusion import PLANS, REQUESTS

ROOT = Path(__file__).parents[2]
ONE: list[dict[str, Any]] = [{"id": "even", "seed": 3, "steps": 3}]
UNEVEN: list[dict[str, Any]] = [*ONE, {"id": "uneven", "seed": [4, 5, 6], "height": 40, "steps": 3,
                                       "prompt": ["one", "two", "a drawing of a 4"]}]  # fmt: skip
STALE = {
    "displaced2": shared({"patch": {"size": 2, "mode": "displaced"}}),
    "displaced4": shared({"patch": {"size": 4, "mode": "displaced", "group_norm": "corrected"}}),
}
HYBRIDS = {
    f"pipe2_{axis}2": pipe(2, {axis: 2}, patches=2, warmup=1)
    for axis in ("ulysses", "ring", "patch", "tensor")
}
Case = tuple[str, dict[str, Any], list[dict[str, Any]]]
ALL: dict[str, list[Case]] = {
    "exact": [
        *(("dit", plan, UNEVEN) for plan in {**ANY, **TRANSFORMERS}.values()),
        *(("unet", plan, UNEVEN) for plan in ANY.values()),
        *(("mmdit", plan, ONE) for plan in TRANSFORMERS.values()),
    ],
    "stale": [
        *(("unet", plan, UNEVEN) for plan in STALE.values()),
        *(("mmdit", plan, UNEVEN) for plan in (*STALE.values(), *HYBRIDS.values())),
        *((name, plan, REQUESTS) for name in ("dit", "mmdit") for plan in PLANS.values()),
    ],
}
FEW: list[Case] = [
    *(("dit", {**ANY, **TRANSFORMERS}[name], UNEVEN[1:]) for name in ("patch4", "ring2_ulysses2", "tensor3")),
    ("dit", ANY["data2_cfg2"], UNEVEN[1:]),
    ("unet", ANY["cfg2_patch2"], UNEVEN[1:]),
    ("unet", STALE["displaced2"], ONE),
    ("mmdit", HYBRIDS["pipe2_ulysses2"], ONE),
    ("mmdit", PLANS["pipe2"], REQUESTS),
]
CASES = [
    pytest.param(FEW, id="few"),
    *(pytest.param(c, id=name, marks=pytest.mark.slow) for name, c in ALL.items()),
]


@pytest.mark.dist
@pytest.mark.timeout(900)
@pytest.mark.parametrize("cases", CASES)
def test_processes_have_the_bits_of_threads(
    cases: list[Case], weights: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = [(str(i), *case) for i, case in enumerate(cases)]
    (tmp_path / "cases.json").write_text(json.dumps(named))
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    words = [tmp_path / "cases.json", weights["dit"].parent, tmp_path / "found.pt"]
    errors: list[Any] = []
    command = [sys.executable, str(Path(__file__).with_name("rank_of_matrix.py")), *map(str, words)]
    assert launch(command, 4, 120.0, env={"OMP_NUM_THREADS": "1"}, tell=errors.append) == 0, errors
    found = torch.load(tmp_path / "found.pt")
    for name, denoiser, plan, requests in named:
        for request, result in load(denoiser, weights[denoiser], plan).map(requests).items():
            assert result.error is None
            own = found[f"{name} {request}"]
            assert own.keys() == result.values.keys()
            assert all(torch.equal(own[k], v) for k, v in result.values.items()), (denoiser, plan)
