"""adaptor.gated_xattn: a layer token by token, the files of others, and IDEFICS' decoder around it."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import mmm_graph as mmm
from mmm_bridge.gated.config import GatedConfig
from mmm_bridge.gated.foreign import LAYOUTS, read_idefics
from mmm_bridge.gated.model import GatedCrossAttention
from mmm_bridge.gated.node import GATED
from mmm_bridge.gated.parts import EMBEDS, TOKENS, gated_parts, gated_path, gated_sharding
from mmm_bridge.gated.rows import find_rows
from mmm_graph.checkpoint.save import as_foreign
from mmm_graph.errors import RunError
from mmm_graph.testing import check_node
from tests.plugins.mmm_bridge.peers import close, idefics, saved

SMALL = {"width": 16, "media_dim": 12, "num_heads": 2, "head_dim": 5}
GRAPH = """
mmm: 1
inputs:
  {{ids: "Ids[b,t]", mask: "Mask[b,t]?", media: "Embeds[m,5,12]?", index: "Ids[b,t]?", a: "Ids[b,1]", b: "Ids[b,1]"}}
models:
  xattn: {{kind: adaptor.gated_xattn, config: {xattn}, {weights}}}
  llm:
    kind: llm.decoder
    config: {{vocab_size: 40, width: 16, depth: 4, num_heads: 2, hidden: 20, eps: 1.0e-6, max_length: 64}}
    {llm}
    attach: [{attach}]
nodes:
  room: {{op: llm.room, config: {{tokens: 2}}}}
  words: {{call: llm.embed, in: {{ids: $in.ids}}}}
  out: {{call: llm.logits, in: {{embeds: words, mask: $in.mask{media}}}}}
  pre: {{call: llm.prefill, in: {{embeds: words, mask: $in.mask, room: room{media}}}}}
  one: {{call: llm.step, in: {{ids: $in.a, at: pre.at, cache: pre.cache}}}}
  two: {{call: llm.step, in: {{ids: $in.b, at: one.at, cache: pre.cache}}}}
outputs: {{logits: out.logits, pre: pre.logits, one: one.logits, two: two.logits}}
parallel:
  plans:
    pipe: {{ranks: 2, stages: [{{ranks: [0], place: ["llm[:2]"]}}, {{ranks: [1], place: ["llm[2:]"]}}]}}
    tensor: {{ranks: 2, axes: {{llm: {{tensor: 2}}}}}}
