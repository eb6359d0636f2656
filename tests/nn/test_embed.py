import math

import pytest
import torch

from mmm_graph.errors import RunError
from mmm_graph.nn.embed import CentredGridEmbedding, GridEmbedding, TimeEmbedding, sinusoid
from mmm_graph.parallel.exchange import Positions


def test_sinusoid_halves_and_frequencies():
    waves = sinusoid(torch.tensor([0.0, 2.0]), 8)
    assert waves.shape == (2, 8)
    assert torch.equal(waves[0], torch.tensor([1.0] * 4 + [0.0] * 4))
    assert waves[1, 0].item() == pytest.approx(math.cos(2), abs=1e-6)
    assert waves[1, 7].item() == pytest.approx(math.sin(2 * 10000 ** (-3 / 4)), abs=1e-6)
    assert torch.equal(sinusoid(torch.tensor([2.0]), 8, cos_first=False)[0, :4], waves[1, 4:])


def test_shift_moves_the_last_frequency_to_one_over_period():
    waves = sinusoid(torch.tensor([10000.0]), 8, shift=1.0)
    assert waves[0, 3].item() == pytest.approx(math.cos(1.0), abs=1e-4)


def test_time_embedding_scales_times_and_keeps_the_dtype_of_the_weights():
    layer = TimeEmbedding(16, 8).bfloat16()
    assert layer(torch.tensor([5])).dtype == torch.bfloat16
    fine = TimeEmbedding(16, 8, scale=1000.0)
    fine.load_state_dict(layer.state_dict())
    coarse = TimeEmbedding(16, 8)
    coarse.load_state_dict(layer.state_dict())
    assert torch.allclose(fine(torch.tensor([0.25])), coarse(torch.tensor([250])))


def test_grid_embedding_separates_rows_from_columns():
    grid = GridEmbedding(16, base=4)((4, 3), torch.zeros(1, dtype=torch.float64)).view(4, 3, 16)
    assert torch.equal(grid[0, 1, :8], grid[3, 1, :8])  # columns in the first half
    assert torch.equal(grid[2, 0, 8:], grid[2, 2, 8:])  # rows in the second
    assert len({tuple(token.tolist()) for token in grid.flatten(0, 1)}) == 12


def test_a_larger_grid_is_squeezed_into_the_trained_range():
    layer = GridEmbedding(16, base=4)
    small, large = layer((4, 4), torch.zeros(1)), layer((8, 8), torch.zeros(1))
    assert torch.allclose(large.view(8, 8, 16)[::2, ::2].flatten(0, 1), small)


def test_grid_width_must_be_a_multiple_of_four():
    for make in (lambda: GridEmbedding(18, base=4), lambda: CentredGridEmbedding(18, base=4, side=8)):
        with pytest.raises(ValueError, match="multiple of 4"):
            make()


def test_a_smaller_grid_lies_in_the_centre_of_the_positions():
    layer, like = CentredGridEmbedding(16, base=4, side=9), torch.zeros(1)
    whole = layer((9, 9), like).view(9, 9, 16)
    assert torch.equal(layer((4, 3), like).view(4, 3, 16), whole[2:6, 3:6])
    with pytest.raises(RunError, match="10 x 2 patches, but there are 9 x 9 positions"):
        layer((10, 2), like)


class Piece:
    """Rows 2 and 3 of six."""

    def positions(self, grid, device):
        return Positions(torch.arange(2, 4), torch.arange(grid[1]), 6, grid[1])


@pytest.mark.parametrize("make", [lambda: GridEmbedding(16, 4), lambda: CentredGridEmbedding(16, 4, 9)])
def test_a_piece_has_the_positions_of_the_whole(make):
    layer, like = make(), torch.zeros(1)
    whole = layer((6, 5), like).view(6, 5, 16)
    layer.exchange = Piece()
    assert torch.equal(layer((2, 5), like).view(2, 5, 16), whole[2:4])
