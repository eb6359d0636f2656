import json
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from mmm_graph.errors import InputError, RunError
from mmm_text.config import TokenizerConfig
from mmm_text.tokenizer import HfTokenizer

VOCAB = {"<pad>": 0, "<unk>": 1, "<start>": 2, "<end>": 3, "a": 4, "red": 5, "car": 6}


def make():
    tokenizer = Tokenizer(models.WordLevel(VOCAB, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<start> $A <end>", special_tokens=[("<start>", 2), ("<end>", 3)]
    )
    tokenizer.add_special_tokens(["<pad>", "<unk>", "<start>", "<end>"])
    return tokenizer


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "tokenizer.json"
    make().save(str(path))
    return path


def test_texts_become_padded_ids_and_a_mask(file):
    got = HfTokenizer(TokenizerConfig(pad_token="<pad>"), file).encode(["a red car", "car", ""])
    assert got["ids"].tolist() == [[2, 4, 5, 6, 3], [2, 6, 3, 0, 0], [2, 3, 0, 0, 0]]
    assert got["mask"].sum(dim=1).tolist() == [5, 3, 2]
    assert (got["ids"].dtype, got["mask"].dtype) == (torch.int64, torch.bool)


def test_decoding_gives_the_words_back(file):
    tokenizer = HfTokenizer(TokenizerConfig(pad_token="<pad>"), file)
    got = tokenizer.encode(["a red car", "car"])
    assert tokenizer.decode(**got) == ["a red car", "car"]
    assert tokenizer.decode(got["ids"]) == ["a red car", "car"]


def test_a_text_that_is_too_long_is_an_error_unless_asked(file):
    config = TokenizerConfig(max_length=4, pad="max_length", pad_token="<pad>")
    with pytest.raises(
        RunError, match=r"text 1 has 5 tokens, at most 4 fit, 1 too many: 'a red car'(.|\n)*truncate: true"
    ):
        HfTokenizer(config, file).encode(["car", "a red car"])
    got = HfTokenizer(config.model_copy(update={"truncate": True}), file).encode(["car", "a red car"])
    assert got["ids"].tolist() == [[2, 6, 3, 0], [2, 4, 5, 3]]


def test_chunks_are_windows_with_start_and_end_and_as_many_for_all_texts(file):
    config = TokenizerConfig(max_length=4, chunk=True, pad_token="<pad>")
    got = HfTokenizer(config, file).encode(["a red car a red", "car"])
    assert got["ids"].tolist() == [
        [2, 4, 5, 3, 2, 6, 4, 3, 2, 5, 3, 0],
        [2, 6, 3, 0, 2, 3, 0, 0, 2, 3, 0, 0],
    ]
    assert got["mask"].int().tolist() == [[1] * 11 + [0], [1, 1, 1, 0, 1, 1, 0, 0, 1, 1, 0, 0]]
    assert HfTokenizer(config, file).decode(**got) == ["a red car a red", "car"]


def test_texts_that_fit_are_one_chunk(file):
    config = TokenizerConfig(max_length=4, chunk=True, pad_token="<pad>")
    whole = TokenizerConfig(max_length=4, pad="max_length", pad_token="<pad>")
    for texts in (["red car", ""], []):
        a, b = (HfTokenizer(each, file).encode(texts) for each in (config, whole))
        assert torch.equal(a["ids"], b["ids"]) and torch.equal(a["mask"], b["mask"])


def test_only_a_fixed_length_is_known_to_the_graph():
    assert TokenizerConfig(max_length=4, pad="max_length").length == 4
    assert TokenizerConfig(max_length=4, pad="max_length", chunk=True).length is None


def test_what_the_file_says_holds_where_the_config_is_silent(tmp_path):
    tokenizer = make()
    tokenizer.enable_truncation(4)
    tokenizer.enable_padding(length=4, pad_id=0, pad_token="<pad>")
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    ours = HfTokenizer(TokenizerConfig(), tmp_path / "tokenizer.json")
    assert ours.encode(["car"])["ids"].tolist() == [[2, 6, 3, 0]]
    with pytest.raises(RunError, match="at most 4 fit"):
        ours.encode(["a red car"])


def test_a_folder_s_tokenizer_config_is_read(file):
    settings = {"pad_token": {"content": "<end>"}, "model_max_length": 6}
    (file.parent / "tokenizer_config.json").write_text(json.dumps(settings))
    ours = HfTokenizer(TokenizerConfig(pad="max_length"), file.parent)
    assert ours.encode(["car"])["ids"].tolist() == [[2, 6, 3, 3, 3, 3]]
    alone = HfTokenizer(TokenizerConfig(), file)
    assert alone.max_length is None


def test_texts_of_different_length_need_a_padding_token(file):
    tokenizer = HfTokenizer(TokenizerConfig(), file)
    assert tokenizer.encode(["car", "red"])["ids"].tolist() == [[2, 6, 3], [2, 5, 3]]
    with pytest.raises(RunError, match="no padding token"):
        tokenizer.encode(["car", "a car"])


def test_no_texts_give_no_rows(file):
    assert HfTokenizer(TokenizerConfig(), file).encode([])["ids"].shape == (0, 0)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"pad_token": "<nil>"}, "no token '<nil>'"),
        ({"truncate": True}, "truncate: true needs max_length"),
        ({"pad": "max_length"}, "pad: max_length needs max_length"),
        ({"chunk": True}, "chunk: true needs max_length"),
        ({"chunk": True, "max_length": 2}, "max_length 2, but 2 tokens of each window are special"),
    ],
)
def test_settings_that_the_file_cannot_serve_are_refused(file, config, message):
    with pytest.raises(InputError, match=message):
        HfTokenizer(TokenizerConfig(**config), file)


