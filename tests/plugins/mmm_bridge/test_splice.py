"""embeds.splice and embeds.prepend: media at their places, against a plain loop and against transformers."""

import pytest
import torch

from mmm_bridge.splice.config import PrependConfig, SpliceConfig
from mmm_bridge.splice.node import splice_nodes
from mmm_bridge.splice.ops import IGNORED, prepend, splice
from mmm_graph.errors import InputError, RunError
from mmm_graph.graph.compile import compile_graph
from mmm_graph.registry import registry_of
from mmm_graph.spec import load_spec
from mmm_graph.testing import check_node
from tests.plugins.mmm_bridge.peers import LLAMA, close, llava

WIDTH = 4
INDEX = torch.tensor([[-1, 0, -1, -1, 1], [-1, -1, -1, -1, -1], [2, -1, -1, -1, -1]])
MASK = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [1, 1, 1, 0, 0]]).bool()
LABELS = torch.arange(15).view(3, 5)


def text(rows=3, length=5):
    return torch.randn(rows, length, WIDTH, generator=torch.Generator().manual_seed(0))


def media(*lengths):
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(n, WIDTH, generator=generator) for n in lengths]


def rows_by_hand(embeds, index, mask, insert, labels):
    """Each conversation without padding: its embeds, labels, and (medium, first place, length)."""
    for r in range(len(embeds)):
        row, marks, spans = [], [], []
        for p in range(embeds.shape[1]):
            number = int(index[r, p])
            if not mask[r, p]:
                continue
            if number >= 0:
                spans.append((number, len(row), len(insert[number])))
                row += list(insert[number])
                marks += [IGNORED] * len(insert[number])
            else:
                row.append(embeds[r, p])
                marks.append(int(labels[r, p]))
        yield torch.stack(row), marks, spans


@pytest.mark.parametrize("pad", ["left", "right"])
@pytest.mark.parametrize("lengths", [(3, 3, 3), (2, 6, 1)])
@pytest.mark.parametrize("side", ["left", "right"])
def test_media_take_their_places(pad, lengths, side):
    embeds, mask, index, labels = text(), MASK, INDEX, LABELS
    if side == "left":
        mask, index = mask.flip(1), index.flip(1)
    insert = media(*lengths)
    whole = torch.stack(insert) if len(set(lengths)) == 1 else insert
    got = splice(embeds, index, SpliceConfig(pad=pad), whole, mask, labels)
    longest = 0
    for r, (row, marks, spans) in enumerate(rows_by_hand(embeds, index, mask, insert, labels)):
        longest = max(longest, len(row))
        seen = got["mask"][r]
        first = int(seen.int().argmax())
        assert int(seen.sum()) == len(row) and (first == 0 or pad == "left")
        assert bool(seen[-len(row) :].all() if pad == "left" else seen[: len(row)].all())
        assert torch.equal(got["embeds"][r][seen], row) and not got["embeds"][r][~seen].any()
        assert got["labels"][r][seen].tolist() == marks and set(got["labels"][r][~seen].tolist()) <= {IGNORED}
        assert got["positions"][r][seen].tolist() == list(range(len(row)))
        for number, place, length in spans:
            assert got["spans"][number].tolist() == [r, first + place, length]
        where, told = got["places"][r], mask[r] & (index[r] < 0)
        assert torch.equal(got["embeds"][r][where[told]], embeds[r][told]) and bool(
            (where[~told] == -1).all()
        )
    assert got["embeds"].shape == (3, longest, WIDTH)


def test_texts_without_media_only_lose_padding():
    got = splice(text(), torch.full((3, 5), -1), SpliceConfig(pad="left"), None, MASK)
    assert got["labels"] is None and got["spans"].shape == (0, 3)
    assert torch.equal(got["embeds"][1, -2:], text()[1, :2])
    plain = splice(text(), torch.full((3, 5), -1), SpliceConfig())
    assert torch.equal(plain["embeds"], text()) and bool(plain["mask"].all())


def test_media_of_several_kinds_follow_each_other():
    images, sounds = torch.stack(media(3, 3)), media(1)
    want = splice(text(), INDEX, SpliceConfig(), [*images, *sounds], MASK)
    got = splice(text(), INDEX, SpliceConfig(), [images, sounds], MASK)
    assert all(torch.equal(got[k], v) for k, v in want.items() if v is not None)


def test_gradients_reach_text_and_media():
    embeds, insert = text().requires_grad_(), [m.requires_grad_() for m in media(2, 6, 1)]
    splice(embeds, INDEX, SpliceConfig(), insert, MASK)["embeds"].sum().backward()
    assert all(bool((m.grad == 1).all()) for m in insert)
    assert torch.equal(embeds.grad[..., 0], (MASK & (INDEX < 0)).float())


