"""Folders of tokenizers as transformers writes them; broken ones are errors of the input."""

import json

import pytest
import torch

from mmm_graph.errors import InputError, RunError
from mmm_text.chat_config import DecodeConfig
from mmm_text.config import TokenizerConfig
from mmm_text.tokenizer import HfTokenizer
from mmm_text.tokenizer_files import read_settings
from tests.plugins.mmm_text.chat_cases import KINDS, SMOLLM2, TEXTS, ZEPHYR, byte_pairs, save

HARD = [
    *TEXTS,
    "",
    " ",
    "  two  spaces ",
    "héllo 🚀 日本語",
    "<s>x</s> <|im_end|>",
    "12.5 + 1,000\r\n\t",
    "<image>\n?",
]


def open_(folder, **config):
    return HfTokenizer(TokenizerConfig(**config), folder)


@pytest.mark.parity
@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("kind", KINDS)
def test_ids_and_texts_are_those_of_transformers(tmp_path, kind, side):
    theirs = save(tmp_path, kind)
    ours = open_(tmp_path, pad_side=side)
    for special in (True, False):
        want = theirs(HARD, padding=True, padding_side=side, return_tensors="pt", add_special_tokens=special)
        got = open_(tmp_path, pad_side=side, add_special=special).encode(HARD)
        assert torch.equal(got["ids"], want["input_ids"])
        assert torch.equal(got["mask"], want["attention_mask"].bool())
    for skip in (True, False):
        want = theirs.batch_decode(got["ids"], skip_special_tokens=skip, clean_up_tokenization_spaces=False)
        assert ours.decode(got["ids"], config=DecodeConfig(skip_special=skip)) == want


@pytest.mark.parity
def test_begin_and_end_tokens_are_those_that_the_settings_ask_for(tmp_path):
    """OPT: a tokenizer.json without them, and `add_bos_token` beside it."""
    from transformers import AutoTokenizer

    save(tmp_path, "bytes", add_bos_token=True)
    theirs = AutoTokenizer.from_pretrained(tmp_path)
    want = theirs("Hello")["input_ids"]
    assert open_(tmp_path).encode(["Hello"])["ids"].tolist() == [want]
    assert want[0] == theirs.bos_token_id


@pytest.mark.parity
def test_files_of_gpt_2_and_opt(tmp_path):
    """vocab.json and merges.txt, as the repositories of OPT have them."""
    from transformers import GPT2Tokenizer

    model = json.loads(byte_pairs().to_str())["model"]
    vocabulary = {**model["vocab"], "</s>": len(model["vocab"]), "<pad>": len(model["vocab"]) + 1}
    (tmp_path / "vocab.json").write_text(json.dumps(vocabulary))
    merges = "\n".join(" ".join(pair) for pair in model["merges"])
    (tmp_path / "merges.txt").write_text(f"#version: 0.2\n{merges}\n")
    settings = {"bos_token": "</s>", "eos_token": "</s>", "unk_token": "</s>", "pad_token": "<pad>"}
    config = {
        **settings,
        "add_bos_token": True,
        "tokenizer_class": "GPT2Tokenizer",
        "model_max_length": 10**30,
    }
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    theirs = GPT2Tokenizer.from_pretrained(tmp_path)
    ours = open_(tmp_path)
    got = ours.encode(HARD)
    want = theirs(HARD, padding=True, return_tensors="pt", padding_side="right")
    assert torch.equal(got["ids"], want["input_ids"]) and torch.equal(
        got["mask"], want["attention_mask"].bool()
    )
    assert (ours.max_length, ours.pad_id) == (None, theirs.pad_token_id)
    (tmp_path / "merges.txt").write_text("a b c\n")
    with pytest.raises(InputError, match=r"E607.*does not hold a pair a line"):
        open_(tmp_path)


def test_added_tokens_are_appended_in_order_and_are_special(tmp_path):
    save(tmp_path, "bytes")
    plain = open_(tmp_path)
    size = plain.tokenizer.get_vocab_size()
    ours = open_(tmp_path, add_tokens=["<img1>", "<s>", "<img0>"])
    ids = ours.encode(["a<img0>b<img1><s>"])["ids"][0].tolist()
    assert [i for i in ids if i >= size] == [size + 1, size]
    assert ours.tokenizer.token_to_id("<s>") == plain.tokenizer.token_to_id("<s>")
    assert ours.decode(torch.tensor([ids])) == ["ab"]


