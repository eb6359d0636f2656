"""`--plan NAME` or `--plan other.yaml#NAME` -> the plan that is meant, and where it is written."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from mmm_graph.config import Config
from mmm_graph.errors import InputError, Place, did_you_mean, problem
from mmm_graph.spec.explain import explain, in_order
from mmm_graph.spec.files import load_tree, mark_key
from mmm_graph.spec.graph import GraphSpec
from mmm_graph.spec.plan import ParallelSpec, PlanSpec

SUFFIXES = (".yaml", ".yml", ".json")


class NamedPlan(NamedTuple):
    """A plan, what it is called, and its place in a file."""

    spec: PlanSpec
    name: str
    place: Place | None = None

    def dump(self) -> dict[str, Any]:
        """Plain values that `read_plan` reads."""
        return {
            "name": self.name,
            "spec": self.spec.model_dump(mode="json", exclude_unset=True, by_alias=True),
        }


def read_plan(values: Mapping[str, Any], place: Place) -> NamedPlan:
    """A plan that was dumped.

    Raises:
        InputError: E523, it is none.
    """
    try:
        tree = {"parallel": {"plans": {str(values["name"]): values["spec"]}}}
        return NamedPlan(
            *next((p, n, place) for n, p in PlanFile.model_validate(tree).parallel.plans.items())
        )
    except (KeyError, ValidationError) as error:
        raise InputError(problem("E523", f"the plan in it cannot be read: {error}", place)) from error


class PlanFile(Config):
    """A file of plans beside a graph file: only its section `parallel:`."""

    parallel: ParallelSpec


def find_plan(spec: GraphSpec, text: str) -> NamedPlan:
    """The plan that a user names.

    Args:
        text: a plan of the graph file; or `FILE#NAME`, or `FILE` where that has one plan.

    Raises:
        InputError: E523, there is no such plan; and what is wrong with the file.
    """
    file, _, name = text.rpartition("#") if "#" in text else ("", "", text)
    if not file and name.endswith(SUFFIXES):
        file, name = name, ""
    if not file:
        plans: Mapping[str, PlanSpec] = spec.parallel.plans if spec.parallel else {}
        return _choose(plans, name, spec.file, spec.place("parallel", "plans", name, "@key"))
    tree = load_tree(Path(file))
    try:
        found = PlanFile.model_validate(tree.value)
    except ValidationError as error:
        raise InputError(in_order(explain(error, PlanFile, tree.value, tree.places))) from error
    plans = found.parallel.plans
    if not name and len(plans) == 1:
        name = next(iter(plans))
    return _choose(plans, name, file, tree.places.get(mark_key(("parallel", "plans", name))))


def _choose(plans: Mapping[str, PlanSpec], name: str, file: str, place: Place | None) -> NamedPlan:
    if name in plans:
        return NamedPlan(plans[name], name, place)
    hint = did_you_mean(name, plans) or (
        f"plans: {', '.join(plans)}" if plans else "write one under `parallel:`"
    )
    what = f"{file} has no plan {name!r}" if name else f"{file} has {len(plans)} plans"
    raise InputError(problem("E523", what, Place(file), hint))