"""
MEDIA = ", media: $in.media, media_index: $in.index"
FOUR = {"num_hidden_layers": 4, "additional_vocab_size": 0, "use_resampler": False}
CASES = [
    {"cross_layer_interval": 1},
    {"cross_layer_interval": 2, "qk_layer_norms": True, "alpha_type": "vector"},
    {"cross_layer_interval": 4, "alpha_type": "vector"},
]


def graph(every=1, xattn="{num_heads: 2, head_dim: 5}", attached=True, side="before", offset=0):
    """Random weights; without what is attached the same ones."""
    attach = (
        f"{{model: xattn, at: blocks, every: {every}, offset: {offset}, side: {side}}}" if attached else ""
    )
    media = MEDIA if attached else ""
    return GRAPH.format(xattn=xattn, weights="init: default", llm="init: default", attach=attach, media=media)


def prompts(num=(3, 0, 1)):
    """Rows with so many media, the first one padded on the left."""
    generator = torch.Generator().manual_seed(3)
    index, done = torch.full((len(num), 9), -1), 0
    for row, n in enumerate(num):
        index[row, torch.arange(n) * 2 + 3] = torch.arange(done, done + n)
        done += n
    mask = torch.ones(len(num), 9, dtype=torch.bool)
    mask[0, :2] = False
    ids, a, b = (torch.randint(0, 40, (len(num), n), generator=generator) for n in (9, 1, 1))
    media = torch.randn(done, 5, 12, generator=generator)
    return {"ids": ids, "a": a, "b": b, "media": media, "index": index, "mask": mask}


def one_hot(index, after=2):
    """image_attention_mask [b,t,n] of IDEFICS: each token sees the newest image of its row."""
    counts = [int((row >= 0).sum()) for row in index]
    found = torch.zeros(len(index), index.shape[1] + after, max(counts))
    for row in range(len(index)):
        newest = -1
        for t in range(found.shape[1]):
            newest += t < index.shape[1] and int(index[row, t]) >= 0
            found[row, t, newest] = float(newest >= 0)
    return found, counts


def of_rows(media, counts):
    """Media of each row, padded."""
    found, done = torch.zeros(len(counts), max(counts), *media.shape[1:]), 0
    for row, n in enumerate(counts):
        found[row, :n] = media[done : done + n]
        done += n
    return found


def opened(model):
    """Gates away from zero."""
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "gate" in name.rpartition(".")[2]:
                weight.copy_(torch.randn(weight.shape, generator=generator))
    return model


def write_decoder(theirs, folder):
    """What transformers saved, as a file of the decoder and one of what stands between its blocks."""
    state = load_file(saved(theirs, folder))
    own = {k: v for k, v in state.items() if "gated_cross" in k}
    others = {k: v for k, v in state.items() if k not in own and "vision" not in k}
    save_file(own, folder / "xattn.safetensors")
    save_file(others, folder / "llm.safetensors")


def of_idefics(theirs, every):
    """The graph of it."""
    return GRAPH.format(
        xattn=json.dumps(read_idefics(theirs.config.to_dict())),
        weights='weights: "file:xattn.safetensors#model.gated_cross_attn_layers"',
        llm='weights: "file:llm.safetensors"',
        attach=f"{{model: xattn, at: blocks, every: {every}}}",
        media=MEDIA,
    )


@pytest.mark.parity
@pytest.mark.parametrize("case", CASES)
def test_decoders_saved_by_transformers(tmp_path, case):
    theirs = idefics(**FOUR, **case)
    write_decoder(theirs, tmp_path)
    given = prompts()
    found = mmm.load(of_idefics(theirs, case["cross_layer_interval"]), base=tmp_path).run(**given)
    seen, counts = one_hot(given["index"])
    mask = torch.cat([given["mask"], torch.ones(3, 2, dtype=torch.bool)], 1)
    with torch.no_grad():
        want = theirs(
            input_ids=torch.cat([given["ids"], given["a"], given["b"]], 1),
            attention_mask=mask.long(),
            image_encoder_embeddings=of_rows(given["media"], counts),
            image_attention_mask=seen,
        ).logits
    real = given["mask"]
    close(found["logits"][real], want[:, :9][real])
    for at, name in ((8, "pre"), (9, "one"), (10, "two")):
        close(found[name], want[:, at])


def greedy(theirs, given, num):
    """So many tokens of theirs, each from the whole text."""
    seen, counts = one_hot(given["index"], 0)
    ids, mask, media = given["ids"], given["mask"], of_rows(given["media"], counts)
    with torch.no_grad():
        for _ in range(num):
            out = theirs(
                input_ids=ids,
                attention_mask=mask.long(),
                image_encoder_embeddings=media,
                image_attention_mask=seen,
            )
            ids = torch.cat([ids, out.logits[:, -1:].argmax(-1)], 1)
            mask, seen = (torch.cat([x, x[:, -1:]], 1) for x in (mask, seen))
    return ids[:, -num:]


@pytest.mark.parity
@pytest.mark.parametrize("beams", [1, 3])
def test_answers_in_a_batch_alone_and_over_two_ranks(tmp_path, beams):
    theirs = idefics(**FOUR, **CASES[1])
    write_decoder(theirs, tmp_path)
    say = (
        f"  say: {{op: llm.generate, use: {{llm: llm}}, config: {{max_new_tokens: 32, num_beams: {beams}}}, "
        "in: {ids: $in.ids, mask: $in.mask, media: $in.media, media_index: $in.index}}\noutputs: {ids: say.ids, "
    )
    text = of_idefics(theirs, 2).replace("outputs: {", say)
    given = prompts()
    together = mmm.load(text, base=tmp_path).run(outputs=["ids"], **given)["ids"]
    if beams == 1:
        assert torch.equal(together, greedy(theirs, given, 32))
        cut = mmm.load(text, base=tmp_path, plan="pipe").run(outputs=["ids"], **given)["ids"]
        assert torch.equal(cut, together)
    session, done = mmm.load(text, base=tmp_path), 0
    for row, num in enumerate((3, 0, 1)):
        own = {k: v[row : row + 1] for k, v in given.items() if k != "media"}
        own["index"] = torch.where(own["index"] < 0, -1, own["index"] - done)
        media = given["media"][done : done + num] if num else None
        done += num
        assert torch.equal(session.run(outputs=["ids"], media=media, **own)["ids"][0], together[row])


@pytest.mark.parametrize("side", ["before", "after"])
@pytest.mark.parametrize(
    "config", ["{num_heads: 2}", "{norm: rms, mlp: gated, qk_norm: true, gate: vector, media: all}"]
)
def test_nothing_changes_before_it_is_trained(config, side):
    given = prompts()
    with_it = mmm.load(graph(2, config, side=side, offset=1)).run(**given)
    without = mmm.load(graph(attached=False)).run(
        **{k: v for k, v in given.items() if k not in ("media", "index")}
    )
    for name, value in without.items():
        assert torch.equal(with_it[name], value), name


@pytest.mark.parametrize("media", ["last", "all"])
@pytest.mark.parametrize("num", [(3, 0, 1), (0, 0), (1, 1)])
def test_tokens_one_by_one_are_the_whole_text(media, num):
    session = mmm.load(graph(2, f"{{num_heads: 2, media: {media}}}"))
    opened(session.module("xattn"))
    given = prompts(num)
    none = torch.full((len(num), 1), -1)
    found = session.run(**given)
    longer = {**given, "ids": torch.cat([given["ids"], given["a"], given["b"]], 1)}
    longer["index"] = torch.cat([given["index"], none, none], 1)
    longer["mask"] = torch.cat([given["mask"], none.bool(), none.bool()], 1)
    whole = session.run(outputs=["logits"], **longer)["logits"]
    for at, name in ((8, "pre"), (9, "one"), (10, "two")):
        close(found[name], whole[:, at])


@pytest.mark.dist
@pytest.mark.parametrize("plan", ["pipe", "tensor"])
def test_parts_and_heads_on_two_ranks(tmp_path, plan):
    whole = mmm.load(graph(offset=1))
    opened(whole.module("xattn"))
    whole.save(tmp_path)
    given = prompts()
    found = whole.run(**given)
    session = mmm.load(graph(offset=1), weights=tmp_path, plan=plan)
    if plan == "pipe":
        kind = ["embed", "enter", "advance", "block0", "xattn_0", "block1"]
        assert session.plan().models["llm"][0].b == len(kind), "slices count blocks of the decoder"
    cut = session.run(**given)
    for name, value in found.items():
        close(cut[name], value, 0 if plan == "pipe" else 1e-6)


def by_tokens(layer, h, media, index, which):
    """The layer for one row, a token at a time, as its equations say."""
    attn, out, newest = layer.attn, [], -1
    start = int(index[index >= 0].min()) if (index >= 0).any() else 0
    for x, here in zip(h, index, strict=True):
        newest = max(newest, int(here))
        look = torch.zeros_like(x)
        if newest >= 0:
            own = media[newest if which == "last" else start : newest + 1].flatten(0, 1)
            q, k, v = (
                y.unflatten(-1, (attn.num_heads, -1))
                for y in (attn.q(layer.norm(x)), attn.k(own), attn.v(own))
            )
            scores = torch.einsum("nk,lnk->nl", attn.norm_q(q), attn.norm_k(k)) / attn.head_dim**0.5
            look = attn.out(torch.einsum("nl,lnk->nk", scores.softmax(-1), v).flatten())
        y = x + layer.attn_gate.flatten().tanh() * look
        out.append(y + layer.mlp_gate.flatten().tanh() * layer.mlp(layer.mlp_norm(y)))
    return torch.stack(out)


@pytest.mark.parametrize("which", ["last", "all"])
@pytest.mark.parametrize("gate", ["scalar", "vector"])
def test_a_token_at_a_time(which, gate):
    torch.manual_seed(0)
    model = opened(GatedCrossAttention(GatedConfig(**SMALL, gate=gate, media=which, qk_norm=True)))
    given, h = prompts(), torch.randn(3, 9, 16)
    with torch.no_grad():
        found = model({"h": h, "media": given["media"], "media_index": given["index"]})
        layer = model.parts["xattn"]
        for row in range(3):
            close(found[row], by_tokens(layer, h[row], given["media"], given["index"][row], which))


class OpenFlamingoLayer(nn.Module):
    """Modules by the names of OpenFlamingo's."""

    def __init__(self, dim, media_dim, inner):
        super().__init__()
        self.attn = nn.Module()
        self.attn.norm, self.attn.to_q = nn.LayerNorm(dim), nn.Linear(dim, inner, bias=False)
        self.attn.to_kv = nn.Linear(media_dim, 2 * inner, bias=False)
        self.attn.to_out = nn.Linear(inner, dim, bias=False)
        up, down = nn.Linear(dim, 4 * dim, bias=False), nn.Linear(4 * dim, dim, bias=False)
        self.ff = nn.Sequential(nn.LayerNorm(dim), up, nn.GELU(), down)
        self.attn_gate, self.ff_gate = (nn.Parameter(torch.randn(1)) for _ in range(2))