def test_the_map_of_special_tokens_goes_before_the_config(file):
    (file.parent / "tokenizer_config.json").write_text(json.dumps({"pad_token": "<end>"}))
    (file.parent / "special_tokens_map.json").write_text(json.dumps({"pad_token": {"content": "<pad>"}}))
    assert HfTokenizer(TokenizerConfig(), file.parent).pad_id == 0
    listed = {"pad_token": "<end>", "added_tokens_decoder": {}}
    (file.parent / "tokenizer_config.json").write_text(json.dumps(listed))
    assert HfTokenizer(TokenizerConfig(), file.parent).pad_id == 3


def test_a_sentencepiece_model_alone_is_an_error_that_says_what_to_do(tmp_path):
    (tmp_path / "spiece.model").write_bytes(b"...")
    with pytest.raises(InputError, match=r"has a spiece\.model(.|\n)*AutoTokenizer\.from_pretrained"):
        HfTokenizer(TokenizerConfig(), tmp_path)


def test_settings_that_are_not_json_are_an_error_of_the_input(file):
    (file.parent / "tokenizer_config.json").write_text("{")
    with pytest.raises(InputError, match=r"tokenizer_config\.json is not JSON"):
        HfTokenizer(TokenizerConfig(), file.parent)


def test_missing_and_broken_files_are_errors_of_the_input(tmp_path):
    with pytest.raises(InputError, match="needs a file"):
        HfTokenizer(TokenizerConfig())
    with pytest.raises(InputError, match="there is no tokenizer at"):
        HfTokenizer(TokenizerConfig(), tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(InputError, match="is not a tokenizer file"):
        HfTokenizer(TokenizerConfig(), tmp_path)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"max_length": 0}, "max_length"),
        ({"chunk": True, "truncate": True}, "set one of them"),
        ({"chunk": True, "pad": "longest"}, "needs pad: max_length"),
    ],
)
def test_settings_without_a_meaning_are_refused(config, message):
    with pytest.raises(ValidationError, match=message):
        TokenizerConfig(**config)


def test_what_ends_a_text(tmp_path: Path) -> None:
    """The eos token, and what generation_config.json adds: chat models end a turn by another token."""
    words = {"<s>": 0, "</s>": 1, "<|end|>": 2, "a": 3}
    Tokenizer(models.WordLevel(words, "a")).save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"eos_token": "</s>"}))
    assert HfTokenizer(TokenizerConfig(), tmp_path).end_ids == (1,)
    for said, ends in ((2, (1, 2)), ([2, 3], (1, 2, 3))):
        (tmp_path / "generation_config.json").write_text(json.dumps({"eos_token_id": said}))
        assert HfTokenizer(TokenizerConfig(), tmp_path).end_ids == ends
