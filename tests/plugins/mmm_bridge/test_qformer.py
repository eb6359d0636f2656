"""adaptor.qformer: BLIP-2's querying transformer, with and without its branch for text."""

import pytest
import torch
from safetensors.torch import load_file, save_file

from mmm_bridge.qformer.config import QFormerConfig
from mmm_bridge.qformer.foreign import LAYOUTS, read_blip2
from mmm_bridge.qformer.model import QFormer
from mmm_bridge.qformer.node import QFORMER
from mmm_bridge.qformer.parts import FEATURES, qformer_parts, qformer_sharding, queries_path
from mmm_graph.checkpoint.save import as_foreign
from mmm_graph.errors import RunError
from mmm_graph.nn.parts import run_parts
from mmm_graph.testing import check_node
from tests.plugins.mmm_bridge.peers import blip2, close, loaded, ours_of, put_back, randomised, run, saved

SMALL = {
    **{"in_dim": 8, "out_dim": 12, "num_queries": 3, "width": 16, "depth": 3, "num_heads": 2, "hidden": 20},
    **{"vocab_size": 30, "max_length": 9},
}


def t5(**sizes):
    import transformers

    return transformers.T5Config(
        **{"d_model": 20, "d_kv": 4, "d_ff": 24, "num_layers": 1, "num_heads": 2, "vocab_size": 40}, **sizes
    )


CASES = [
    {},
    {"qformer": {"cross_attention_frequency": 3, "hidden_act": "relu"}, "num_query_tokens": 1},
    {"text": t5, "qformer": {"cross_attention_frequency": 1, "num_hidden_layers": 2, "layer_norm_eps": 1e-3}},
]
RETRIEVAL = [
    {},
    {"qformer": {"cross_attention_frequency": 1, "num_hidden_layers": 3, "num_attention_heads": 2}},
    {"num_query_tokens": 2, "qformer": {"layer_norm_eps": 1e-3, "hidden_act": "gelu_new"}},
]


def features(length=6, width=12):
    return torch.randn(3, length, width, generator=torch.Generator().manual_seed(1))


def tokens(length=8):
    ids = torch.randint(0, 30, (3, length), generator=torch.Generator().manual_seed(2))
    return ids, torch.arange(length) < torch.tensor([[length], [3], [1]])


def their_queries(theirs, x, *embeds, **more):
    queries = theirs.query_tokens.expand(len(x), -1, -1)
    both = torch.cat([queries, *embeds], 1)
    return theirs.qformer(query_embeds=both, encoder_hidden_states=x, query_length=queries.shape[1], **more)[
        0
    ]


@pytest.mark.parity
@pytest.mark.parametrize("case", CASES)
def test_saved_by_transformers_and_back(tmp_path, case):
    import transformers

    case = {**case, "text": case["text"]()} if "text" in case else case
    theirs = blip2(**case)
    file = saved(theirs, tmp_path)
    config = QFormerConfig(**read_blip2(theirs.config.to_dict()))
    ours = loaded(QFORMER, config, file)
    with torch.no_grad():
        for length in (1, 6):
            x = features(length)
            close(run(ours, features=x)["embeds"], theirs.language_projection(their_queries(theirs, x)))
        for weight in ours.parameters():
            weight.mul_(1.1)
    put_back(ours, QFORMER, config, file)
    again = transformers.Blip2ForConditionalGeneration.from_pretrained(tmp_path)
    with torch.no_grad():
        want = again.language_projection(their_queries(again, features()))
        close(run(ours, features=features())["embeds"], want)


@pytest.mark.parity
@pytest.mark.parametrize("case", RETRIEVAL)
def test_texts_alone_and_with_queries(tmp_path, case):
    qformer = {"use_qformer_text_input": True, **case.get("qformer", {})}
    theirs = blip2("ForImageTextRetrieval", **{**case, "qformer": qformer}, image_token_index=None)
    config = QFormerConfig(**read_blip2(theirs.config.to_dict()))
    ours = loaded(QFORMER, config, saved(theirs, tmp_path))
    (ids, mask), x, count = tokens(), features(), config.num_queries
    with torch.no_grad():
        close(run(ours, features=x)["embeds"], their_queries(theirs, x))
        close(run(ours, path_of(config, "queries"), features=x)["h"], their_queries(theirs, x))
        words = theirs.embeddings(input_ids=ids)
        want = theirs.qformer(query_embeds=words, query_length=0, attention_mask=mask.long())[0]
        found = run(ours, path_of(config, "text"), ids=ids, mask=mask)
        close(found["embeds"], want)
        close(found["pooled"], want[:, 0])
        both = torch.cat([torch.ones(3, count), mask], 1).long()
        want = their_queries(theirs, x, words, attention_mask=both)
        found = run(ours, path_of(config, "match"), features=x, ids=ids, mask=mask)
        close(torch.cat([found["queries"], found["embeds"]], 1), want)
        # theirs takes a mask of pairs as it is: this is the second objective's, which it has no code for
        causal = torch.ones(count + 8, count + 8).tril().bool()
        causal[:count, :count] = True
        pairs = causal & both[:, None, None].bool()
        want = their_queries(theirs, x, words, attention_mask=pairs)[:, count:]
        found = run(ours, path_of(config, "caption"), features=x, ids=ids, mask=mask)
        close(found["embeds"], want)


