"""The files in which decoders stand, read and written."""

import json

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from mmm_graph.checkpoint.load import load_module
from mmm_graph.checkpoint.reader import open_checkpoint
from mmm_graph.checkpoint.save import save_foreign
from mmm_graph.errors import RunError
from mmm_llm.config import DecoderConfig
from mmm_llm.layouts import LAYOUTS
from mmm_llm.model import Decoder
from tests.plugins.mmm_llm.tiny import CASES, VOCAB, layout_of, logits, pair, read, reference

pytestmark = pytest.mark.parity
IDS = torch.randint(1, VOCAB, (2, 7), generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("case", list(CASES))
def test_transformers_reads_what_is_written(tmp_path, case):
    name = CASES[case][0]
    ours, config, theirs = pair(tmp_path / "theirs", *CASES[case])
    layout = layout_of(name)
    out = tmp_path / "ours"
    out.mkdir()
    save_foreign(ours, out / layout.file, layout, config)
    (out / "config.json").write_text(json.dumps(layout.write_config(config)))
    again, report = getattr(transformers, name).from_pretrained(out, output_loading_info=True)
    assert not any(report.values()), report
    want, found = theirs.state_dict(), again.state_dict()
    assert want.keys() == found.keys() and all(torch.equal(want[key], found[key]) for key in want)
    with torch.no_grad():
        assert torch.equal(again.eval()(IDS).logits, theirs(IDS).logits)


LLAVA = {
    "transformers": ("language_model.model", "language_model.lm_head", ""),
    "in memory": ("model.language_model", "lm_head", "model."),
    "original": ("model", "lm_head", "model."),
}
"""Where the blocks, the logits and what is not the decoder's stand."""


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("name", list(LLAVA))
def test_a_decoder_beside_a_vision_tower(tmp_path, name, tied):
    under, head, beside = LLAVA[name]
    theirs = reference("LlamaForCausalLM", {**CASES["llama"][1], "tie_word_embeddings": tied})
    vision = ("vision_tower.patch.weight", "multi_modal_projector.linear_1.bias", "image_newline")
    file = {beside + key: torch.zeros(3) for key in vision}
    for key, value in theirs.state_dict().items():
        if key == "lm_head.weight" and not tied:
            file[f"{head}.weight"] = value.clone()
        elif key != "lm_head.weight":
            file[under + key.removeprefix("model")] = value.clone()
    save_file(file, tmp_path / "model.safetensors")
    ours, _ = read(tmp_path, "LlamaForCausalLM", theirs.config.to_dict())
    with torch.no_grad():
        assert (logits(ours, IDS) - theirs(IDS).logits).abs().max() < 1e-5


@pytest.mark.parametrize("case", ["mistral", "opt-after", "qwen2-tied"])
def test_a_decoder_below_a_prefix(tmp_path, case):
    theirs = reference(*CASES[case])
    file = {f"language_model.{key}": value.clone() for key, value in theirs.state_dict().items()}
    save_file({**file, "vision_model.x": torch.zeros(2)}, tmp_path / "model.safetensors")
    config = DecoderConfig.model_validate(layout_of(CASES[case][0]).read_config(theirs.config.to_dict()))
    ours = Decoder(config).eval()
    checkpoint = open_checkpoint(tmp_path)
    load_module(ours, checkpoint, prefix="language_model", layouts=LAYOUTS, config=config)
    with torch.no_grad():
        assert (logits(ours, IDS) - theirs(IDS).logits).abs().max() < 1e-5


def test_old_files_of_gpt2_have_no_prefix_and_hold_masks(tmp_path):
    theirs = reference(*CASES["gpt2"])
    file = {
        k.removeprefix("transformer."): v.clone()
        for k, v in theirs.state_dict().items()
        if "lm_head" not in k
    }
    masks = {"h.0.attn.bias": torch.ones(1, 1, 4, 4), "h.1.attn.masked_bias": torch.tensor(-1e4)}
    save_file({**file, **masks}, tmp_path / "model.safetensors")
    ours, _ = read(tmp_path, "GPT2LMHeadModel", theirs.config.to_dict())
    with torch.no_grad():
        assert (logits(ours, IDS) - theirs(IDS).logits).abs().max() < 1e-5


def test_old_files_of_llama_hold_frequencies(tmp_path):
    theirs = reference(*CASES["llama"])
    more = {"model.layers.1.self_attn.rotary_emb.inv_freq": torch.zeros(3)}
    save_file(
        {**{k: v.clone() for k, v in theirs.state_dict().items()}, **more}, tmp_path / "model.safetensors"
    )
    read(tmp_path, "LlamaForCausalLM", theirs.config.to_dict())


@pytest.mark.parametrize("tied", [False, True])
def test_logits_of_a_tied_model_come_from_the_embedding_whatever_else_is_there(tmp_path, tied):
    theirs = reference("LlamaForCausalLM", {**CASES["llama"][1], "tie_word_embeddings": tied})
    theirs.save_pretrained(tmp_path)
    file = load_file(tmp_path / "model.safetensors")
    save_file({**file, "lm_head.weight": torch.ones(VOCAB, 24)}, tmp_path / "model.safetensors")
    ours, _ = read(tmp_path, "LlamaForCausalLM", theirs.config.to_dict())
    is_table = ours.parts["head"].out.weight is ours.parts["embed"].token.weight
    assert is_table is tied and bool((ours.parts["head"].out.weight == 1).all()) is not tied


def test_what_is_missing_or_too_much_is_named(tmp_path):
    theirs = reference(*CASES["llama"])
    file = {k: v.clone() for k, v in theirs.state_dict().items() if "layers.1.mlp.up_proj" not in k}
    save_file({**file, "model.layers.0.mlp.extra.weight": torch.zeros(2)}, tmp_path / "model.safetensors")
    with pytest.raises(RunError, match=r"block1\.mlp\.up\.weight.*model\.layers\.0\.mlp\.extra\.weight"):
        read(tmp_path, "LlamaForCausalLM", theirs.config.to_dict())
