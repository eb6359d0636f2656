import pytest
import torch

from tests.parallel.toys import EXACT, LARGE
from tests.parallel.world import threads


@pytest.mark.dist
@pytest.mark.parametrize("case", [*EXACT, *LARGE], ids=lambda case: case.name)
def test_shared_tokens_and_weights_give_the_result_of_one_device(case):
    whole = case.whole()
    results = threads(case.shape, lambda groups: case.run(groups, whole))
    for rank, got in enumerate(results):
        wanted = case.expected(rank // case.shape.tensor)
        assert len(got) == len(wanted)
        for a, b in zip(got, wanted, strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=1e-12)
