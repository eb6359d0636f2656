"""Makes the tokenizers weights/words of graphs/digits and graphs/world: `python graphs/digits/make_words.py`.

One id for each word: of captions, questions and answers of the canvases; of requests, answers and captions of the digit
world; and the form of a conversation.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

from mmm_data.canvas.captions import caption_texts
from mmm_data.canvas.questions import question_texts
from mmm_data.world.phrases import world_texts

FIRST = ("<pad>", "<unk>", "<start>", "<end>", "<user>", "<assistant>")
SIGNS = "!\"'()*,-.:;?"
CHAT = (
    "{% for m in messages %}{% if m.role == 'user' %}<user> {{ m.content }} "
    "{% else %}<assistant> {% generation %}{{ m.content }} <end>{% endgeneration %}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<assistant> {% endif %}"
)
SETTINGS = {"pad_token": "<pad>", "eos_token": "<end>", "chat_template": CHAT}


def make_tokenizer(texts: Iterable[str], special: Sequence[str]) -> Tokenizer:
    """Words and signs in lower case; <start> and <end> are put around every text that is not a conversation.

    Signs that no text has are passed over: a comma is no unknown word.
    """
    words: set[str] = set()
    splitter = pre_tokenizers.Whitespace()
    for text in (*texts, "."):
        words |= {word for word, _ in splitter.pre_tokenize_str(text)}
    vocab = {word: i for i, word in enumerate((*special, *sorted(words)))}
    tokenizer = Tokenizer(models.WordLevel(vocab, unk_token="<unk>"))
    strange = Regex("[" + re.escape("".join(sign for sign in SIGNS if sign not in vocab)) + "]")
    steps = [normalizers.NFKC(), normalizers.Lowercase(), normalizers.Replace(strange, " ")]
    tokenizer.normalizer = normalizers.Sequence(steps)
    tokenizer.pre_tokenizer = splitter
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<start> $A <end>", special_tokens=[(name, vocab[name]) for name in ("<start>", "<end>")]
    )
    tokenizer.add_special_tokens(list(special))
    return tokenizer


def write(folder: Path, texts: Iterable[str], *media: str) -> None:
    """tokenizer.json and tokenizer_config.json, with a placeholder for each of the media."""
    folder.mkdir(parents=True, exist_ok=True)
    places = {f"{medium}_token": f"<{medium}>" for medium in media}
    make_tokenizer(texts, (*FIRST, *places.values())).save(str(folder / "tokenizer.json"))
    text = json.dumps({**SETTINGS, **places}, indent=2) + "\n"
    (folder / "tokenizer_config.json").write_text(text, encoding="utf-8")


def write_all(graphs: Path) -> None:
    """Both tokenizers, below the folder of graphs."""
    write(graphs / "digits/weights/words", chain(caption_texts(), question_texts()), "image")
    write(graphs / "world/weights/words", world_texts(), "image", "audio", "video")


if __name__ == "__main__":
    write_all(Path(__file__).parents[1])
