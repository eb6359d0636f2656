"""`offload:` in its short and long forms."""

from __future__ import annotations

import pytest

from mmm_graph.errors import InputError
from mmm_graph.spec import load_spec
from mmm_graph.spec.offload import OffloadSpec, offload_of
from mmm_graph.spec.plan import PlanSpec

BLOCK_FROM_DISK = {"by": "block", "from": "disk", "ahead": 0}


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (False, None),
        (True, OffloadSpec()),
        ("model", OffloadSpec()),
        ("block", OffloadSpec(by="block")),
        (OffloadSpec.model_validate(BLOCK_FROM_DISK), OffloadSpec.model_validate(BLOCK_FROM_DISK)),
    ],
)
def test_what_it_means(written, meant):
    assert offload_of(written) == meant


@pytest.mark.parametrize(
    "written",
    [True, False, ["text", "sd.vae"], {"text": True, "vae": False, "dit": "block", "unet": BLOCK_FROM_DISK}],
)
def test_a_plan_keeps_what_was_written(written):
    plan = PlanSpec.model_validate({"ranks": 1, "offload": written})
    assert PlanSpec.model_validate(plan.model_dump(mode="json", exclude_unset=True, by_alias=True)) == plan
    assert PlanSpec(ranks=1).offload is None


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("disk", ":3:27 error[E112] models.m.offload: expects 'model' or 'block', got 'disk'"),
        ("3", ":3:27 error[E112] models.m.offload: expects `model`, `block`, true, false or a mapping"),
        ("{by: part}", ":3:32 error[E112] models.m.offload.by: expects 'model' or 'block', got 'part'"),
        ("{frm: disk}", ":3:28 error[E110] unknown key 'frm' in models.m.offload"),
        ("{ahead: -1}", ":3:35 error[E112] models.m.offload.ahead: expects at least 0, got -1"),
    ],
)
def test_what_it_cannot_be(written, told):
    with pytest.raises(InputError) as caught:
        load_spec(f"mmm: 1\nmodels:\n  m: {{kind: a.b, offload: {written}}}\n")
    assert told in str(caught.value)
    with pytest.raises(InputError, match=r"parallel\.plans\.p\.offload\.m"):
        load_spec(f"mmm: 1\nparallel: {{plans: {{p: {{ranks: 1, offload: {{m: {written}}}}}}}}}\n")
