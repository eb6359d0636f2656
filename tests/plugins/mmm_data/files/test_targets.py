"""What answers of a conversation show: as signals in the chat, and as columns."""

from __future__ import annotations

import json
import wave
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from mmm_data.files.config import ConversationsConfig
from mmm_data.files.conversations import Conversations
from mmm_data.files.node import conversation_columns
from mmm_graph.graph.sections import compile_all
from mmm_graph.registry import load_registry
from mmm_graph.spec import load_spec
from mmm_graph.spec.ports import parse_port
from mmm_graph.train.collate import collate

ALL = {
    "image": {"size": 4},
    "audio": {"rate": 8000, "seconds": 0.01},
    "video": {"size": 4, "frames": 3},
}
ASK = {"from": "human", "value": "Draw <image> again."}
SIGNAL = {"type": "signal", "signal": "image"}


def data(folder: Path, *rows: dict[str, Any], **targets: Any) -> Conversations:
    (folder / "chats.json").write_text(json.dumps(rows))
    Image.new("RGB", (8, 4), (255, 0, 0)).save(folder / "dot.png")
    frames = [Image.new("RGB", (4, 4), (80 * i, 0, 0)) for i in range(3)]
    frames[0].save(folder / "dot.webp", save_all=True, append_images=frames[1:], lossless=True)
    with wave.open(str(folder / "tone.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(int.to_bytes(1 << 14, 2, "little") * 40)
    return Conversations(ConversationsConfig(path=str(folder / "chats.json"), targets=targets))


def answer(found: Conversations, index: int = 0) -> Any:
    chat = found[index]["chat"]
    assert isinstance(chat, list)
    return chat[-1]["content"]


def test_places_in_answers_are_signals_and_those_in_questions_pictures(tmp_path: Path) -> None:
    row = {
        "input_image": "dot.png",
        "output_image": "dot.png",
        "output_audio": "tone.wav",
        "image_captions": ["a dot"],
        "audio_caption": "a tone",
        "conversations": [ASK, {"from": "gpt", "value": "Here: <image>"}],
    }
    item = data(tmp_path, row, **ALL)[0]
    chat = item["chat"]
    assert isinstance(chat, list) and item["media"] == 1
    assert [s["type"] for s in chat[0]["content"]] == ["text", "image", "text"]
    tone = {"type": "signal", "signal": "audio"}  # it has no place: at the end
    assert chat[1]["content"] == [{"type": "text", "text": "Here: "}, SIGNAL, tone]
    assert (item["image_text"], item["audio_text"], item["video"], item["video_text"]) == (
        "a dot",
        "a tone",
        None,
        None,
    )
    image, audio = item["image"], item["audio"]
    assert isinstance(image, torch.Tensor) and isinstance(audio, torch.Tensor)
    assert image.shape == (3, 4, 4) and image[0].min() > 0.99
    assert audio.shape == (1, 80) and audio[0, :40].min() > 0.49 and not audio[0, 40:].any()


def test_messages_of_segments_may_have_signals_themselves(tmp_path: Path) -> None:
    said = {"role": "assistant", "content": [SIGNAL, {"type": "text", "text": "That is it."}]}
    asked = {"role": "user", "content": "Draw."}
    rows = [{"messages": [asked, said], "output_image": "dot.png"}, {"messages": [asked, said]}]
    found = data(tmp_path, *rows)
    assert [answer(found, i)[0] for i in range(2)] == [SIGNAL, SIGNAL]
    assert set(found[0]) == {"chat", "media", "id"}
    assert (found.size(0, "image"), found.size(1, "image")) == (0, -1)


def test_a_batch_has_the_media_of_those_that_show_them(tmp_path: Path) -> None:
    reply = {"from": "gpt", "value": "Yes."}
    ask = {"from": "human", "value": "?"}
    rows = [{"conversations": [ask, reply]}, {"conversations": [ask, reply], "output_video": "dot.webp"}]
    found = data(tmp_path, *rows, **ALL, captions=False)
    columns = {k: parse_port(v) for k, v in conversation_columns(found.config).items()}
    assert set(columns) == {"chat", "media", "id", "image", "audio", "video"}
    owners = {f"{name}.rows": parse_port(f"Ids[r_{name}]?") for name in ALL}
    batch = collate({**columns, **owners}, [found[0], found[1]], [0, 1])
    assert batch["video"].shape == (1, 3, 3, 4, 4) and batch["video.rows"].tolist() == [1]
    assert batch["video"][0, :, 0, 0, 0].tolist() == pytest.approx([0, 80 / 255, 160 / 255])
    assert batch["image"] is None


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"output_image": ["a.png", "b.png"]}, r"output_image names 2 files"),
        ({"output_image": "dot.png"}, r"no text under image_captions; set `captions: false`"),
        ({"conversations": [{"from": "gpt", "value": [SIGNAL]}]}, r"1 signals for image, and 0 files"),
        ({"output_image": "dot.png", "conversations": [{"from": "human", "value": "?"}]}, r"nobody answers"),
    ],
    ids=["several", "caption", "file", "answer"],
)
def test_what_does_not_fit_says_why(tmp_path: Path, row: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        data(tmp_path, {"conversations": [{"from": "gpt", "value": "!"}], **row}, **ALL)[0]


STAGE = """
mmm: 1
models:
  tok: {kind: tokenizer.hf, weights: "file:words", config: {signals: {image: 2}}}
  vae: {kind: vae.kl, init: default}
  draw: {kind: projector.signal, init: default, config: {in_dim: 8, out_dim: 768}}
  llm: {kind: llm.decoder, init: default, config: {width: 8, num_heads: 2, depth: 1}}
  unet: {kind: denoiser.unet, init: default, config: {cond_dim: 768}}
  scheduler: {kind: scheduler.scaled_linear}
train:
  stages:
    decode:
      data: {op: data.conversations, config: {path: "file:chats.json", targets: {image: {size: 64}}}}
      nodes:
        chat:   {call: tok.chat, in: {chat: $data.chat}, config: {generate: false}}
        words:  {call: llm.embed, in: {ids: chat}}
        lm:     {call: llm.logits, in: {embeds: words, mask: chat.mask}}
        sig:    {op: signals.find, use: {tokenizer: tok}, in: {ids: chat.labels}}
        states: {op: signals.states, in: {hidden: lm.hidden, embeds: words, rows: sig.rows, places: sig.places}}
        cond:   {call: draw, in: {features: states}}
        z:      {call: vae.encode, in: {image: $data.image}}
        noised: {call: scheduler.add_noise, in: {x: z}}
        pred:   {call: unet.predict, in: {x: noised.x, t: noised.t, cond: {embeds: cond}}}
        gen:    {op: loss.diffusion, in: {pred: pred, target: noised.target}}
      loss: {gen: gen}
      train: {draw: full}
      optim: {op: optim.adamw}
      steps: 1
"""


def test_the_columns_fit_what_signals_ask_for(tmp_path: Path) -> None:
    (tmp_path / "stage.yaml").write_text(STAGE)
    assert "train.decode" in compile_all(load_spec(tmp_path / "stage.yaml"), load_registry())
