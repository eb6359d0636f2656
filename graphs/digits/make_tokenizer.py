"""Makes weights/tokenizer.json, one id for each word: `python graphs/digits/make_tokenizer.py`."""

from __future__ import annotations

from pathlib import Path

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from mmm_data.digits.captions import all_captions

SPECIAL = ("<pad>", "<unk>", "<start>", "<end>")
LENGTH = 8  # <start> a scan of the digit seven <end>


def make_tokenizer() -> Tokenizer:
    """Words in lower case; <start> and <end> are put around every text, so that "" is not empty."""
    words = sorted({word for caption in all_captions() for word in caption.split()})
    vocab = {word: i for i, word in enumerate((*SPECIAL, *words))}
    tokenizer = Tokenizer(models.WordLevel(vocab, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<start> $A <end>", special_tokens=[(name, vocab[name]) for name in ("<start>", "<end>")]
    )
    tokenizer.add_special_tokens(list(SPECIAL))
    tokenizer.enable_truncation(LENGTH)
    tokenizer.enable_padding(length=LENGTH, pad_id=vocab["<pad>"], pad_token="<pad>")
    return tokenizer


if __name__ == "__main__":
    make_tokenizer().save(str(Path(__file__).parent / "weights" / "tokenizer.json"))
