import pytest
import torch

from mmm_graph.errors import RunError
from mmm_graph.nn.token_ids import check_ids


@pytest.mark.parametrize(("ids", "wrong"), [([0, 9], None), ([], None), ([-1, 3], -1), ([3, 10], 10)])
def test_tokens_that_a_model_does_not_have_are_named(ids, wrong):
    given = torch.tensor([ids], dtype=torch.int64)
    if wrong is None:
        check_ids(given, 10, "the model")
    else:
        with pytest.raises(RunError, match=f"E749.*the token {wrong}, but the model has 10 tokens, 0 to 9"):
            check_ids(given, 10, "the model")
