"""Which axes and loops a model can have."""

from __future__ import annotations

from typing import Any

import pytest

from mmm_graph.plan.axes import Axes
from mmm_graph.plan.flow import Flow
from mmm_graph.plan.legal import check_axes, check_loops
from mmm_graph.spec.plan import LoopPlan
from tests.plan.toys import DRAW, NESTED, SHARD_REGISTRY, UNTIL, shard_graph


def axes_problems(model: str, axes: Axes, text: str = DRAW, **params: Any) -> list[tuple[str, str, str]]:
    graph = shard_graph(text, **params)
    return [
        (p.code, p.message, p.hint) for p in check_axes(graph, SHARD_REGISTRY, {model: axes}, Flow(graph))
    ]


def loop_problems(loop: LoopPlan, axes: Axes = Axes(), **params: Any) -> list[tuple[str, str, str]]:  # noqa: B008
    graph = shard_graph(**params)
    found = check_loops(graph, SHARD_REGISTRY, {"net": axes}, {"denoise": loop})
    return [(p.code, p.message, p.hint) for p in found]


@pytest.mark.parametrize(
    "axes",
    [
        Axes((("patch", 4),)), Axes((("ring", 2), ("ulysses", 2))), Axes((("tensor", 4),)), Axes((("data", 7),)),
        Axes((("ulysses", 2), ("tensor", 2))), Axes((("patch", 2),), displaced=True), Axes((("patch", 1), ("ring", 2))),
        Axes((("ulysses", 1), ("tensor", 1))),
    ],
)  # fmt: skip
def test_what_is_legal(axes: Axes) -> None:
    assert axes_problems("net", axes) == []


@pytest.mark.parametrize(
    ("axes", "code", "message", "hint"),
    [
        (Axes((("patch", 2), ("ring", 2))), "E519", "both split tokens", "take one of them"),
        (Axes((("patch", 2), ("ulysses", 2)), displaced=True), "E519", "would send stale keys", "mode: sync"),
        (Axes((("ulysses", 4), ("tensor", 2)), ), "E519", "8 ranks for 4 heads", "the nearest legal degree is 4"),
        (Axes((("ring", 6),)), "E516", "too few for 6", "the nearest legal degree is 4"),
    ],
)  # fmt: skip
def test_what_is_not(axes: Axes, code: str, message: str, hint: str) -> None:
    found = axes_problems("net", axes)
    assert any(c == code and message in m and hint in h for c, m, h in found), found


@pytest.mark.parametrize(
    ("net", "axis", "message"),
    [
        ("denoiser.conv", "tensor", "tensor: 2 of net: its channels are not shared"),
        ("denoiser.conv", "ulysses", "it has no heads to share"),
        ("denoiser.whole", "patch", "(denoiser.whole): it has no rows to share"),
        ("denoiser.whole", "tensor", "it has no heads to share"),
    ],
)
def test_a_model_says_what_it_cannot(net: str, axis: str, message: str) -> None:
    found = axes_problems("net", Axes(((axis, 2),)), net=net)
    assert found and all(c == "E519" and h for c, _, h in found)
    assert any(message in m for _, m, _ in found)


def test_a_height_of_half_units() -> None:
    found = axes_problems("net", Axes((("patch", 2),)), height=9)
    assert ("E516", "denoise/pc gets 9 rows, which are cut at multiples of 2", "another height") in found


def test_displaced_from_what() -> None:
    found = axes_problems("vae", Axes((("patch", 2),), displaced=True))
    assert [(c, h) for c, _, h in found] == [("E519", "mode: sync")] and "not called in a loop" in found[0][1]


@pytest.mark.parametrize(
    ("loop", "axes", "params", "message"),
    [
        (
            LoopPlan(patches=2),
            Axes(),
            {"net": "denoiser.conv"},
            "patches: 2 of net (denoiser.conv): its convolutions",
        ),
        (LoopPlan(patches=2), Axes((("patch", 2),), displaced=True), {}, "stale already"),
        (LoopPlan(patches=3), Axes((("patch", 2),)), {}, "for 2 ranks: at most 2 patches, not 3"),
        (LoopPlan(patches=2, warm="rows"), Axes((("ulysses", 2),)), {}, "shares the rows among the stages"),
    ],
)
def test_patches_that_are_refused(loop: LoopPlan, axes: Axes, params: dict[str, Any], message: str) -> None:
    (found,) = loop_problems(loop, axes, **params)
    assert found[0] == "E520" and message in found[1] and found[2]


def test_loops_without_patches_are_never_refused() -> None:
    assert loop_problems(LoopPlan(warmup="all"), net="denoiser.conv") == []


def test_a_model_that_is_not_called_is_not_displaced_from_anything() -> None:
    text = DRAW.partition("  image: {call")[0] + "outputs:\n  latents: denoise.latents\n"
    assert axes_problems("vae", Axes((("patch", 2),), displaced=True), text) == []


def test_what_a_loop_until_a_flag_works_on_is_not_cut() -> None:
    for axis in ("patch", "data"):
        (found,) = axes_problems("net", Axes(((axis, 2), ("cfg", 2))), UNTIL)
        assert found[0] == "E519" and f"{axis}: 2 of net: it is called in denoise only" in found[1]
    assert axes_problems("net", Axes((("tensor", 2), ("cfg", 2))), UNTIL) == []
    assert axes_problems("vae", Axes((("patch", 2),)), UNTIL) == []


def test_a_loop_in_one_that_turns_until_a_flag_is_not_cut() -> None:
    graph = shard_graph(NESTED.replace("each: {j: outside.turns}", "max: 3\n      until: m.small").replace(
        "      next: {x: denoise.latents}",
        "        m: {op: toy.mean, in: {x: denoise.latents}}\n      next: {x: denoise.latents}",
    ))  # fmt: skip
    (found,) = check_loops(graph, SHARD_REGISTRY, {}, {"outer/denoise": LoopPlan(patches=2)})
    assert found.code == "E520" and "outer/denoise is in the body of outer" in found.message


def test_patches_need_a_loop_of_known_length_without_loops_in_it() -> None:
    graph = shard_graph(UNTIL)
    found = list(check_loops(graph, SHARD_REGISTRY, {}, {"denoise": LoopPlan(patches=2)}))
    assert [p.code for p in found] == ["E520"] and "until its flag is true" in found[0].message
