"""Problems print as `place severity[code] message`, and errors carry all of them."""

from __future__ import annotations

import pytest

from mmm_graph.errors import (
    Cancelled,
    InputError,
    Place,
    RunError,
    did_you_mean,
    problem,
    warning,
)


def test_a_problem_says_where_what_and_what_to_do():
    text = str(
        problem("E205", "image.latents: expects Latents", Place("ldm.yaml", 36, 62), "use another vae")
    )
    assert text == "ldm.yaml:36:62 error[E205] image.latents: expects Latents\n    hint: use another vae"


def test_a_place_without_a_line_is_the_file():
    assert str(Place("ldm.yaml")) == "ldm.yaml"
    assert str(warning("W201", "no tag", Place("ldm.yaml"))) == "ldm.yaml warning[W201] no tag"


def test_an_error_carries_one_problem_or_many():
    one, two = problem("E201", "first"), problem("E202", "second")
    assert InputError(one).problems == (one,)
    assert InputError([one, two]).problems == (one, two)
    assert str(InputError([one, two])) == "error[E201] first\nerror[E202] second"


@pytest.mark.parametrize(("error", "status"), [(InputError, 2), (RunError, 1), (Cancelled, 130)])
def test_exit_statuses(error: type[Exception], status: int):
    assert error.status == status


def test_hints_name_close_names_or_the_few_that_there_are():
    assert did_you_mean("unett", ["unet", "vae"]) == "did you mean unet?"
    assert did_you_mean("xyz", ["vae", "unet"]) == "known: unet, vae"
    assert did_you_mean("xyz", []) == ""
