"""Random graphs and random plans: whatever is legal gives what one rank gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings

from mmm_graph.plan.place import Plan, make_plan
from mmm_graph.runtime.engine import Result
from tests.plans.graphs import load
from tests.plans.random_graphs import REGISTRY, Case, cases
from tests.plans.random_plans import PlanCase, plan_cases
from tests.runtime.toys import toy_engine

GRAPHS, PLANS, MANY = 60, 15, 400  # toys run in milliseconds
ROUNDING = 1e-4
"""Of float32, where a batch is worked on in parts."""
CALM = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example]


def run(case: Case, plan: Plan) -> dict[str, Result]:
    engine = toy_engine(case.graph, REGISTRY, cache_bytes=0)
    return engine.run(case.graph, case.requests, plan=plan, isolate=True)


def check_placement(case: Case, tolerance: float = 0.0) -> None:
    """Bit for bit where nothing is shared, and the same is absent."""
    local = run(case, make_plan(case.graph, REGISTRY, branches=case.branches))
    found = run(case, case.plan)
    for name, one in local.items():
        assert one.error is None, one.error
        assert found[name].error is None, found[name].error
        assert found[name].values.keys() == one.values.keys()
        assert reasons(found[name]) == reasons(one)
        assert found[name].owners == one.owners
        for key, value in one.values.items():
            assert same(found[name].values[key], value, tolerance), key


def reasons(result: Result) -> dict[str, str]:
    """Why outputs are absent; of calls that became one, only one is named as skipped."""
    return {name: reason.partition(";")[0] for name, reason in result.absent.items()}


def same(a: Any, b: Any, tolerance: float) -> bool:
    if not isinstance(b, torch.Tensor):
        return bool(a == b)
    return torch.equal(a, b) or (a.shape == b.shape and torch.allclose(a, b, tolerance, tolerance))


@pytest.mark.dist
@settings(max_examples=GRAPHS, suppress_health_check=CALM)
@given(cases())
def test_any_placement(case: Case) -> None:
    check_placement(case)


@pytest.mark.dist
@pytest.mark.slow
@settings(max_examples=MANY, suppress_health_check=CALM)
@given(cases())
def test_hundreds_of_graphs(case: Case) -> None:
    check_placement(case)


def check_plan(case: PlanCase, folder: Path) -> None:
    """Exact, and the same is absent."""
    whole = load("dit", folder).map(case.requests)
    found = load("dit", folder, case.plan).map(case.requests)
    for name, one in whole.items():
        assert one.error is None, one.error
        assert found[name].error is None, found[name].error
        assert reasons(found[name]) == reasons(one)
        for key, value in one.values.items():
            assert (found[name].values[key] - value).abs().max() < 1e-10 * max(
                1.0, float(value.abs().max())
            ), key


@pytest.mark.dist
@settings(max_examples=GRAPHS, suppress_health_check=CALM)
@given(cases(shares=True))
def test_any_shares(case: Case) -> None:
    check_placement(case, ROUNDING)


@pytest.mark.dist
@pytest.mark.slow
@settings(max_examples=MANY, suppress_health_check=CALM)
@given(cases(shares=True))
def test_hundreds_of_shares(case: Case) -> None:
    check_placement(case, ROUNDING)


@pytest.mark.dist
@settings(max_examples=PLANS, suppress_health_check=CALM)
@given(plan_cases())
def test_any_plan(weights: dict[str, Path], case: PlanCase) -> None:
    check_plan(case, weights["dit"])


@pytest.mark.dist
@pytest.mark.slow
@settings(max_examples=MANY, suppress_health_check=CALM)
@given(plan_cases())
def test_hundreds_of_plans(weights: dict[str, Path], case: PlanCase) -> None:
    check_plan(case, weights["dit"])
