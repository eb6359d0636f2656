import pytest
import torch

from tests.parallel.scripts import PATCHES
from tests.parallel.world import threads


@pytest.mark.dist
@pytest.mark.parametrize("case", PATCHES, ids=lambda case: case.name)
def test_patches_see_the_last_computation_of_the_others(case):
    for member, got in enumerate(threads(case.shape, case.run)):
        for a, b in zip(got, case.expected(member), strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=1e-12)