@pytest.mark.parametrize(("every", "inside"), [(1, ""), (2, ""), (4, ""), (2, "gated_cross_attn_layer.")])
def test_open_flamingo_files(tmp_path, every, inside):
    torch.manual_seed(0)
    layers = {i: OpenFlamingoLayer(16, 12, 10) for i in range(every - 1, 4, every)}
    prefix = "lang_encoder.gated_cross_attn_layers"
    tensors = {
        f"{i}.{inside}{k}": v.data for i, layer in layers.items() for k, v in layer.state_dict().items()
    }
    save_file({f"{prefix}.{k}": v for k, v in tensors.items()}, tmp_path / "a.safetensors")
    text = graph(every, "{num_heads: 2, head_dim: 5}", offset=every - 1)
    text = text.replace(
        "head_dim: 5}, init: default", f'head_dim: 5}}, weights: "file:a.safetensors#{prefix}"'
    )
    session = mmm.load(text, base=tmp_path)
    session.run(**prompts())
    ours = session.module("xattn")
    for part, layer in zip(ours.parts.values(), layers.values(), strict=True):
        assert torch.equal(torch.cat([part.attn.k.weight, part.attn.v.weight]), layer.attn.to_kv.weight)
        assert torch.equal(part.mlp.down.weight, layer.ff[3].weight) and torch.equal(
            part.mlp_gate, layer.ff_gate
        )
    layout = next(
        x for x in LAYOUTS if x.name == f"OpenFlamingo{', in blocks' * bool(inside)}, every {every}"
    )
    names = {k.removeprefix("parts."): v for k, v in ours.state_dict().items()}
    back = as_foreign(names, layout, GatedConfig(**SMALL))
    assert back.keys() == tensors.keys() and all(torch.equal(back[k], tensors[k]) for k in back)


