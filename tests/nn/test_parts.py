import pytest
import torch
from torch import nn

from mmm_graph.errors import InputError, RunError
from mmm_graph.nn.parts import known, need, refuse, run_parts


class Add(nn.Module):
    """reads -> writes, plus one."""

    def __init__(self, reads, writes):
        super().__init__()
        self.reads, self.writes = reads, writes

    def forward(self, state):
        return {self.writes: need(state, self.reads, "the test") + 1}


def test_parts_run_in_the_order_of_the_path_and_leave_the_input_alone():
    parts = nn.ModuleDict({"a": Add("x", "h"), "b": Add("h", "h"), "c": Add("h", "y")})
    state = {"x": torch.zeros(1)}
    full = run_parts(parts, ("a", "b", "b", "c"), state)
    assert (full["y"].item(), full["h"].item()) == (4, 3)
    assert set(state) == {"x"}


def test_a_missing_value_names_the_reader_and_what_there_is():
    with pytest.raises(RunError, match=r"E702.*the test needs h.*given: x"):
        need({"x": torch.zeros(1), "h": None}, "h", "the test")


def test_an_unread_condition_is_refused():
    refuse({"cond.label": None}, "cond.label", "this model")
    with pytest.raises(RunError, match=r"E710.*cond.label was given, but this model does not read it"):
        refuse({"cond.label": torch.zeros(1)}, "cond.label", "this model")


def test_an_unsolved_size_is_an_error_of_the_input():
    assert known(3, "cond_dim") == 3
    with pytest.raises(InputError, match="cond_dim is not known"):
        known(None, "cond_dim")