def path_of(config, method):
    return QFORMER.methods[method].path(config, None)


def text_model():
    torch.manual_seed(0)
    return randomised(QFormer(QFormerConfig(**SMALL, text=True)))


def test_a_caption_sees_nothing_that_comes_later():
    ours, path = text_model(), path_of(QFormerConfig(**SMALL, text=True), "caption")
    x, ids = features(width=8), tokens()[0]
    whole = run(ours, path, features=x, ids=ids)["embeds"]
    for end in (1, 5):
        close(run(ours, path, features=x, ids=ids[:, :end])["embeds"], whole[:, :end])
    other = run(ours, path, features=x.flip(0), ids=ids)["embeds"]
    assert not torch.allclose(other[0], whole[0], atol=1e-4)


def test_queries_do_not_change_with_the_caption():
    ours = text_model()
    config = QFormerConfig(**SMALL, text=True)
    x, ids = features(width=8), tokens()[0]
    alone = run(ours, features=x)["h"]
    close(run(ours, path_of(config, "caption"), features=x, ids=ids)["queries"], alone)
    assert not torch.allclose(
        run(ours, path_of(config, "match"), features=x, ids=ids)["queries"], alone, atol=1e-4
    )


@pytest.mark.parity
@pytest.mark.parametrize(("index", "projection"), [(1, "opt_proj"), (2, "t5_proj")])
def test_files_of_lavis(tmp_path, index, projection):
    theirs = blip2()
    config = QFormerConfig(**read_blip2(theirs.config.to_dict()))
    ours = loaded(QFORMER, config, saved(theirs, tmp_path))
    written = as_foreign(ours_of(ours), LAYOUTS[index], config)
    assert f"{projection}.weight" in written
    # as transformers' script that converts LAVIS' files maps them
    hub = {
        k.replace("Qformer.bert", "qformer")
        .replace("attention.self", "attention.attention")
        .replace(projection, "language_projection")
        .replace("qformer.embeddings.LayerNorm", "qformer.layernorm"): v
        for k, v in written.items()
    }
    whole = load_file(tmp_path / "model.safetensors")
    assert hub.keys() == {k for k in whole if not k.startswith(("vision_model", "language_model"))}
    assert all(torch.equal(v, whole[k]) for k, v in hub.items())
    others = {"visual_encoder.cls_token": torch.zeros(1), "ln_vision.weight": torch.zeros(1)}
    save_file({**written, **others}, tmp_path / "lavis.safetensors")
    again = loaded(QFORMER, config, tmp_path / "lavis.safetensors")
    assert all(torch.equal(v, ours_of(ours)[k]) for k, v in ours_of(again).items())


