"""What single tasks and messages of a prediction take."""

from __future__ import annotations

from mmm_graph.graph.graph import Call
from mmm_graph.plan.devices import Device
from mmm_graph.plan.ops import At, Value
from mmm_graph.plan.place import make_plan
from mmm_graph.plan.predict import Named, Prediction, Reader
from mmm_graph.plan.roofline import Lengths, Share
from mmm_graph.plan.rows import model_type
from mmm_graph.plan.sizes import Sizes
from mmm_graph.plan.whole import whole_blocks
from tests.plan.toys import SHARD_REGISTRY, shard_graph

SLOW = Device(flops={"f32": 1e6}, bandwidth=1e18, link=1e3)


def prediction(link: float | None = 1e3) -> Prediction:
    graph = shard_graph()
    blocks = whole_blocks(graph, SHARD_REGISTRY, make_plan(graph, SHARD_REGISTRY))
    device = SLOW.model_copy(update={"link": link})
    return Prediction(blocks, Sizes(blocks, 6), Named("slow", device), Reader(512))


def test_a_share_takes_its_share_of_the_time() -> None:
    found = prediction()
    call = found.blocks.flow.sites["denoise/pc"].node
    assert isinstance(call, Call)
    path = found.path(call)
    assert path is not None
    flops = sum(part.flops for part in path)
    scale = float(found.sizes.scale(call))
    at = At("0", "denoise/pc", (0,))
    whole = found.run_s(("slice", "denoise/pc", 0, len(path)), at)
    joined = found.blocks.joined("denoise/pc")
    assert whole == flops * scale * 6 * joined / 1e6 > 0
    third = found.run_s(("slice", "denoise/pc", 0, len(path)), at._replace(share=(0, 3)))
    half = at._replace(spans=((0, 4), (4, 8)), member=1, total=8)
    assert third * 3 == whole and found.run_s(("slice", "denoise/pc", 0, len(path)), half) * 2 == whole
    parts = [found.run_s(("slice", "denoise/pc", i, i + 1), at) for i in range(len(path))]
    assert abs(sum(parts) - whole) < 1e-9 * whole
    assert found.spent(call, path, Share(2, scale=scale), (0, len(path))).seconds == flops * scale * 2 / 1e6


def test_what_is_no_call_of_a_model_takes_no_time() -> None:
    found = prediction()
    assert found.run_s(("op", "denoise/step"), At("0", "denoise/step", (0,))) == 0
    assert found.run_s(("output", "image"), At("0", "nowhere")) == 0


def test_messages_take_their_bytes_over_the_link() -> None:
    value = Value("0", "denoise/step.x")
    size = prediction().sizes.bytes(value)
    assert size and prediction().value_s(value) == size / 1e3 and prediction(None).value_s(value) == 0


def test_only_language_models_read_prompts() -> None:
    found = prediction()
    call = found.blocks.flow.sites["denoise/pc"].node
    assert isinstance(call, Call)
    kind = model_type(found.blocks.graph, SHARD_REGISTRY, call.model)
    assert Reader(512, 100).text(kind, call) is None
    assert Lengths(5) == Lengths(5, step=False, starts=False)