def test_media_get_the_dtype_of_the_text():
    got = splice(text().bfloat16(), INDEX, SpliceConfig(), torch.stack(media(2, 2, 2)), MASK)
    assert got["embeds"].dtype is torch.bfloat16


@pytest.mark.parity
@pytest.mark.parametrize("lengths", [(16, 16), (16, 16, 16)])
def test_expanded_is_what_transformers_does_and_so_is_growing(lengths):
    theirs = llava(image_token_id=39)
    short = torch.randint(0, 39, (2, 6), generator=torch.Generator().manual_seed(0))
    index = torch.full((2, 6), -1)
    index[0, 1], index[1, 0] = 0, 1
    if len(lengths) == 3:
        index[1, 4] = 2
    rows = [
        torch.cat([torch.full((lengths[n],) if n >= 0 else (1,), i) for i, n in zip(ids, where, strict=True)])
        for ids, where in (
            (torch.where(w >= 0, 39, s).tolist(), w.tolist()) for s, w in zip(short, index, strict=True)
        )
    ]
    wide = max(map(len, rows))
    ids = torch.stack([torch.nn.functional.pad(row, (0, wide - len(row))) for row in rows])
    mask = torch.arange(wide) < torch.tensor([[len(row)] for row in rows])
    pictures = torch.randn(len(lengths), 3, 8, 8, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        visual = torch.stack(list(theirs.model.get_image_features(pictures).pooler_output))
        embed = theirs.get_input_embeddings()
        seen = {}
        theirs.model.language_model.register_forward_pre_hook(
            lambda module, args, kwargs: seen.update(kwargs), with_kwargs=True
        )
        theirs(input_ids=ids, pixel_values=pictures, attention_mask=mask.long())
        want = seen["inputs_embeds"]
        repeated = torch.where(ids == 39, 0, -1)
        runs = (ids == 39) & torch.nn.functional.pad(ids[:, :-1] != 39, (1, 0), value=True)
        repeated = torch.where(ids == 39, runs.flatten().cumsum(0).view_as(ids) - 1, repeated)
        got = splice(embed(ids), repeated, SpliceConfig(expanded=True), visual, mask)
        grown = splice(embed(short), index, SpliceConfig(), visual)
    assert torch.equal(got["embeds"], want) and torch.equal(got["mask"], mask)
    assert torch.equal(grown["embeds"][mask], want[mask]) and torch.equal(grown["mask"], mask)
    assert torch.equal(got["spans"], grown["spans"])
    assert torch.equal(got["places"], torch.where(mask & (ids != 39), torch.arange(wide), -1))
    assert visual.shape[2] == LLAMA["hidden_size"]


def test_expanded_labels_are_ignored_over_media():
    index = torch.tensor([[-1, 0, 0, -1], [1, -1, -1, -1]])
    got = splice(
        text(2, 4), index, SpliceConfig(expanded=True), media(2, 1), None, torch.arange(8).view(2, 4)
    )
    assert got["labels"].tolist() == [[0, IGNORED, IGNORED, 3], [IGNORED, 5, 6, 7]]
    assert got["spans"].tolist() == [[0, 1, 2], [1, 0, 1]]


@pytest.mark.parametrize(
    ("change", "lengths", "config", "message"),
    [
        ({}, (2, 2), {}, "E758.*conversation 2, place 0: there is no medium 2; 2 were given"),
        ({}, (2,) * 4, {}, r"E758.*4 media were given, but there are places for 3 \(conversation 0: 2, "
                           r"conversation 1: 0, conversation 2: 1\); none for medium 3"),
        ({(1, 0): 2}, (2,) * 3, {}, "E758.*medium 2 has 2 places, in the conversations 1, 2"),
        ({(1, 4): 3}, (2,) * 4, {}, "E758.*conversation 1: the place of medium 3 is padding"),
        ({(1, 0): -2}, (2,) * 3, {}, "E758.*conversation 1, place 0: there is no medium -2"),
        ({}, (1, 2, 1), {"expanded": True}, "E759.*conversation 0: medium 1 has 1 places, but 2 embeds"),
        ({(2, 0): -1}, (1, 1, 1), {"expanded": True}, "E759.*no conversation: medium 2 has 0 places, but 1 embeds"),
        ({(1, 0): 2}, (1, 1, 2), {"expanded": True}, "E759.*conversation 1, conversation 2: medium 2 has 2 places"),
        ({}, (1, 1), {"expanded": True}, "E758.*conversation 2, place 0: there is no medium 2"),
        ({}, (9, 1, 1), {"context": 12}, "E761.*conversation 0 has 13 tokens, 1 more than the context of 12; "
                                        "10 of them are of media .2 in all"),
    ],
)  # fmt: skip
def test_what_does_not_belong_together_is_told(change, lengths, config, message):
    index = INDEX.clone()
    for place, number in change.items():
        index[place] = number
    with pytest.raises(RunError, match=message):
        splice(text(), index, SpliceConfig(**config), media(*lengths), MASK)


def test_media_of_another_width_or_form_are_refused():
    with pytest.raises(RunError, match=r"E760.*medium 1 is \[2, 5\]; expected embeds \[l,4\]"):
        splice(text(), INDEX, SpliceConfig(), [*media(2), torch.zeros(2, 5), *media(1)], MASK)
    with pytest.raises(RunError, match=r"E760.*medium 0 is \[1, 3, 2, 4\]"):
        splice(text(), INDEX, SpliceConfig(), torch.zeros(1, 3, 2, 4), MASK)


@pytest.mark.parametrize("pad", ["left", "right"])
def test_a_soft_prompt_stands_before_each_text(pad):
    prompt = torch.stack(media(2, 2, 2))
    got = prepend(text(), prompt, PrependConfig(pad=pad), MASK, LABELS)
    for r in range(3):
        seen = got["mask"][r]
        assert torch.equal(got["embeds"][r][seen], torch.cat([prompt[r], text()[r][MASK[r]]]))
        assert got["labels"][r][seen].tolist() == [IGNORED] * 2 + LABELS[r][MASK[r]].tolist()
        assert torch.equal(got["embeds"][r][got["places"][r][MASK[r]]], text()[r][MASK[r]])
    assert bool(got["mask"][:, -1 if pad == "left" else 0].all())
    close(prepend(text(), prompt, PrependConfig())["embeds"], torch.cat([prompt, text()], 1), 0)
    with pytest.raises(RunError, match=r"E760.*2 soft prompts for 3 texts"):
        prepend(text(), prompt[:2], PrependConfig())
    with pytest.raises(RunError, match=r"E761.*7 tokens, 1 more than the context of 6"):
        prepend(text(), prompt, PrependConfig(context=6))


GRAPH = """
mmm: 1
name: fits
inputs: {words: "Embeds[b,%s,8]", soft: "Embeds[%s,576,8]", index: "Ids[b,%s]"}
nodes: {ctx: {op: %s, in: {text: $in.words, insert: $in.soft%s}, config: {context: %d%s}}}
outputs: {ctx: ctx}
"""


@pytest.mark.parametrize(
    ("op", "length", "context", "more", "message"),
    [
        ("splice", "40", 615, "", None),
        (
            "splice",
            "40",
            614,
            "",
            r"615 tokens \(39 of text and 576 of one medium\) are 1 more than the context of 614",
        ),
        ("splice", "t", 576, "", None),
        ("splice", "t", 500, "", "576 tokens .* are 76 more than the context of 500"),
        ("splice", "600", 599, ", expanded: true", "600 tokens are 1 more than the context of 599"),
        ("prepend", "40", 616, "", None),
        ("prepend", "40", 600, "", r"616 tokens \(40 of text and 576 of one medium\) are 16 more"),
    ],
)
def test_texts_that_cannot_fit_are_refused_when_the_graph_is_compiled(op, length, context, more, message):
    link, batch = (", index: $in.index", "m") if op == "splice" else ("", "b")
    spec = load_spec(GRAPH % (length, batch, length, f"embeds.{op}", link, context, more))
    registry = registry_of(*splice_nodes())
    if message is None:
        compile_graph(spec, registry)
    else:
        with pytest.raises(InputError, match=f"E212.*ctx: {message}"):
            compile_graph(spec, registry)


def test_links_under_insert_may_have_lengths_of_their_own():
    text_ = GRAPH % ("t", "m", "t", "embeds.splice", ", index: $in.index", 9, "")
    more = text_.replace("insert: $in.soft", "insert: [$in.soft, $in.sound]")
    more = more.replace("inputs: {", 'inputs: {sound: "Embeds[a,32,8]", ')
    compile_graph(load_spec(more), registry_of(*splice_nodes()))
    with pytest.raises(InputError, match=r"E205.*ctx.insert"):
        compile_graph(load_spec(more.replace("[a,32,8]", "[a,32,9]")), registry_of(*splice_nodes()))


def test_the_nodes_keep_their_promises():
    ops = {op.kind: op for op in splice_nodes()}
    index = torch.tensor([[-1, 0, -1, -1], [1, -1, 2, -1]])
    insert = [torch.randn(n, 16, generator=torch.Generator().manual_seed(n)) for n in (2, 3, 1)]
    check_node(ops["embeds.splice"], values={"index": index, "insert": insert}, dims={"t": 4, "m": 3})
    check_node(ops["embeds.prepend"])
