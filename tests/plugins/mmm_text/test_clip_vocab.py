"""CLIP's vocabulary read through the tokenizers library, against transformers' CLIPTokenizer."""

import gzip
import json

import pytest

from mmm_graph.errors import InputError
from mmm_text.clip_vocab import END, START
from mmm_text.config import TokenizerConfig
from mmm_text.tokenizer import HfTokenizer

PROMPTS = [
    "",
    " ",
    "a photo of a red car",
    "A  Photo,\tof\n\na   CAR ",
    "Un CAFÉ très élégant",
    "Un cafe\u0301 d\u00e9compos\u00e9",
    "1234 photos in 2024, 3.14%",
    "it's, don't; we'll (they've) I'M?!",
    "wow!!! ... --- !a! ((red:1.3))",
    "an astronaut 🚀👩\u200d🚀 riding a horse 🐎",
    "日本語の写真, Привет мир",
    "İstanbul ẞ ǅ ﬁ",
    "non\u00a0breaking\u2003spaces\u200bhere",
    "½ ² Ⅷ ١٢٣",
    f"ends{END}early <|ENDOFTEXT|> {START}a",
    "control\x00\x07 characters",
    "under_score e-mail@x.org #tag",
]


@pytest.mark.parity
@pytest.mark.parametrize(
    ("pad", "pad_text"),
    [
        (END, END),
        ({"content": END, "lstrip": False, "normalized": True, "rstrip": False, "single_word": False}, END),
        ("!", "!"),
    ],
)
def test_ids_are_those_of_transformers(clip_folder, pad, pad_text):
    compare(clip_folder(pad), pad_text)


@pytest.mark.parity
def test_ids_are_those_of_transformers_where_added_tokens_are_listed(clip_folder):
    flags = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False, "special": True}
    first = {"0": {"content": "!", **flags}}
    folder = clip_folder("!")
    size = len(json.loads((folder / "vocab.json").read_text()))
    last = {str(size - 2): {"content": START, **flags}, str(size - 1): {"content": END, **flags}}
    more = {str(size): {"content": "<sks>", **flags, "special": False, "normalized": True}}
    folder = clip_folder("!", added_tokens_decoder=first | last | more)
    compare(folder, "!", [*PROMPTS, "a <sks> dog", "A <SKS>dog"])


@pytest.mark.parity
def test_ids_are_those_of_transformers_with_a_file_of_added_tokens(clip_folder):
    folder = clip_folder()
    size = len(json.loads((folder / "vocab.json").read_text()))
    (folder / "added_tokens.json").write_text(json.dumps({"<b>": size + 1, "<a>": size}))
    compare(folder, END, [*PROMPTS, "a <a> dog", "A <B><A>dog"])


@pytest.mark.parity
def test_ids_are_those_of_transformers_from_the_file_of_merges(clip_folder, tmp_path):
    """The vocabulary follows from the merges: the order of vocab.json is that of OpenAI."""
    from transformers import CLIPTokenizer

    theirs = CLIPTokenizer.from_pretrained(str(clip_folder()))
    merges = (tmp_path / "merges.txt").read_text(encoding="utf-8")
    with gzip.open(tmp_path / "pairs.txt.gz", "wt", encoding="utf-8") as stream:
        stream.write(f'"pairs.txt{merges}')
    ours = HfTokenizer(
        TokenizerConfig(pad="max_length", max_length=77, pad_token="!"), tmp_path / "pairs.txt.gz"
    )
    want = theirs(PROMPTS, truncation=True, max_length=77)["input_ids"]
    got = ours.encode(PROMPTS)
    assert [row[mask].tolist() for row, mask in zip(got["ids"], got["mask"], strict=True)] == want
    assert ours.pad_id == 0 and ours.tokenizer.get_vocab_size() == len(theirs)
    assert ours.decode(got["ids"][:, :20]) == theirs.batch_decode(
        got["ids"][:, :20], skip_special_tokens=True
    )


@pytest.mark.parametrize(
    "content", [b"no archive", gzip.compress(b"#version\na b c\n", mtime=0), gzip.compress(b"a b\n", mtime=0)]
)
def test_another_file_in_place_of_the_merges(tmp_path, content):
    (tmp_path / "pairs.txt.gz").write_bytes(content)
    with pytest.raises(InputError, match="E607"):
        HfTokenizer(TokenizerConfig(), tmp_path / "pairs.txt.gz")


def compare(folder, pad_text, prompts=PROMPTS):
    from transformers import CLIPTokenizer

    theirs = CLIPTokenizer.from_pretrained(str(folder))
    want = theirs(prompts, padding="max_length", max_length=77, truncation=True, return_tensors="pt")
    ours = HfTokenizer(TokenizerConfig(pad="max_length"), folder)
    got = ours.encode(prompts)
    assert got["ids"].shape == (len(prompts), 77)
    for text, a, b in zip(prompts, got["ids"].tolist(), want["input_ids"].tolist(), strict=True):
        assert a == b, text
    assert got["mask"].int().tolist() == want["attention_mask"].tolist()
    assert ours.pad_id == theirs.pad_token_id == theirs.convert_tokens_to_ids(pad_text)
    assert ours.decode(got["ids"]) == theirs.batch_decode(want["input_ids"], skip_special_tokens=True)


def test_the_settings_may_be_absent(clip_folder):
    folder = clip_folder()
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        (folder / name).unlink()
    ours = HfTokenizer(TokenizerConfig(pad="max_length", max_length=9, pad_token=END), folder)
    row = ours.encode(["a red car"])["ids"][0].tolist()
    assert row[0] == ours.tokenizer.token_to_id(START) and row[-1] == ours.tokenizer.token_to_id(END)


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"tokenizer_class": "RobertaTokenizer"}, r"of a RobertaTokenizer; only CLIP's")],
)
def test_other_tokenizers_with_files_of_these_names_are_refused(clip_folder, settings, message):
    with pytest.raises(InputError, match=message):
        HfTokenizer(TokenizerConfig(), clip_folder(**settings))


def test_a_vocabulary_without_ends_of_words_is_refused(clip_folder):
    folder = clip_folder()
    (folder / "vocab.json").write_text(json.dumps({"a": 0, START: 1, END: 2}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    with pytest.raises(InputError, match=r"no token of vocab\.json ends with </w>"):
        HfTokenizer(TokenizerConfig(), folder)


def test_broken_merges_are_an_error_of_the_input(clip_folder):
    folder = clip_folder()
    (folder / "merges.txt").write_text("#version: 0.2\na b c\n")
    with pytest.raises(InputError, match="is not a tokenizer file"):
        HfTokenizer(TokenizerConfig(), folder)
