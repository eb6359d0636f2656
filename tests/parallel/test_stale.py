import pytest
import torch

from tests.parallel.scripts import DISPLACED
from tests.parallel.world import threads


@pytest.mark.dist
@pytest.mark.parametrize("case", DISPLACED, ids=lambda case: case.name)
def test_displaced_patches_see_the_others_of_the_evaluation_before(case):
    for member, got in enumerate(threads(case.shape, case.run)):
        for a, b in zip(got, case.expected(member), strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=1e-12)
