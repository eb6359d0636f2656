"""The committed tokenizers are those that the code makes, and know every text."""

from __future__ import annotations

import json
import runpy
from itertools import product
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from mmm_data.canvas.config import CanvasConfig, QuestionsConfig
from mmm_data.canvas.dataset import Canvases, Questions
from mmm_data.canvas.questions import question_texts
from mmm_data.world.config import MIXED, SINGLE, WorldConfig
from mmm_data.world.dataset import World

pytest.importorskip("sklearn")

GRAPHS = Path(__file__).parents[3] / "graphs"
WORDS = GRAPHS / "digits" / "weights" / "words"


def test_committed_tokenizer_is_what_the_code_makes(tmp_path: Path) -> None:
    runpy.run_path(str(GRAPHS / "digits" / "make_words.py"))["write_all"](tmp_path)
    for world, name in product(("digits", "world"), ("tokenizer.json", "tokenizer_config.json")):
        path = f"{world}/weights/words/{name}"
        made, committed = ((folder / path).read_text(encoding="utf-8") for folder in (tmp_path, GRAPHS))
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


def test_the_words_of_the_digit_world_are_known() -> None:
    tokenizer = Tokenizer.from_file(str(GRAPHS / "world" / "weights" / "words" / "tokenizer.json"))
    unknown = tokenizer.token_to_id("<unk>")
    for phrasing in ("train", "test"):
        data = World(WorldConfig(phrasing=phrasing, tasks=(*SINGLE, *MIXED), length=300, medium="text"))
        for item in map(data.__getitem__, range(len(data))):
            chat = item["chat"]
            assert isinstance(chat, list)
            texts = [s["text"] for m in chat for s in m["content"] if s["type"] == "text"]
            captions = [item[f"{medium}_text"] for medium in ("image", "audio", "video")]
            for text in (*texts, *(str(caption) for caption in captions if caption is not None)):
                assert unknown not in tokenizer.encode(text).ids, text
