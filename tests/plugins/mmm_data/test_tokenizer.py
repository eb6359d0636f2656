"""The committed tokenizer is the one that the code makes, and knows every caption."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

from tokenizers import Tokenizer

from mmm_data.digits.captions import all_captions

DIGITS = Path(__file__).parents[3] / "graphs" / "digits"


def test_committed_tokenizer_is_what_the_code_makes() -> None:
    made = runpy.run_path(str(DIGITS / "make_tokenizer.py"))["make_tokenizer"]()
    committed = (DIGITS / "weights" / "tokenizer.json").read_text(encoding="utf-8")
    assert json.loads(made.to_str()) == json.loads(committed)


def test_every_caption_fits_without_unknown_words() -> None:
    tokenizer = Tokenizer.from_file(str(DIGITS / "weights" / "tokenizer.json"))
    unknown = tokenizer.token_to_id("<unk>")
    for text in ["", "A Scan OF the digit seven", *all_captions()]:
        ids = tokenizer.encode(text).ids
        assert len(ids) == 8 and unknown not in ids
    assert unknown in tokenizer.encode("eleven").ids
    assert tokenizer.get_vocab_size() == 32
