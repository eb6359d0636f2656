"""Where names die, and what is asked of a block."""

from __future__ import annotations

from mmm_graph.graph.graph import Ref
from mmm_graph.plan.block import Step, Turns
from tests.plan.helpers import make_blocks
from tests.runtime.graphs import NESTED
from tests.runtime.toys import toy_graph


def test_the_first_value_of_a_carry_dies_when_the_loop_starts() -> None:
    blocks = make_blocks(toy_graph())
    (turns,) = [e for e in blocks.main.entries if isinstance(e, Turns)]
    assert set(turns.first) == {"start.state", "start.x", "start.t"}
    assert "denoise/pc&.cond.embeds" in turns.release


def test_a_first_value_that_is_read_later_does_not() -> None:
    graph = toy_graph()
    blocks = make_blocks(graph, outputs={"image": graph.outputs["image"].ref, "x": Ref("start", "x")})
    (turns,) = [e for e in blocks.main.entries if isinstance(e, Turns)]
    assert "start.x" not in turns.first


def test_watching_adds_reports_and_nothing_else() -> None:
    def fns(watched: bool) -> list[str]:
        (turns,) = [e for e in make_blocks(toy_graph(), watched=watched).main.entries if isinstance(e, Turns)]
        return [str(e.fn[0]) for e in turns.block.entries if isinstance(e, Step)]

    assert fns(True) == [*fns(False), "preview", "turn"]


def test_what_is_stored_is_read_by_the_store() -> None:
    blocks = make_blocks(toy_graph(), store=frozenset(("cond", "denoise")))
    stores = {e.path: e.reads for e in blocks.main.entries if isinstance(e, Step) and e.fn[0] == "store"}
    assert stores == {"cond": (("embeds", "cond.embeds"),), "denoise": (("latents", "denoise.latents"),)}


def test_given_values_are_there_from_the_beginning() -> None:
    blocks = make_blocks(toy_graph(NESTED))
    assert blocks.start == ("$in.x",)
    blocks = make_blocks(toy_graph(), given=frozenset(("denoise.latents", "noise.x")))
    assert blocks.start == ("denoise.latents",)
