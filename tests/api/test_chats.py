"""Conversations with pictures and sounds, as inputs of a request and through a graph."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from mmm_audio.savers.files import save_wav
from mmm_graph.api.chats import to_chats
from mmm_graph.api.inputs import make_request
from mmm_graph.api.session import Session
from mmm_graph.errors import InputError
from mmm_graph.runtime.codec import from_bytes, to_bytes

ROOT = Path(__file__).parents[2]
GRAPH = """
mmm: 1
inputs:
  chat: {type: "Chat[b]", default: [{role: user, content: [{type: image, image: red.png}, {type: text, text: car}]}]}
  temperature: {type: "Scalar[b]", default: 1.0}
models:
  tok:
    kind: tokenizer.hf
    weights: "file:%s/graphs/digits/weights/tokenizer.json"
    config: {max_length: 64, add_tokens: ["<img>"], media_tokens: {image: "<img>"}}
nodes: {ids: {call: tok.chat, in: {chat: $in.chat}, config: {template: vicuna_v1, system: a}}}
outputs: {ids: ids, index: ids.media_index, images: ids.images, t: $in.temperature}
"""  # fmt: skip


@pytest.fixture
def session(tmp_path: Path) -> Session:
    Image.new("RGB", (12, 1), (255, 0, 0)).save(tmp_path / "red.png")
    (tmp_path / "graph.yaml").write_text(GRAPH % ROOT)
    return Session(tmp_path / "graph.yaml")


def with_(kind: str, value: Any) -> list[Any]:
    return [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": kind, kind: value}]}]


def test_a_graph_takes_chats(session: Session, tmp_path: Path) -> None:
    out = session.run()
    (red,) = out["images"]
    assert red.shape == (3, 1, 12) and red[0].eq(1).all() and red[1:].eq(0).all()
    assert (out["index"] == 0).sum() == 1
    file = str(tmp_path / "red.png")
    out = session.run(chat=["a car", *map(to_list, (file, Image.new("L", (1, 1))))])
    assert [tuple(image.shape) for image in out["images"]] == [(3, 1, 12), (3, 1, 1)]
    assert [row[row >= 0].tolist() for row in out["index"]] == [[], [0], [1]]
    assert out["t"].shape == (3,)


def to_list(value: Any) -> list[Any]:
    return with_("image", value)


def test_one_conversation_is_repeated_for_a_batch(session: Session) -> None:
    request = make_request(session.graph, {"chat": "a", "temperature": [0.5, 1.0]})
    assert len(request.inputs["chat"]) == 2


def test_chats_go_from_rank_to_rank() -> None:
    chats = to_chats([with_("image", torch.rand(3, 4, 5)), "hi"])
    found = from_bytes(to_bytes(chats, "chat"), torch.device("cpu"))
    assert torch.equal(found[0][0]["content"][1]["image"], chats[0][0]["content"][1]["image"])
    assert found[1] == chats[1]


@pytest.mark.parametrize(
    ("kind", "value", "shape"),
    [
        ("image", np.zeros((3, 4, 5), np.uint8), (3, 4, 5)),
        ("image", torch.ones(1, 3, 4, 5), (3, 4, 5)),
        ("audio", np.zeros(7), (1, 7)),
        ("audio", torch.zeros(2, 7), (2, 7)),
        ("video", torch.zeros(5, 3, 2, 2), (5, 3, 2, 2)),
        ("video", [Image.new("RGB", (2, 2))] * 4, (4, 3, 2, 2)),
    ],
)
def test_media_become_tensors(kind: str, value: Any, shape: tuple[int, ...]) -> None:
    (chat,) = to_chats(with_(kind, value))
    found = chat[0]["content"][1][kind]
    assert found.shape == shape and found.dtype == torch.float32


def test_files_of_media_become_tensors(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (2, 3), (level, 0, 0)) for level in (0, 128, 255)]
    frames[0].save(tmp_path / "film.gif", save_all=True, append_images=frames[1:])
    Image.new("LA", (2, 3), (0, 0)).save(tmp_path / "clear.png")
    save_wav(torch.tensor([[[0.5, -0.5], [0.0, 0.5]]]), tmp_path / "tone", {"rate": 8000}, {})
    files = {"video": "film.gif", "image": "clear.png", "audio": "tone.wav"}
    segments = [{"type": kind, kind: str(tmp_path / file)} for kind, file in files.items()]
    ((message,),) = to_chats([{"role": "user", "content": segments}], 8000)
    video, image, audio = (segment[segment["type"]] for segment in message["content"])
    assert video.shape == (3, 3, 3, 2) and video[1:, 0].min() > 0.4
    assert image.shape == (3, 3, 2) and image.eq(1).all()  # nothing on white
    assert torch.allclose(audio, torch.tensor([[0.25, 0.0]]), atol=1e-4)
    with pytest.raises(ValueError, match=r"8000 Hz, expected 16000 Hz.*-ar 16000"):
        to_chats([{"role": "user", "content": segments}], 16000)


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        ("image", torch.ones(2, 3, 4, 4), "it takes one image, 3 x height x width, found 2 x 3 x 4 x 4"),
        ("image", torch.ones(1, 4, 4), "it takes one image"),
        ("image", torch.full((3, 1, 1), 2.0), r"images are in \[0, 1\]"),
        ("image", "nowhere.png", "there is no such file: nowhere.png"),
        ("image", __file__, "cannot identify image file"),
        ("audio", "sound.wav", "does not say the rate"),
        ("audio", torch.zeros(3, dtype=torch.int16), "channels x samples from -1 to 1, found torch.int16"),
        ("audio", torch.full((3,), 1.5), "up to 1.5"),
        ("audio", [[0.0], [0.0, 1.0]], "audio: "),
        ("video", torch.zeros(3, 4, 4, 4), "it takes frames x 3"),
        ("video", __file__, "cannot identify image file"),
    ],
)
def test_media_that_are_not_what_they_should_be(
    session: Session, kind: str, value: Any, message: str
) -> None:
    with pytest.raises(InputError, match=message) as caught:
        make_request(session.graph, {"chat": ["hi", with_(kind, value)]})
    assert "E302" in str(caught.value) and "conversation 1, message 0, segment 1" in str(caught.value)