@pytest.mark.parity
def test_words_of_the_first_stage_are_predicted_as_bert_does(tmp_path):
    import transformers
    from transformers.models.bert.modeling_bert import BertLMPredictionHead

    bert = randomised(
        BertLMPredictionHead(transformers.BertConfig(hidden_size=16, vocab_size=30, layer_norm_eps=1e-12))
    )
    bert.bias.data.copy_(bert.decoder.bias)  # BertLMHeadModel ties them
    config = QFormerConfig(**SMALL, text=True, head=True)
    ours = randomised(QFormer(config))
    theirs = as_foreign(ours_of(ours), LAYOUTS[1], config)
    theirs |= {f"Qformer.cls.predictions.{k}": v for k, v in bert.state_dict().items()}
    words = "Qformer.bert.embeddings.word_embeddings.weight"
    theirs[words] = theirs["Qformer.cls.predictions.decoder.weight"].clone()
    save_file({k: v.contiguous().clone() for k, v in theirs.items()}, tmp_path / "a.safetensors")
    again = loaded(QFORMER, config, tmp_path / "a.safetensors")
    assert again.parts["head"].out.weight is again.parts["words"].token.weight
    x = torch.randn(2, 5, 16, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        close(run(again, path_of(config, "logits"), embeds=x)["logits"], bert(x))
    del theirs["Qformer.cls.predictions.decoder.weight"]  # as safetensors leaves out what is tied
    save_file({k: v.contiguous().clone() for k, v in theirs.items()}, tmp_path / "b.safetensors")
    short = loaded(QFORMER, config, tmp_path / "b.safetensors")
    assert all(torch.equal(v, ours_of(again)[k]) for k, v in ours_of(short).items())


@pytest.mark.parity
def test_files_that_lack_something_are_refused(tmp_path):
    theirs = blip2()
    config = QFormerConfig(**read_blip2(theirs.config.to_dict()))
    tensors = load_file(saved(theirs, tmp_path))
    del tensors["query_tokens"]
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(RunError, match=r"E610.*layout transformers: 1 missing \(queries.tokens\)"):
        loaded(QFORMER, config, tmp_path / "model.safetensors")


@pytest.mark.parity
def test_full_size_is_that_of_blip2():
    import transformers

    opt = {
        "hidden_size": 2560,
        "word_embed_proj_dim": 2560,
        "num_attention_heads": 32,
        "num_hidden_layers": 1,
    }
    theirs = transformers.Blip2Config(text_config=transformers.OPTConfig(**opt))  # Salesforce/blip2-opt-2.7b
    config = QFormerConfig(**read_blip2(theirs.to_dict()))
    assert config == QFormerConfig(in_dim=1408, out_dim=2560)
    with torch.device("meta"):
        whole = transformers.Blip2ForConditionalGeneration(theirs).state_dict()
        mine = ours_of(QFormer(config))
    want = {k: v.shape for k, v in whole.items() if not k.startswith(("vision_model", "language_model"))}
    where = LAYOUTS[0].theirs(mine, config)
    assert {where[k].names[0]: v.shape for k, v in mine.items()} == want
    total = sum(part.params for part in qformer_parts(config))
    assert total == sum(v.numel() for v in mine.values())
    # transformers' count of the Q-Former, the queries, and the projection
    assert total == 105_137_664 + 32 * 768 + 769 * 2560


@pytest.mark.parity
def test_full_size_with_text_is_that_of_blip2_for_retrieval():
    import transformers

    theirs = transformers.Blip2Config(qformer_config={"use_qformer_text_input": True, "vocab_size": 30523})
    config = QFormerConfig(**read_blip2(theirs.to_dict()))
    with torch.device("meta"):
        whole = transformers.Blip2ForImageTextRetrieval(theirs).state_dict()
        mine = ours_of(QFormer(config))
    skipped = ("vision_model", "language_model", "itm_head", "vision_projection", "text_projection")
    want = {k: v.shape for k, v in whole.items() if not k.startswith(skipped)}
    where = LAYOUTS[0].theirs(mine, config)
    assert {where[k].names[0]: v.shape for k, v in mine.items()} == want
    total = sum(part.params for part in qformer_parts(config))
    assert total == sum(v.numel() for v in mine.values())
    assert total == 185_684_736  # the paper says 188 M, heads of the three losses included


@pytest.mark.parametrize("changes", [{}, {"cross_every": 1, "projection": False, "out_dim": 16}])
def test_table_is_true_of_the_module(check_parts, changes):
    config = QFormerConfig(**{**SMALL, **changes})
    with torch.device("meta"):
        given = {"features": torch.zeros(1, FEATURES, 8)}
        check_parts(qformer_parts(config), QFormer(config), given, queries_path(config, None))
    assert qformer_sharding(config).heads == 2


def test_the_node_keeps_its_promises_on_two_ranks_too():
    check_node(QFORMER, config={**SMALL, "text": True, "head": True})


def test_all_weights_get_gradients():
    config = QFormerConfig(**SMALL, text=True)
    ours = QFormer(config).train()
    state = {"features": features(width=8), "ids": tokens()[0]}
    found = run_parts(ours.parts, path_of(config, "match"), state)
    (
        found["queries"].sum()
        + found["embeds"].sum()
        + run_parts(ours.parts, ours.path, state)["embeds"].sum()
    ).backward()
    assert [name for name, p in ours.named_parameters() if p.grad is None] == []


def test_texts_need_the_branch_and_fit_into_it():
    with pytest.raises(ValueError, match="reads no text; set `text: true`"):
        path_of(QFormerConfig(**SMALL), "match")
    with pytest.raises(ValueError, match="predicts no words; set `head: true`"):
        path_of(QFormerConfig(**SMALL, text=True), "logits")
    with pytest.raises(RunError, match=r"E706.*10 tokens, but the querying transformer has 9 positions"):
        run(text_model(), path_of(QFormerConfig(**SMALL, text=True), "text"), ids=tokens(10)[0])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_heads": 3}, "width 16 does not divide into 3 heads"),
        ({"projection": False}, "out_dim is 12 and width 16, which needs a projection"),
        ({"queries": 3}, "queries"),
        ({"head": True}, "head: true predicts words, which needs `text: true`"),
    ],
)
def test_configs_that_cannot_be_built_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        QFormerConfig(**{**SMALL, **changes})


def test_configs_that_we_do_not_compute_are_refused():
    with pytest.raises(ValueError, match="position_embedding_type: 'relative_key' is not supported"):
        read_blip2({"qformer_config": {"position_embedding_type": "relative_key"}})
    assert QFormerConfig(projection=False).out_dim == 768