def test_full_size_is_that_of_idefics_9b():
    import transformers
    from transformers.models.idefics.modeling_idefics import IdeficsGatedCrossAttentionLayer

    theirs = transformers.IdeficsConfig(  # HuggingFaceM4/idefics-9b
        cross_layer_interval=4, qk_layer_norms=True, alpha_type="vector", vision_config={"embed_dim": 1280}
    )
    config = GatedConfig(**read_idefics(theirs.to_dict()))
    with torch.device("meta"):
        want = IdeficsGatedCrossAttentionLayer(theirs, layer_idx=0).state_dict()
        mine = {
            f"0.{k.removeprefix('parts.xattn.')}": v
            for k, v in GatedCrossAttention(config).state_dict().items()
        }
    where = LAYOUTS[0].theirs(mine, config)
    assert {where[k].names[0][2:]: v.shape for k, v in mine.items()} == {k: v.shape for k, v in want.items()}
    total = sum(v.numel() for v in want.values())
    assert gated_parts(config)[0].params == total == 179_323_136


@pytest.mark.parametrize(
    "changes", [{}, {"norm": "rms", "mlp": "gated", "gate": "vector", "qk_norm": True, "hidden": 9}]
)
def test_table_is_true_of_the_module(changes):
    config = GatedConfig(**SMALL, **changes)
    (part,) = gated_parts(config)
    rows = find_rows(torch.zeros(1, TOKENS, dtype=torch.long), 1, "last")
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        module = GatedCrossAttention(config)
        state = {"h": torch.zeros(1, TOKENS, 16), "media": torch.zeros(1, EMBEDS, 12), "room": 1}
        state["media_rows"] = tuple(x.to("meta") for x in rows)
        written = module.parts["xattn"](state)
    assert state.keys() <= set(part.reads) and written.keys() == set(part.writes)
    assert sum(p.numel() for p in module.parameters()) == part.params
    assert counter.get_total_flops() == pytest.approx(part.flops, rel=0.03)
    assert {"h": written["h"].numel(), "cache.xattn": written["cache.xattn"][0].numel()} == part.sizes
    assert gated_path(config, None) == ("xattn",) and gated_sharding(config).heads == 2


