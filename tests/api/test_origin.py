"""What a saved file says of where it came from."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from pydantic import SecretStr

from mmm_audio.savers.files import save_wav
from mmm_graph.api.origin import KEY, LOST, Origin, make_origin, read_origin
from mmm_graph.errors import InputError

ORIGIN = Origin(
    "mmm: 1\n", "a.yaml", {"steps": 3, "prompt": ["é"]}, [1, 2], None, {"m": "00"}, "p", None, "0.1", "2"
)


def write(path: Path, text: str | None, kind: str = "PNG") -> Path:
    info, image = PngInfo(), Image.new("L", (4, 4))
    if text is not None:
        info.add_itxt(KEY, text)
    comment = json.dumps({KEY: text}).encode()
    image.save(path, kind, **({"pnginfo": info} if kind == "PNG" else {"comment": comment}))
    return path


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_it_round_trips_through_a_picture(tmp_path: Path, kind: str) -> None:
    assert read_origin(write(tmp_path / "x", ORIGIN.text(), kind)) == ORIGIN


def test_it_round_trips_through_a_sound(tmp_path: Path) -> None:
    sound = torch.zeros(1, 2, 3)
    save_wav(sound, tmp_path / "x", {"rate": 8000}, {KEY: ORIGIN.text()})
    assert read_origin(tmp_path / "x.wav") == ORIGIN
    save_wav(sound, tmp_path / "x", {"rate": 8000}, {})
    with pytest.raises(InputError, match="carries no graph"):
        read_origin(tmp_path / "x.wav")
    (tmp_path / "x.wav").write_bytes(b"RIFF")
    with pytest.raises(InputError, match=r"cannot be read as a sound: .*x.wav is not a WAV file"):
        read_origin(tmp_path / "x.wav")


def test_files_in_conversations_are_named_and_hashed(tmp_path: Path) -> None:
    file = tmp_path / "i.png"
    file.write_bytes(b"abc")
    content = [{"type": "image", "image": str(file)}, {"type": "text", "text": str(file)}]
    run = {"values": {"chat": [{"role": "user", "content": content}]}, "files": (), "seed": 0}
    origin = make_origin("g", "f", {**run, "outputs": None, "plan": None}, {}, "p")
    image, text = origin.values["chat"][0]["content"]
    assert image["image"]["file"] == text["text"] == str(file) and image["image"]["sha256"].startswith("ba78")


def test_values_are_plain_and_of_what_a_file_cannot_hold_a_hash_stays(tmp_path: Path) -> None:
    (tmp_path / "i.png").write_bytes(b"abc")
    values = {
        "steps": 3, "t": torch.zeros(2, dtype=torch.bfloat16), "a": np.zeros(2), "texts": ("a", "b"),
        "file": tmp_path / "i.png", "image": str(tmp_path / "i.png"), "chat": {"role": [1, None, True]},
        "s": SecretStr("geheim"),
    }  # fmt: skip
    run = {"values": values, "files": {"image"}, "seed": 7, "outputs": ("x",), "plan": None}
    origin = make_origin("g", "f", run, {}, "p")
    found = json.loads(origin.text())["values"]
    assert found["image"]["sha256"] == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert found["t"][LOST] == "torch.bfloat16 [2]"
    assert found["a"] == {LOST: "ndarray"}
    assert found["chat"] == {"role": [1, None, True]}
    assert (found["steps"], found["texts"]) == (3, ["a", "b"])
    assert "geheim" not in origin.text()
    assert (origin.seed, origin.outputs) == (7, ["x"])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "{}",
        "[" * 100_000,
        json.dumps({"graph": 1}),
        ORIGIN.text().replace('"file":"a.yaml"', '"file":1'),
    ],
)
def test_a_picture_with_another_text(tmp_path: Path, text: str) -> None:
    with pytest.raises(InputError, match="the graph in it cannot be read"):
        read_origin(write(tmp_path / "x.png", text))


def test_what_is_no_picture_of_ours(tmp_path: Path) -> None:
    whole = write(tmp_path / "x.png", ORIGIN.text()).read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[:-30])
    (tmp_path / "short.png").write_bytes(whole[:20])
    (tmp_path / "text.png").write_text("mmm: 1")
    (tmp_path / "empty.png").touch()
    for name in ("cut.png", "short.png", "text.png", "empty.png", "."):
        with pytest.raises(InputError, match="cannot be read as an image"):
            read_origin(tmp_path / name)
    with pytest.raises(InputError, match="there is no such file"):
        read_origin(tmp_path / "none.png")
    for kind in ("PNG", "JPEG"):
        Image.new("L", (4, 4)).save(tmp_path / "bare", kind)
        with pytest.raises(InputError, match="carries no graph"):
            read_origin(tmp_path / "bare")
