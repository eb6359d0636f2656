"""Tokens that a vocabulary gets more of than a file of weights has rows for."""

import pytest
import torch

from mmm_graph.api.session import Session
from mmm_graph.checkpoint.load import load_module
from mmm_graph.checkpoint.reader import open_checkpoint
from mmm_graph.checkpoint.save import save_foreign
from mmm_graph.errors import RunError
from mmm_graph.registry import load_registry
from mmm_llm.config import DecoderConfig
from mmm_llm.layouts import LAYOUTS
from mmm_llm.model import Decoder
from tests.plugins.mmm_llm.tiny import CASES, VOCAB, layout_of, logits, reference

NEW = 4
IDS = torch.randint(1, VOCAB, (2, 7), generator=torch.Generator().manual_seed(0))
GRAPH = """
mmm: 1
name: grown
inputs: {ids: "Ids[b,t]"}
models:
  llm: {kind: llm.decoder, weights: "file:theirs", config: {vocab_size: %d, new_tokens: %d}}
nodes:
  words: {call: llm.embed, in: {ids: $in.ids}}
  lm: {call: llm.logits, in: {embeds: words}}
outputs: {logits: lm.logits, words: words}
"""


def read(path, settings, more=NEW):
    said = layout_of("LlamaForCausalLM").read_config(settings)
    config = DecoderConfig.model_validate({**said, "vocab_size": VOCAB + more, "new_tokens": more})
    with torch.device("meta"):
        model = Decoder(config)
    load_module(model, open_checkpoint(path), layouts=LAYOUTS, config=config)
    return model.eval(), config


@pytest.mark.parity
@pytest.mark.parametrize("case", ["llama", "llama-grouped"])
def test_a_full_vocabulary_gets_more_tokens(tmp_path, case):
    """The second one has one table for both sides."""
    name, settings = CASES[case]
    theirs = reference(name, settings)
    theirs.save_pretrained(tmp_path)
    ours, config = read(tmp_path, theirs.config.to_dict())
    with torch.no_grad():
        torch.testing.assert_close(logits(ours, IDS)[..., :VOCAB], theirs(IDS).logits, rtol=1e-4, atol=1e-4)
    again, _ = read(tmp_path, theirs.config.to_dict())
    for table in ("parts.embed.token.weight", "parts.head.out.weight"):
        rows, same = ours.state_dict()[table], again.state_dict()[table]
        assert torch.equal(rows, same), "every process has the same"
        old, new = rows[:VOCAB], rows[VOCAB:]
        assert float(torch.cdist(new, new).add(torch.eye(NEW) * 1e9).min()) > float(old.std())
        assert 0.5 < float(new.std() / old.std()) < 2
    assert torch.equal(ours.parts["embed"].token.weight, ours.parts["head"].out.weight) == config.tied
    layout = layout_of(name)
    (tmp_path / "whole").mkdir()
    save_foreign(ours, tmp_path / "whole" / layout.file, layout, config)
    assert layout.write_config(config)["vocab_size"] == VOCAB + NEW
    whole, _ = read(tmp_path / "whole", theirs.config.to_dict())  # now the file has them
    assert all(torch.equal(v, whole.state_dict()[k]) for k, v in ours.state_dict().items())


def test_it_is_said_and_no_more_rows_may_lack(tmp_path):
    theirs = reference(*CASES["llama"])
    theirs.save_pretrained(tmp_path / "theirs")
    (tmp_path / "grown.yaml").write_text(GRAPH % (VOCAB + NEW, NEW))
    found = Session(tmp_path / "grown.yaml", registry=load_registry(allow=["mmm-graph"])).run(
        ids=torch.tensor([[VOCAB, 1, VOCAB + NEW - 1]])
    )
    assert found["logits"].shape == (1, 3, VOCAB + NEW) and bool(found["logits"].isfinite().all())
    with torch.no_grad():
        torch.testing.assert_close(found["words"][0, 1], theirs.model.embed_tokens.weight[1])
    settings = theirs.config.to_dict()
    said = layout_of("LlamaForCausalLM").read_config(settings)
    for more in ({}, {"new_tokens": NEW - 1}):
        config = DecoderConfig.model_validate({**said, "vocab_size": VOCAB + NEW, **more})
        with torch.device("meta"):
            model = Decoder(config)
        with pytest.raises(
            RunError, match=rf"E610.*\[{VOCAB}, 24\] in the file, \[{VOCAB + NEW}, 24\] in the model"
        ):
            load_module(model, open_checkpoint(tmp_path / "theirs"), layouts=LAYOUTS, config=config)
    for wrong, match in (
        ({"new_tokens": 99}, "99 are not a part"),
        ({"new_tokens": 2, "extra_tokens": 2}, "of their own"),
    ):
        with pytest.raises(ValueError, match=match):
            DecoderConfig(vocab_size=40, **wrong)
