"""adaptor.anyres: LLaVA-NeXT's tiles put together."""

import pytest
import torch
from safetensors.torch import save_file

from mmm_bridge.anyres.config import AnyResConfig
from mmm_bridge.anyres.foreign import read_llava_next
from mmm_bridge.anyres.model import AnyRes
from mmm_bridge.anyres.node import ANYRES
from mmm_graph.errors import RunError
from mmm_graph.testing import check_node
from tests.plugins.mmm_bridge.peers import close, llava, loaded, ours_of, put_back, saved

PINPOINTS = [[336, 672], [672, 336], [672, 672], [1008, 336], [336, 1008]]
SIZES = [
    *((1, 1), (9, 12000), (12000, 9), (335, 337), (336, 336), (481, 640), (333, 1001), (1001, 333)),
    *((673, 671), (37, 51), (2000, 1999), (400, 1201)),
]
"""Height and width [px]."""


def tiny(**more):
    """Tiles of 8 px of 4 x 4 patches, otherwise as published."""
    vision = {"image_size": 8, "patch_size": 2}
    small = [[h // 42, w // 42] for h, w in PINPOINTS]
    return llava("LlavaNext", vision=vision, image_grid_pinpoints=small, **more)


def grid_of(size, pinpoints, tile):
    from transformers.image_processing_utils import select_best_resolution

    best = select_best_resolution(list(size), pinpoints)
    return [side // tile for side in best]


def tiles_of(grids, side=4, width=16):
    counts = [1 + h * w for h, w in grids]
    rows = torch.tensor([i for i, n in enumerate(counts) for _ in range(n)])
    return (
        torch.randn(len(rows), side * side, width, generator=torch.Generator().manual_seed(0)),
        rows,
        counts,
    )


@pytest.mark.parity
@pytest.mark.parametrize("sizes", [SIZES[:4], SIZES[4:8], SIZES[8:]])
def test_saved_by_transformers_and_back(tmp_path, sizes):
    import transformers

    theirs = tiny()
    file = saved(theirs, tmp_path)
    config = AnyResConfig(**read_llava_next(theirs.config.to_dict()))
    ours = loaded(ANYRES, config, file)
    grids = [grid_of(size, theirs.config.image_grid_pinpoints, 8) for size in sizes]
    features, rows, counts = tiles_of(grids)

    def packed(model):
        newline = model.model.image_newline
        return model.model.pack_image_features(
            features.split(counts), torch.tensor(sizes), "default", newline
        )[0]

    with torch.no_grad():
        got = ours(features, rows, torch.tensor(grids), torch.tensor(sizes))
        for mine, want in zip(got, packed(theirs), strict=True):
            assert torch.equal(mine, want)
        ours.newline.mul_(2)
        put_back(ours, ANYRES, config, file)
        again = transformers.LlavaNextForConditionalGeneration.from_pretrained(tmp_path)
        for mine, want in zip(
            ours(features, rows, torch.tensor(grids), torch.tensor(sizes)), packed(again), strict=True
        ):
            assert torch.equal(mine, want)


@pytest.mark.parity
def test_counts_are_those_of_the_processor_for_twelve_odd_sizes():
    import transformers
    from tokenizers import Tokenizer, models

    words = transformers.PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel({"<image>": 0, "?": 1}, unk_token="?"))
    )
    processor = transformers.LlavaNextProcessor(
        transformers.LlavaNextImageProcessor(image_grid_pinpoints=PINPOINTS),
        words,
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
    )
    size = {"shortest_edge": 336}
    want = processor._get_num_multimodal_tokens(SIZES, size=size)["num_image_tokens"]
    grids = [grid_of(each, PINPOINTS, 336) for each in SIZES]
    features, rows, _ = tiles_of(grids, side=24, width=1)
    got = AnyRes(AnyResConfig(width=1))(features, rows, torch.tensor(grids), torch.tensor(SIZES))
    assert [len(each) for each in got] == want
    assert max(want) == 2928  # 672 x 672: 576 + 48 * 48 + 48


@pytest.mark.parity
def test_a_picture_without_tiles_ends_with_one_newline_as_theirs_does():
    theirs, sizes = tiny(), [[8, 8], [9, 24]]
    grids = [[0, 0], grid_of(sizes[1], theirs.config.image_grid_pinpoints, 8)]
    features, rows, counts = tiles_of(grids)
    ours = AnyRes(AnyResConfig(width=16))
    got = ours(features, rows, torch.tensor(grids), torch.tensor(sizes))
    newline = ours.newline
    want, _ = theirs.model.pack_image_features(
        features.split(counts), torch.tensor(sizes), "default", newline
    )
    assert all(torch.equal(a, b) for a, b in zip(got, want, strict=True)) and len(got[0]) == 17


def test_the_newline_is_found_in_every_layout(tmp_path):
    newline, other = torch.randn(16), torch.zeros(1)
    files = {
        "": {"image_newline": newline, "language_model.lm_head.weight": other, "vision_tower.a": other},
        "model": {"model.image_newline": newline, "model.multi_modal_projector.a": other, "lm_head.a": other},
    }
    original = {"model.image_newline": newline, "model.mm_projector.0.weight": other, "lm_head.weight": other}
    original |= {"model.layers.0.a": other, "model.embed_tokens.weight": other, "model.norm.weight": other}
    for prefix, tensors in [*files.items(), ("model", original)]:
        file = tmp_path / "a.safetensors"
        tensors = {k: v.clone() for k, v in tensors.items()}
        save_file(tensors, file)
        assert torch.equal(ours_of(loaded(ANYRES, AnyResConfig(width=16), file, prefix))["newline"], newline)
        del tensors[next(k for k in tensors if k.endswith("newline"))]
        save_file(tensors, file)
        with pytest.raises(RunError, match=r"E610.*1 missing \(newline\)"):
            loaded(ANYRES, AnyResConfig(width=16), file, prefix)


@pytest.mark.parametrize(
    ("length", "rows", "grids", "message"),
    [
        (15, [0, 0, 0], [[1, 2]], "a tile has 15 embeds, which are no square"),
        (16, [0, 0, 0], [[2, 2]], "picture 0 has 3 tiles; the whole and a grid of 2 x 2 are 5"),
        (16, [0, 0, 0, 1], [[1, 2]], "4 tiles do not stand in the order of their 1 pictures"),
        (16, [0, 1, 0], [[1, 1], [0, 0]], "3 tiles do not stand in the order of their 2 pictures"),
        (16, [0, 0, 0], [[1, 2], [0, 0]], "picture 1 has 0 tiles; the whole and a grid of 0 x 0 are 1"),
    ],
)
def test_tiles_that_do_not_belong_together_are_told(length, rows, grids, message):
    features = torch.zeros(len(rows), length, 4)
    with pytest.raises(RunError, match=f"E762.*{message}"):
        AnyRes(AnyResConfig(width=4))(
            features, torch.tensor(rows), torch.tensor(grids), torch.ones(len(grids), 2)
        )


def test_the_node_keeps_its_promises():
    values = {"rows": torch.tensor([0, 0, 0, 1, 1]), "grids": torch.tensor([[1, 2], [1, 1]])}
    values |= {"sizes": torch.tensor([[9, 15], [8, 3]]), "features": torch.randn(5, 4, 6)}
    check_node(ANYRES, config={"width": 6}, values=values)


GRAPH = {
    "mmm": 1,
    "name": "next",
    "inputs": {
        **{"x": "Embeds[r,l,12]", "rows": "Ids[r]", "grids": "Ids[m,2]", "sizes": "Ids[m,2]"},
        **{"ids": "Ids[b,t]", "index": "Ids[b,t]"},
    },
    "models": {
        "bridge": {"kind": "adaptor.mlp", "init": "default"},
        "lines": {"kind": "adaptor.anyres", "init": "default"},
        "llm": {
            **{"kind": "llm.decoder", "init": "default"},
            "config": {"vocab_size": 40, "width": 16, "depth": 1, "num_heads": 2, "hidden": 20},
        },
    },
    "nodes": {
        "pieces": {"call": "bridge", "in": {"features": "$in.x"}},
        "soft": {
            "call": "lines",
            "in": {"features": "pieces", "rows": "$in.rows", "grids": "$in.grids", "sizes": "$in.sizes"},
        },
        "words": {"call": "llm.embed", "in": {"ids": "$in.ids"}},
        "ctx": {"op": "embeds.splice", "in": {"text": "words", "insert": "soft", "index": "$in.index"}},
    },
    "outputs": {"ctx": "ctx", "spans": "ctx.spans"},
    "parallel": {
        "plans": {
            "p": {
                "ranks": 2,
                "stages": [
                    {"ranks": [0], "place": ["bridge", "lines"]},
                    {"ranks": [1], "place": ["llm"]},
                ],
            }
        }
    },
}


@pytest.mark.dist
def test_tiles_become_media_of_a_text_on_two_ranks_too():
    import mmm_graph as mmm

    given = {
        "x": torch.randn(5, 4, 12, generator=torch.Generator().manual_seed(0)),
        "rows": torch.tensor([0, 0, 0, 1, 1]),
        "grids": torch.tensor([[1, 2], [1, 1]]),
        "sizes": torch.tensor([[9, 15], [8, 3]]),
        "ids": torch.tensor([[3, 1, 2], [4, 5, 6]]),
        "index": torch.tensor([[-1, 0, -1], [-1, -1, 1]]),
    }
    want = mmm.load(GRAPH).run(**given)
    assert want["spans"].tolist() == [[0, 1, 14], [1, 2, 6]]
    assert torch.equal(mmm.load(GRAPH, plan="p").run(**given)["ctx"], want["ctx"])


ODD = [
    *((1, 1), (9, 120), (120, 9), (33, 35), (8, 8), (48, 64), (33, 101), (101, 33)),
    *((67, 66), (3, 5), (16, 24), (20, 59)),
]


@pytest.mark.parity
def test_twelve_odd_pictures_from_pixels_to_embeds_as_transformers_makes_them(tmp_path):
    import mmm_graph as mmm

    theirs = tiny()
    saved(theirs, tmp_path)
    pinpoints = theirs.config.image_grid_pinpoints
    link = f"file:{tmp_path}"
    tower = {"size": 8, "patch": 2, "width": 12, "depth": 3, "num_heads": 2, "hidden": 16}
    graph = {
        **{"mmm": 1, "name": "next", "inputs": {"image": "Image*[m,3,h,w]"}},
        "models": {
            "vision": {"kind": "encoder.vit", "weights": f"{link}#vision_tower", "config": tower},
            "bridge": {"kind": "adaptor.mlp", "weights": f"{link}#multi_modal_projector", "config": {}},
            "lines": {"kind": "adaptor.anyres", "weights": link, "config": {"width": 16}},
        },
        "nodes": {
            "tiles": {
                **{"op": "image.tiles", "in": {"image": "$in.image"}},
                "config": {"size": 8, "pinpoints": pinpoints},
            },
            "features": {
                **{"call": "vision.hidden", "in": {"image": "tiles"}},
                "config": {"layer": -2, "norm": False, "select": "patch"},
            },
            "pieces": {"call": "bridge", "in": {"features": "features"}},
            "soft": {
                "call": "lines",
                "in": {"features": "pieces"} | {k: f"tiles.{k}" for k in ("rows", "grids", "sizes")},
            },
        },
        "outputs": {"soft": "soft", "tiles": "tiles", "rows": "tiles.rows"},
    }
    pictures = [torch.rand(3, *size, generator=torch.Generator().manual_seed(size[0])) for size in ODD]
    got = mmm.load(graph).run(image=pictures)
    most = int(got["rows"].bincount().max())
    by_picture = [
        got["tiles"][got["rows"] == i] for i in range(len(ODD))
    ]  # equal to theirs: see test_prepare
    padded = torch.stack([torch.nn.functional.pad(t, (0, 0) * 3 + (0, most - len(t))) for t in by_picture])
    with torch.no_grad():
        want = theirs.model.get_image_features(padded, torch.tensor(ODD)).pooler_output
    for mine, each in zip(got["soft"], want, strict=True):
        close(mine, each)