def test_the_node_keeps_its_promises_on_two_ranks_too():
    index = torch.full((2, 6), -1)  # without media there are no places for them
    check_node(GATED, config={**SMALL, "num_heads": 3}, values={"media_index": index})


def test_rows_of_a_batch():
    index = torch.tensor([[-1, 0, -1, 1], [-1, -1, -1, -1], [2, -1, -1, -1]])
    last, every = (find_rows(index, 3, which) for which in ("last", "all"))
    assert last.numbers[0].tolist() == [0, 1] and last.numbers[2, 0] == 2 and last.own.tolist() == [2, 0, 1]
    assert last.seen[0].tolist() == [[False, False], [True, False], [True, False], [False, True]]
    assert every.seen[0].tolist() == [[False, False], [True, False], [True, False], [True, True]]
    assert not last.seen[1].any() and last.seen[2].tolist() == [[True, False]] * 4
    assert find_rows(index[2:], 3, "all").numbers.tolist() == [[2]], "some of the rows, all media"


@pytest.mark.parametrize(
    ("index", "code", "message"),
    [
        ([[0, 1]], "E758", "the texts have places for 2 media, 1 were given"),
        ([[1, 0]], "E758", "the media of a text are not numbered one after the other"),
        ([[0, 2], [1, -1]], "E758", "the media of a text are not numbered one after the other"),
    ],
)
def test_media_that_do_not_belong_to_the_texts(index, code, message):
    with pytest.raises(RunError) as caught:
        find_rows(torch.tensor(index), 1 if "places" in message else 3, "all")
    assert (caught.value.problems[0].code, caught.value.problems[0].message) == (code, message)


def test_forgotten_media_are_an_error():
    given = prompts()
    with pytest.raises(RunError, match=r"E758.*places for 4 media, 0 were given"):
        mmm.load(graph()).run(**{**given, "media": None})
