"""The committed tokenizer of canvases is the one that the code makes, and knows every text."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from mmm_data.canvas.config import CanvasConfig, QuestionsConfig
from mmm_data.canvas.dataset import Canvases, Questions
from mmm_data.canvas.questions import question_texts

pytest.importorskip("sklearn")

DIGITS = Path(__file__).parents[3] / "graphs" / "digits"
WORDS = DIGITS / "weights" / "words"


def test_committed_tokenizer_is_what_the_code_makes(tmp_path: Path) -> None:
    runpy.run_path(str(DIGITS / "make_words.py"))["write"](tmp_path)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        made, committed = ((folder / name).read_text(encoding="utf-8") for folder in (tmp_path, WORDS))
        assert json.loads(made) == json.loads(committed)


def test_every_text_fits_without_unknown_words() -> None:
    tokenizer = Tokenizer.from_file(str(WORDS / "tokenizer.json"))
    unknown = tokenizer.token_to_id("<unk>")
    captions = Canvases(CanvasConfig(split="test", length=500, counts=(1, 4)))
    questions = Questions(QuestionsConfig(split="test", length=500))
    texts = [str(captions[i]["text"]) for i in range(500)]
    assert max(len(tokenizer.encode(text).ids) for text in texts) <= 32
    texts += [str(questions[i][name]) for i in range(500) for name in ("description", "question", "answer")]
    for text in {*texts, *question_texts()}:
        assert unknown not in tokenizer.encode(text).ids, text
    assert unknown in tokenizer.encode("eleven").ids
    assert tokenizer.get_vocab_size() == 96
