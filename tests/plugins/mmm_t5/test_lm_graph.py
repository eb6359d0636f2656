"""T5 as a language model in a graph: spread over ranks, quantized, trained; files read and written."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import save_file

import mmm_graph as mmm
from mmm_graph.errors import InputError, RunError
from mmm_graph.nn.quantized import QuantizedLinear
from mmm_t5.config import T5LMConfig
from mmm_t5.lm_foreign import read_lm, write_lm
from mmm_t5.lm_keys import TOKENS
from tests.plugins.mmm_t5.tiny import CASES, VOCAB, logits, prefill, read, reference, step

pytestmark = pytest.mark.parity

IDS = torch.randint(2, VOCAB, (2, 7), generator=torch.Generator().manual_seed(0))
TARGETS = torch.randint(2, VOCAB, (2, 5), generator=torch.Generator().manual_seed(1))
MASK = torch.arange(7) >= torch.tensor([[0], [3]])
PLANS = {
    "apart": {
        "ranks": 2,
        "stages": [{"ranks": [0], "place": ["llm[:3]"]}, {"ranks": [1], "place": ["llm[3:]"]}],
    },
    "cut": {
        "ranks": 3,
        "stages": [
            {"ranks": [i], "place": [part]} for i, part in enumerate(("llm[:1]", "llm[1:4]", "llm[4:]"))
        ],
    },
    "tensor": {"ranks": 3, "axes": {"llm": {"tensor": 3}}},
    "many": {"ranks": 4, "axes": {"llm": {"tensor": 4}}},
    "ring": {"ranks": 2, "axes": {"llm": {"ring": 2}}},
}


def session(folder, case="flan", *, beams=1, model=None, **more: Any):
    theirs = reference(case)
    theirs.save_pretrained(folder)
    config = T5LMConfig(**read_lm(theirs.config.to_dict())).model_dump(exclude_defaults=True)
    config_of = {"max_new_tokens": 6, "num_beams": beams}
    llm = {"kind": "llm.t5", "weights": f"file:{folder}", "config": config, **(model or {})}
    tree = {
        "mmm": 1,
        "inputs": {"ids": "Ids[b,t]", "mask": "Mask[b,t]", "targets": "Ids[b,u]"},
        "models": {"llm": llm},
        "nodes": {
            "words": {"call": "llm.embed", "in": {"ids": "$in.ids"}},
            "next": {"call": "llm", "in": {"embeds": "words", "mask": "$in.mask", "targets": "$in.targets"}},
            "say": {
                "op": "llm.generate",
                "use": {"llm": "llm"},
                "config": config_of,
                "in": {"embeds": "words", "mask": "$in.mask"},
            },
        },
        "outputs": {"logits": "next.logits", "ids": "say.ids"},
        "parallel": {"plans": PLANS},
    }
    return mmm.load(tree, base=folder, **more), theirs


def run(session):
    return session.run(ids=IDS, mask=MASK, targets=TARGETS)


@pytest.mark.dist
@pytest.mark.parametrize(("plan", "beams"), [("apart", 1), ("apart", 3), ("cut", 3), ("tensor", 1)])
def test_ranks_give_what_one_device_gives(tmp_path, plan, beams):
    want, many = run(session(tmp_path, beams=beams)[0]), session(tmp_path, beams=beams, plan=plan)[0]
    found = run(many)
    assert torch.equal(found["ids"], want["ids"]) and len(want["ids"].unique()) > 3
    if plan != "tensor":
        assert torch.equal(found["logits"], want["logits"])
    assert (found["logits"] - want["logits"]).abs().max() < 1e-5 * float(want["logits"].abs().max())


@pytest.mark.parametrize("beams", [1, 3])
def test_prompts_are_encoded_once_whatever_the_number_of_beams(tmp_path, beams):
    loaded = session(tmp_path, beams=beams)[0]
    parts, rows = loaded.module("llm").parts, {"memory": [], "head": []}
    for name, found in rows.items():
        parts[name].register_forward_hook(
            lambda part, given, made, found=found: found.append(len(next(iter(made.values()))))
        )
    loaded.run(ids=IDS, mask=MASK, targets=TARGETS, outputs=["ids"])
    assert rows["memory"] == [len(IDS)] and set(rows["head"]) == {beams * len(IDS)}


@pytest.mark.parametrize(("plan", "cuts"), [("apart", [0, 9, 14]), ("cut", [0, 2, 10, 14])])
def test_cuts_count_the_blocks_of_encoder_and_decoder(tmp_path, plan, cuts):
    loaded = session(tmp_path, plan=plan)[0]
    chain = loaded.plan().models["llm"]
    assert [0, *(s.b for s in chain)] == cuts and [s.a for s in chain] == cuts[:-1]


@pytest.mark.parametrize(("plan", "message"), [("many", "the nearest legal degree is"), ("ring", "ring")])
def test_plans_that_cannot_be_are_refused(tmp_path, plan, message):
    with pytest.raises(InputError, match=message):
        run(session(tmp_path, plan=plan)[0])


@torch.no_grad()
def test_quantized_it_computes_with_the_weights_that_it_keeps(tmp_path):
    loaded, theirs = session(tmp_path, model={"quantize": "int8"})
    found, plain = run(loaded)["logits"], read(tmp_path, theirs.config.to_dict())
    kept = [(n, m) for n, m in loaded.module("llm").named_modules() if isinstance(m, QuantizedLinear)]
    for name, layer in kept:
        plain.get_submodule(name).weight.copy_(layer.weight)
    assert len(kept) == 3 * 7 + 2 * 11 + 1
    want = logits(plain, IDS, TARGETS, mask=MASK)
    assert (found - want).abs().max() < 1e-4 * float(want.abs().max())


@pytest.mark.parametrize("case", list(CASES))
@torch.no_grad()
def test_transformers_reads_what_is_exported(tmp_path, case):
    loaded, theirs = session(tmp_path / "in", case)
    assert loaded.export(tmp_path / "out") == ("llm",)
    folder = tmp_path / "out" / "llm"
    again, report = transformers.T5ForConditionalGeneration.from_pretrained(folder, output_loading_info=True)
    assert not any(report.values()), report
    given = {"attention_mask": MASK.long(), "labels": TARGETS}
    assert torch.equal(again.eval()(IDS, **given).logits, theirs(IDS, **given).logits)
    said = json.loads((folder / "config.json").read_text())
    config = T5LMConfig(**read_lm(theirs.config.to_dict()))
    assert T5LMConfig(**read_lm(said)) == config and write_lm(config).items() <= said.items()


@pytest.mark.parametrize("case", ["t5", "flan"])
@pytest.mark.parametrize("names", [(0,), (1,), (2,), (0, 1, 2)])
def test_the_embedding_may_have_any_of_its_names(tmp_path, case, names):
    theirs = reference(case)
    file = {key: value.clone() for key, value in theirs.state_dict().items() if key not in TIED}
    file |= {TIED[i]: theirs.shared.weight.detach().clone() for i in names}
    if case == "t5":
        del file["lm_head.weight"]
    same(tmp_path, file, theirs)


def test_an_unscaled_model_without_a_head_has_the_embedding_for_it(tmp_path):
    theirs = reference("flan")
    theirs.lm_head.weight = theirs.shared.weight
    same(
        tmp_path, {k: v.clone() for k, v in theirs.state_dict().items() if k not in (*TIED[1:], HEAD)}, theirs
    )


TIED = [f"{name}.weight" for name in TOKENS]
HEAD = "lm_head.weight"


@torch.no_grad()
def same(folder, file, theirs):
    save_file(file, folder / "model.safetensors")
    ours = read(folder, theirs.config.to_dict())
    want = theirs(IDS, attention_mask=MASK.long(), labels=TARGETS).logits
    assert (logits(ours, IDS, TARGETS, mask=MASK) - want).abs().max() < 1e-5 * float(want.abs().max())


@torch.no_grad()
def test_as_a_part_of_blip2(tmp_path):
    text = {**CASES["flan"], "model_type": "t5", "dense_act_fn": "gelu", "bos_token_id": 1}
    small = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = transformers.Blip2Config(
        vision_config={**small, "image_size": 4, "patch_size": 2},
        qformer_config={**small, "encoder_hidden_size": 8, "vocab_size": 5},
        text_config=text,
        num_query_tokens=2,
    )
    assert config.use_decoder_only_language_model is False
    whole = transformers.Blip2ForConditionalGeneration(config).eval()
    theirs = whole.language_model
    theirs.lm_head.weight = torch.nn.Parameter(torch.randn(VOCAB, 24))
    whole.save_pretrained(tmp_path)
    said = json.loads((tmp_path / "config.json").read_text())["text_config"]
    ours = read(tmp_path, said, prefix="language_model")
    assert ours.config.activation == "gelu" and ours.config.gated
    want = theirs(IDS, attention_mask=MASK.long(), labels=TARGETS).logits
    assert (logits(ours, IDS, TARGETS, mask=MASK) - want).abs().max() < 1e-5 * float(want.abs().max())


@torch.no_grad()
def test_rows_go_on_from_others_whatever_their_prompts(tmp_path):
    theirs = reference("flan")
    theirs.save_pretrained(tmp_path)
    ours, order = read(tmp_path, theirs.config.to_dict()), torch.tensor([1, 0])
    first, then = TARGETS[:, :1], TARGETS[:, 1:2]
    plain = step(ours, step(ours, prefill(ours, IDS, 3, mask=MASK), first), then)
    crossed = step(ours, step(ours, prefill(ours, IDS, 3, mask=MASK), first), then[order], order=order)
    assert torch.allclose(crossed["logits"], plain["logits"][order], atol=1e-5)


@torch.no_grad()
def test_what_cannot_be_is_refused(tmp_path):
    theirs = reference("flan")
    theirs.save_pretrained(tmp_path)
    ours = read(tmp_path, theirs.config.to_dict())
    with pytest.raises(RunError, match=r"E749.*the token 61, but the T5 language model has 61 tokens"):
        logits(ours, IDS, TARGETS * 0 + VOCAB)
    with pytest.raises(RunError, match=r"E750.*at the place 1 of a cache that has room for 1"):
        step(ours, prefill(ours, IDS, 0), IDS[:, :1])
    with pytest.raises(RunError, match=r"E702.*needs embeds"):
        ours({"targets": TARGETS})
    for more, message in (
        ({"start_id": 50}, "start_id 50 is none of 50 tokens"),
        ({"max_distance": 16}, "16 leaves nothing between it and the 16 nearest"),
    ):
        with pytest.raises(ValueError, match=message):
            T5LMConfig(vocab_size=50, **more)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@torch.no_grad()
def test_half_precision_is_near(tmp_path, dtype):
    theirs = reference("near")
    theirs.save_pretrained(tmp_path)
    ours = read(tmp_path, theirs.config.to_dict())
    want = logits(ours, IDS, TARGETS, mask=MASK)
    half = ours.to(dtype)
    found = logits(half, IDS, TARGETS, mask=MASK)
    assert (
        found.dtype is dtype
        and (found - want).norm() < (0.02 if dtype is torch.float16 else 0.1) * want.norm()
    )
    begun = prefill(half, IDS, 2, mask=MASK)
    assert begun["cache.block1"].dtype is dtype
    after = step(half, begun, TARGETS[:, :1])["logits"]
    assert (after - found[:, 1]).norm() < 0.02 * found[:, 1].norm()


def test_all_weights_get_gradients(tmp_path):
    theirs = reference("flan")
    theirs.save_pretrained(tmp_path)
    ours = read(tmp_path, theirs.config.to_dict())
    logits(ours, IDS, TARGETS, mask=MASK).square().sum().backward()
    assert [name for name, p in ours.named_parameters() if p.grad is None or not p.grad.any()] == []
