"""Signals in conversations: whole runs of ids wherever a template puts them, learnt where the assistant speaks."""

import pytest
import torch
from pydantic import ValidationError

from mmm_graph.errors import RunError
from mmm_text.chat_config import ChatConfig
from mmm_text.config import TokenizerConfig
from mmm_text.signals import DEFAULT, signal_tokens
from mmm_text.tokenizer import HfTokenizer
from tests.plugins.mmm_text.chat_cases import OF_SEGMENTS, TEMPLATES, image, save, segments

LEARN = ChatConfig(generate=False)
COUNTS = {"image": 4, "audio": 2}


def ask(kind):
    return {"type": "signal", "signal": kind}


def text(words):
    return {"type": "text", "text": words}


CHAT = [
    {"role": "user", "content": "the quick brown fox"},
    {"role": "assistant", "content": [text("Paris."), ask("image"), ask("audio"), text("Hello")]},
    {"role": "user", "content": [ask("image"), text("again")]},
    {"role": "assistant", "content": [ask("image"), ask("image")]},
]


def open_(folder, kind, template, **config):
    save(folder, kind, TEMPLATES[template])
    return HfTokenizer(TokenizerConfig(**{"signals": COUNTS, **config}), folder)


def count(row, run):
    """How often a run stands whole in a row."""
    return sum(tuple(row[i : i + len(run)]) == run for i in range(len(row)))


@pytest.mark.parametrize("kind", ["bytes", "pieces"])
@pytest.mark.parametrize("name", ["llava", "llama2"])
def test_runs_are_whole_and_learnt_where_the_assistant_asks(tmp_path, kind, name):
    ours = open_(tmp_path, kind, name)
    chat = [
        m if name not in OF_SEGMENTS or isinstance(m["content"], list) else segments([m])[0] for m in CHAT
    ]
    found = ours.chat([chat], LEARN)
    ids, labels = found["ids"][0].tolist(), found["labels"][0].tolist()
    run, sound = ours.signals["image"], ours.signals["audio"]
    assert (count(ids, run), count(ids, sound)) == (4, 1)
    assert (count(labels, run), count(labels, sound)) == (3, 1)
    tokens = {*run, *sound}
    assert sum(id_ in tokens for id_ in ids) == 4 * 4 + 2
    assert all(label in (-100, id_) for id_, label in zip(ids, labels, strict=True))
    said = ours.decode(found["ids"])[0]
    assert "Paris." in said and "Hello" in said and "image_0" not in said
    bare = [
        {**m, "content": [s for s in m["content"] if s != ask("image") and s != ask("audio")]}
        for m in CHAT[1:2]
    ]
    without = ours.chat([[*segments(CHAT[:1]), *bare]], LEARN)["labels"][0].tolist()
    assert [i for i in without if i >= 0][:2] == [i for i in labels if i >= 0][
        :2
    ]  # what stands before is as it was


def test_they_stand_beside_media(tmp_path):
    """Places of media are counted with the runs that stand before them."""
    ours = open_(tmp_path, "pieces", "llava", media_tokens={"image": "<image>"})
    chat = [
        {"role": "user", "content": [image(), text("what?")]},
        {"role": "assistant", "content": [text("Hello"), ask("image")]},
        {"role": "user", "content": [image(4)]},
        {"role": "assistant", "content": [ask("image")]},
    ]
    found = ours.chat([chat], LEARN)
    assert found["media_index"].shape == found["ids"].shape == found["labels"].shape
    wanted = ours.token_id("<image>")
    assert torch.equal(found["ids"] == wanted, found["media_index"] >= 0)
    assert found["media_index"][found["media_index"] >= 0].tolist() == [0, 1]
    assert not bool(((found["labels"] == wanted) | (found["labels"] == ours.pad_id)).any())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            [ask("video")],
            r"E755.*conversation 0 has a signal for video, for which the tokenizer has no tokens",
        ),
        (
            "I write <image_00> myself",
            "E755.*conversation 0 has 0 signal segments for image, and its text 1 times <image_00>",
        ),
        ([ask("image"), text("<image_02>")], r"E755.*conversation 0 has the signal token \d+ in its text"),
    ],
)
def test_signals_are_segments_and_no_text(tmp_path, content, message):
    ours = open_(tmp_path, "bytes", "llava")
    chat = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": content}]
    with pytest.raises(RunError, match=message):
        ours.chat([chat], LEARN)


def test_tokens_are_added_once_and_counts_are_checked(tmp_path):
    assert TokenizerConfig(signals="default").signals == DEFAULT == {"image": 4, "video": 24, "audio": 8}
    assert signal_tokens({"video": 24})["video"][::23] == ("<video_00>", "<video_23>")
    with pytest.raises(ValidationError):
        TokenizerConfig(signals={"smell": 2})
    with pytest.raises(ValidationError):
        TokenizerConfig(signals={"image": 0})
    ours = open_(tmp_path, "bytes", "llava")
    ours.tokenizer.save(str(tmp_path / "tokenizer.json"))
    again = HfTokenizer(TokenizerConfig(signals=COUNTS), tmp_path)
    assert again.signals == ours.signals and len(again.tokenizer.get_vocab()) == len(
        ours.tokenizer.get_vocab()
    )
    assert HfTokenizer(TokenizerConfig(), tmp_path).signals == {}
