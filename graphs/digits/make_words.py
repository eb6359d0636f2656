"""Makes weights/words, the tokenizer of clip.yaml and vlm.yaml: `python graphs/digits/make_words.py`.

One id for each word of captions, questions and answers of the canvases, and the form of a conversation.
"""

from __future__ import annotations

import json
from pathlib import Path

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from mmm_data.canvas.captions import caption_texts
from mmm_data.canvas.questions import question_texts

SPECIAL = ("<pad>", "<unk>", "<start>", "<end>", "<user>", "<assistant>", "<image>")
CHAT = (
    "{% for m in messages %}{% if m.role == 'user' %}<user> {{ m.content }} "
    "{% else %}<assistant> {% generation %}{{ m.content }} <end>{% endgeneration %}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<assistant> {% endif %}"
)
SETTINGS = {"pad_token": "<pad>", "eos_token": "<end>", "image_token": "<image>", "chat_template": CHAT}


def make_tokenizer() -> Tokenizer:
    """Words and signs in lower case; <start> and <end> are put around every text that is not a conversation."""
    words: set[str] = set()
    splitter = pre_tokenizers.Whitespace()
    for text in (*caption_texts(), *question_texts(), "."):
        words |= {word for word, _ in splitter.pre_tokenize_str(text)}
    vocab = {word: i for i, word in enumerate((*SPECIAL, *sorted(words)))}
    tokenizer = Tokenizer(models.WordLevel(vocab, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = splitter
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<start> $A <end>", special_tokens=[(name, vocab[name]) for name in ("<start>", "<end>")]
    )
    tokenizer.add_special_tokens(list(SPECIAL))
    return tokenizer


def write(folder: Path) -> None:
    """tokenizer.json and tokenizer_config.json."""
    folder.mkdir(parents=True, exist_ok=True)
    make_tokenizer().save(str(folder / "tokenizer.json"))
    text = json.dumps(SETTINGS, indent=2) + "\n"
    (folder / "tokenizer_config.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write(Path(__file__).parent / "weights" / "words")
