"""transformers' configs and files of T5."""

import pytest
import torch

from mmm_graph.checkpoint.load import load_module
from mmm_graph.checkpoint.reader import open_checkpoint
from mmm_t5.config import T5Config
from mmm_t5.foreign import FORWARD, LAYOUTS, read_config, write_config
from mmm_t5.model import T5Encoder

SIZES = {"vocab_size": 50, "d_model": 16, "d_kv": 6, "d_ff": 24, "num_layers": 2, "num_heads": 2}


def reference(name="T5EncoderModel", **more):
    import transformers

    return getattr(transformers, name)(transformers.T5Config(**{**SIZES, **more})).eval()


@pytest.mark.parity
@pytest.mark.parametrize("forward", [*FORWARD, "gated-gelu, gelu"])
def test_configs_go_both_ways(forward):
    name, _, act = forward.partition(", ")
    sizes = {"relative_attention_num_buckets": 8, "layer_norm_epsilon": 1e-5}
    theirs = reference(feed_forward_proj=name, **({"dense_act_fn": act} if act else {}), **sizes)
    config = T5Config(**read_config(theirs.config.to_dict()))
    again = reference(**{k: v for k, v in write_config(config).items() if k != "model_type"})
    assert {k: v.shape for k, v in again.state_dict().items()} == {
        k: v.shape for k, v in theirs.state_dict().items()
    }
    assert T5Config(**read_config(again.config.to_dict())) == config
    for field in ("dense_act_fn", "is_gated_act", "relative_attention_num_buckets", "layer_norm_epsilon"):
        assert getattr(again.config, field) == getattr(theirs.config, field)


@pytest.mark.parity
def test_missing_fields_are_their_defaults():
    import transformers

    assert read_config({}) == read_config(transformers.T5Config().to_dict())


@pytest.mark.parity
@pytest.mark.parametrize(
    "names", [("shared",), ("encoder.embed_tokens",), ("shared", "encoder.embed_tokens")]
)
@pytest.mark.parametrize("forward", ["gated-gelu", "relu"])
def test_the_embedding_may_have_either_name_or_both(tmp_path, names, forward):
    from safetensors.torch import save_file

    theirs = reference(feed_forward_proj=forward)
    state = {k: v.clone() for k, v in theirs.state_dict().items()}
    tokens = state.pop("shared.weight")
    del state["encoder.embed_tokens.weight"]
    save_file({**state, **{f"{n}.weight": tokens.clone() for n in names}}, tmp_path / "model.safetensors")
    compare(tmp_path / "model.safetensors", theirs)


@pytest.mark.parity
@pytest.mark.parametrize("forward", ["gated-gelu", "relu"])
def test_files_as_saved_and_of_the_whole_t5_are_read(tmp_path, forward):
    for name in ("T5EncoderModel", "T5ForConditionalGeneration", "T5Model"):
        theirs = reference(name, feed_forward_proj=forward)
        theirs.save_pretrained(tmp_path / name)
        compare(tmp_path / name / "model.safetensors", theirs)
        assert (name in LAYOUTS[0].classes) is (name != "T5ForConditionalGeneration")  # which is llm.t5's


@pytest.mark.parity
def test_transformers_reads_what_the_first_layout_writes(tmp_path):
    import json

    import transformers
    from safetensors.torch import save_file

    config = T5Config(**read_config(SIZES))
    ours = T5Encoder(config)
    state = {key.removeprefix("parts."): value for key, value in ours.state_dict().items()}
    where = LAYOUTS[0].theirs(state, config)
    file = tmp_path / "model.safetensors"
    save_file({where[n].names[0]: v for n, v in state.items()}, file, {"format": "pt"})
    (tmp_path / "config.json").write_text(json.dumps(write_config(config)))
    compare(file, transformers.T5EncoderModel.from_pretrained(tmp_path))


def compare(file, theirs):
    config = T5Config(**read_config(theirs.config.to_dict()))
    ours = T5Encoder(config)
    load_module(ours, open_checkpoint(file), layouts=LAYOUTS, config=config)
    ids = torch.tensor([[5, 3, 4, 1, 20]])
    encoder = theirs if type(theirs).__name__ == "T5EncoderModel" else theirs.get_encoder()
    with torch.no_grad():
        want, got = encoder(input_ids=ids).last_hidden_state, ours({"ids": ids})["embeds"]
    assert torch.allclose(got, want, atol=1e-5)


@pytest.mark.parametrize(
    ("theirs", "message"),
    [
        (
            {"feed_forward_proj": "gated-silu"},
            "feed_forward_proj: 'gated-silu' is not supported; expected one of",
        ),
        ({"feed_forward_proj": "gated-gelu", "dense_act_fn": "silu"}, "dense_act_fn: 'silu'"),
        ({"feed_forward_proj": "gated-gelu", "is_gated_act": False}, "is_gated_act: False"),
        ({"is_decoder": True}, "is_decoder: True is not supported; expected False"),
        ({"model_type": "umt5"}, "model_type: 'umt5' is not supported"),
        ({"quantization_config": {}}, "quantization_config: {} is not supported"),
    ],
)
def test_what_we_do_not_compute_is_refused(theirs, message):
    with pytest.raises(ValueError, match=message):
        read_config(theirs)