def test_padding_with_the_end_token_is_for_those_who_ask(tmp_path):
    save(tmp_path, "bytes", pad_token=None)
    with pytest.raises(RunError, match=r"E707.*no padding token(.|\n)*`eos`"):
        open_(tmp_path).encode(["a", "a b c d e"])
    ours = open_(tmp_path, pad_token="eos", pad_side="left")
    got = ours.encode(["a", "a b c d e"])
    assert got["ids"][0, 0] == ours.tokenizer.token_to_id("</s>") and not got["mask"][0, 0]
    save(tmp_path, "bytes", pad_token=None, eos_token=None)
    with pytest.raises(InputError, match=r"E608.*no token that ends a text"):
        open_(tmp_path, pad_token="eos")


def test_the_side_of_the_padding_is_that_of_the_file_unless_told(tmp_path):
    save(tmp_path, "bytes", padding_side="left")
    assert open_(tmp_path).padding.left and not open_(tmp_path, pad_side="right").padding.left
    with pytest.raises(InputError, match=r"E608.*padded on the right"):
        open_(tmp_path, chunk=True, max_length=9)


@pytest.mark.parametrize(
    "where", ["tokenizer_config.json", "chat_template.jinja", "chat_template.json", "named"]
)
def test_a_template_is_found_where_versions_of_transformers_put_it(tmp_path, where):
    save(tmp_path, "bytes")
    file = tmp_path / "tokenizer_config.json"
    settings = json.loads(file.read_text())
    if where == "tokenizer_config.json":
        file.write_text(json.dumps({**settings, "chat_template": SMOLLM2}))
    elif where == "chat_template.jinja":
        file.write_text(json.dumps({**settings, "chat_template": "old"}))
        (tmp_path / where).write_text(SMOLLM2)
    elif where == "chat_template.json":
        (tmp_path / where).write_text(json.dumps({"chat_template": SMOLLM2}))
    else:
        both = [{"name": "default", "template": SMOLLM2}, {"name": "rag", "template": ZEPHYR}]
        file.write_text(json.dumps({**settings, "chat_template": both}))
    ours = open_(tmp_path)
    assert ours.chats.template(None).template.render is not None
    assert ours.chats.own["default"] == SMOLLM2
    assert where != "named" or ours.chats.own["rag"] == ZEPHYR


def test_placeholders_are_found_beside_the_processor_and_must_be_tokens(tmp_path):
    save(tmp_path, "bytes")
    assert open_(tmp_path).chats.media_tokens == {}
    (tmp_path / "processor_config.json").write_text(
        json.dumps({"image_token": "<image>", "video_token": "<video>"})
    )
    assert open_(tmp_path).chats.media_tokens == {"image": "<image>"}
    config = {"media_tokens": {"image": "<img>"}}
    with pytest.raises(
        InputError, match=r"E608.*no token '<img>' in place of image(.|\n)*add_tokens: \['<img>'\]"
    ):
        open_(tmp_path, **config)
    assert open_(tmp_path, add_tokens=["<img>"], **config).chats.media_tokens["image"] == "<img>"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("tokenizer.json", "{", "is not a tokenizer file"),
        ("tokenizer.json", "", "is not a tokenizer file"),
        (
            "tokenizer.json",
            '{"model": {"type": "BPE", "vocab": {"a": 0}, "merges": ["a b"]}}',
            "is not a tokenizer file",
        ),
        ("tokenizer_config.json", "[]", "holds a list; it should be an object"),
        ("tokenizer_config.json", '{"eos_token": 3}', "eos_token is 3; it should be a text"),
        ("tokenizer_config.json", '{"chat_template": 3}', "the chat_template of .* is no text"),
        (
            "tokenizer_config.json",
            '{"chat_template": [{"name": "default"}]}',
            "the chat_template of .* is no text",
        ),
        ("processor_config.json", "{", "is not JSON"),
        ("special_tokens_map.json", "\ud800", "is not JSON"),
    ],
)
def test_broken_files_are_errors_of_the_input(tmp_path, name, content, message):
    save(tmp_path, "bytes")
    (tmp_path / name).write_bytes(content.encode("utf-8", "surrogatepass"))
    with pytest.raises(InputError, match=message) as caught:
        open_(tmp_path)
    assert caught.value.problems[0].code == "E607"


def test_a_folder_without_settings_has_none(tmp_path):
    assert read_settings(tmp_path) == {"chat_templates": {}}
