import pytest
import torch

from mmm_graph.nn.embed import GridEmbedding
from mmm_graph.nn.scaled_grid import ScaledGridEmbedding
from mmm_graph.parallel.exchange import Positions


def test_positions_run_from_0_to_base_over_scale():
    like = torch.zeros(1, dtype=torch.float64)
    grid = ScaledGridEmbedding(16, base=4, scale=2)((8, 4), like).view(8, 4, 16)
    plain = GridEmbedding(16, base=2)((2, 2), like).view(2, 2, 16)
    assert torch.equal(grid[::4, ::2], plain)
    assert torch.equal(
        ScaledGridEmbedding(16, base=4, scale=1)((4, 8), like), GridEmbedding(16, 4)((4, 8), like)
    )


def test_positions_are_divided_as_the_published_ones():
    rows = torch.arange(7, dtype=torch.float32) / (7 / 4) / 1.5
    like = torch.zeros(1, dtype=torch.float64)
    grid = ScaledGridEmbedding(8, base=4, scale=1.5)((7, 1), like)
    assert torch.equal(grid[:, 4], rows.double().sin().float().double())


def test_a_width_that_is_not_4_waves_is_refused():
    with pytest.raises(ValueError, match="multiple of 4"):
        ScaledGridEmbedding(18, base=4, scale=1)


class Piece:
    """Rows 2 and 3 of six."""

    def positions(self, grid, device):
        return Positions(torch.arange(2, 4), torch.arange(grid[1]), 6, grid[1])


def test_a_piece_has_the_positions_of_the_whole():
    layer, like = ScaledGridEmbedding(16, 4, 2), torch.zeros(1)
    whole = layer((6, 5), like).view(6, 5, 16)
    layer.exchange = Piece()
    assert torch.equal(layer((2, 5), like).view(2, 5, 16), whole[2:4])
