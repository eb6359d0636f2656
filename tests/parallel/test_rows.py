import pytest

from mmm_graph.errors import RunError
from mmm_graph.parallel.rows import member_rows, need_whole_image
from tests.parallel.toys import at


@pytest.mark.parametrize(
    ("bounds", "member", "height", "wanted"),
    [
        ((0, 8, 16), 0, 8, (8, 8)),
        ((0, 10, 16), 0, 20, (20, 12)),
        ((0, 10, 16), 1, 3, (5, 3)),
        ((0, 4, 12, 16), 1, 2, (1, 2, 1)),
        ((8, 10, 16), 1, 6, (2, 6)),
    ],
)
def test_rows_of_all_members_follow_from_the_own_ones(bounds, member, height, wanted):
    assert member_rows(at(bounds, member), "layer", height) == wanted


def test_a_fraction_of_a_row_is_refused():
    with pytest.raises(
        RunError, match=r"E721\] layer: 5 rows .* rows 0 to 10 .* fraction of a row for rows 10 to 15"
    ):
        member_rows(at((0, 10, 15), 0), "layer", 5)


def test_a_patch_of_a_pipeline_is_not_the_whole_image():
    need_whole_image(at((0, 8, 16), 0), "layer", "a group norm")
    for bounds, total in (((0, 4, 8), 16), ((8, 12, 16), 16), ((4, 8), 16)):
        with pytest.raises(RunError, match=r"E721\] layer: a group norm needs the whole image"):
            need_whole_image(at(bounds, 0, total=total), "layer", "a group norm")
