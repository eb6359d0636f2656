import pytest
import torch

from mmm_graph.errors import RunError
from mmm_graph.parallel.refuse import refuse_gradients, refuse_masks


def test_masks_are_refused_and_it_is_said_what_to_do():
    with pytest.raises(
        RunError, match=r"E721.*block3.attn has a mask over keys.*\n.*tensor, data, cfg or pipe"
    ):
        refuse_masks("block3.attn", torch.ones(2, 2), False)
    with pytest.raises(RunError, match=r"E721.*causal attention"):
        refuse_masks("block3.attn", None, True)
    assert refuse_masks("block3.attn", None, False) is None


def test_gradients_are_refused():
    x = torch.ones(1, requires_grad=True)
    with pytest.raises(RunError, match=r"E723.*block3.attn is shared with other ranks"):
        refuse_gradients("block3.attn", x)
    with torch.no_grad():
        assert refuse_gradients("block3.attn", x) is None
    assert refuse_gradients("block3.attn", x.detach()) is None
