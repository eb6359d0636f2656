"""transformers' configs and files of CLIP text models."""

import pytest

from mmm_graph.checkpoint.load import load_module
from mmm_graph.checkpoint.reader import open_checkpoint
from mmm_text.config import TextEncoderConfig
from mmm_text.foreign import LAYOUTS, read_plain, read_projected, write_text_config
from mmm_text.model import TextEncoder

SIZES = {
    "vocab_size": 60,
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 40,
    "max_position_embeddings": 12,
    "projection_dim": 10,
    "eos_token_id": 59,
    "bos_token_id": 58,
    "pad_token_id": 59,
}
READ = {"CLIPTextModel": read_plain, "CLIPTextModelWithProjection": read_projected}


def reference(name, **more):
    import transformers

    return getattr(transformers, name)(transformers.CLIPTextConfig(**{**SIZES, **more}))


@pytest.mark.parity
@pytest.mark.parametrize("name", list(READ))
@pytest.mark.parametrize("act", ["quick_gelu", "gelu", "gelu_new"])
def test_configs_go_both_ways(name, act):
    theirs = reference(name, hidden_act=act, layer_norm_eps=1e-6)
    config = TextEncoderConfig(**READ[name](theirs.config.to_dict()))
    written = write_text_config(config)
    assert written["architectures"] == [name]
    again = reference(name, **written)
    shapes = {k: v.shape for k, v in theirs.state_dict().items()}
    assert {k: v.shape for k, v in again.state_dict().items()} == shapes
    assert again.config.hidden_act == act and again.config.layer_norm_eps == 1e-6
    assert TextEncoderConfig(**READ[name](written)) == config


@pytest.mark.parity
@pytest.mark.parametrize("name", list(READ))
@pytest.mark.parametrize("old", [False, True])
def test_files_in_all_forms_are_read_whole(tmp_path, name, old):
    import torch
    from safetensors.torch import load_file, save_file

    theirs = reference(name)
    theirs.save_pretrained(tmp_path)
    file = tmp_path / "model.safetensors"
    if old:  # as on the hub: with a prefix, and the positions
        state = load_file(file)
        state = {
            k if k.startswith(("text_model.", "text_projection")) else f"text_model.{k}": v
            for k, v in state.items()
        }
        state["text_model.embeddings.position_ids"] = torch.arange(12)[None]
        save_file(state, file)
    config = TextEncoderConfig(**READ[name](theirs.config.to_dict()))
    ours = TextEncoder(config)
    load_module(ours, open_checkpoint(file), layouts=LAYOUTS, config=config)
    ids = torch.tensor([[58, 3, 4, 59]])
    with torch.no_grad():
        want, got = theirs(ids), ours({"ids": ids})
    assert torch.allclose(got["embeds"], want.last_hidden_state, atol=1e-5)
    pooled = want.pooler_output if name == "CLIPTextModel" else want.text_embeds
    assert torch.allclose(got["pooled"], pooled, atol=1e-5)


@pytest.mark.parity
@pytest.mark.parametrize("name", list(READ))
def test_transformers_reads_what_the_first_layout_writes(tmp_path, name):
    import json

    import torch
    import transformers
    from safetensors.torch import save_file

    config = TextEncoderConfig(**READ[name](SIZES))
    ours = TextEncoder(config)
    names = [key.removeprefix("parts.") for key in ours.state_dict()]
    where = LAYOUTS[0].theirs(names, config)
    save_file(
        {where[n].names[0]: v for n, v in zip(names, ours.state_dict().values(), strict=True)},
        tmp_path / "model.safetensors",
        {"format": "pt"},
    )
    (tmp_path / "config.json").write_text(json.dumps(write_text_config(config)))
    theirs = getattr(transformers, name).from_pretrained(tmp_path)
    ids = torch.tensor([[58, 3, 4, 59]])
    with torch.no_grad():
        assert torch.allclose(
            theirs(ids)[1 if name == "CLIPTextModel" else 0], ours({"ids": ids})["pooled"], atol=1e-5
        )


def test_an_eos_of_2_is_the_old_rule():
    assert TextEncoderConfig(**read_plain({"eos_token_id": 2})).pool == "argmax"
    assert write_text_config(TextEncoderConfig(pool="argmax"))["eos_token_id"] == 2
    assert TextEncoderConfig(**read_plain({})).eos_id == 49407


@pytest.mark.parametrize(
    ("theirs", "message"),
    [
        ({"hidden_act": "relu"}, "hidden_act: 'relu' is not supported; expected one of quick_gelu"),
        ({"eos_token_id": [1, 2]}, r"eos_token_id: \[1, 2\] is not supported"),
        ({"use_rotary": True}, "use_rotary: True is not supported"),
    ],
)
def test_what_we_do_not_compute_is_refused(theirs, message):
    with pytest.raises(ValueError, match=message):
        read_plain(theirs)


@pytest.mark.parametrize(
    ("ours", "message"),
    [
        ({"causal": False}, "causal: false cannot be written"),
        ({"pool": "mean"}, "pool: mean"),
        ({"eos_id": 2}, "eos_id 2 cannot be written"),
    ],
)
def test_what_they_cannot_say_is_not_written(ours, message):
    with pytest.raises(ValueError, match=message):
        write_text_config(TextEncoderConfig(**ours))
