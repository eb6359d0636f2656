"""Folders of pictures, sounds and videos."""

from __future__ import annotations

import wave
from pathlib import Path

import pytest
import torch
from PIL import Image

from mmm_data.files import config as c
from mmm_data.files.folders import AudioFolder, ImageFolder, ImageText, VideoFolder
from mmm_data.files.node import audio_columns, image_text_columns, video_columns
from mmm_data.files.picture import load_picture

RED, BLUE = (255, 0, 0), (0, 0, 255)


def picture(path: Path, colour: tuple[int, int, int] = RED, size: tuple[int, int] = (12, 8)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)
    return path


def sound(path: Path, samples: int, rate: int = 8000) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(b"\x00\x40" * samples)


def test_pictures_with_texts_beside_them(tmp_path: Path) -> None:
    for name, text in (("b/two", "the second"), ("a/one", "the first")):
        picture(tmp_path / f"{name}.png").with_suffix(".txt").write_text(f"{text}\n")
    data = ImageText(c.ImageTextConfig(path=str(tmp_path), size=6))
    assert [(data[i]["text"], data[i]["id"]) for i in range(2)] == [("the first", 0), ("the second", 1)]
    image = data[0]["image"]
    assert isinstance(image, torch.Tensor)
    assert image.shape == (3, 6, 6)
    assert image.mean((1, 2)).tolist() == [1, 0, 0]


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".jsonl", ".json"])
def test_captions_in_a_table_share_the_id_of_their_picture(tmp_path: Path, ending: str) -> None:
    picture(tmp_path / "a.png")
    picture(tmp_path / "b.png", BLUE)
    rows = [("a.png", "red, and nothing else"), ("b.png", "blue"), ("a.png", "not blue")]
    separator = "\t" if ending == ".tsv" else ","
    lines = [separator.join(["image", "text"]), *(separator.join([i, f'"{t}"']) for i, t in rows)]
    if ending in (".jsonl", ".json"):
        lines = [f'{{"image": "{i}", "text": "{t}"}}' for i, t in rows]
    text = f"[{','.join(lines)}]" if ending == ".json" else "\n".join(lines)
    (tmp_path / f"captions{ending}").write_text(text, encoding="utf-8")
    data = ImageText(c.ImageTextConfig(path=str(tmp_path), size=4))
    assert [(data[i]["text"], data[i]["id"]) for i in range(3)] == [
        ("red, and nothing else", 0),
        ("blue", 1),
        ("not blue", 0),
    ]
    assert data.size(1, "text") == 4


def test_what_is_missing_must_be_wanted(tmp_path: Path) -> None:
    picture(tmp_path / "a.png").with_suffix(".txt").write_text("a")
    picture(tmp_path / "b.png")
    with pytest.raises(ValueError, match=r"1 of 2 samples have no picture or no text.*b\.png.*missing: true"):
        ImageText(c.ImageTextConfig(path=str(tmp_path)))
    config = c.ImageTextConfig(path=str(tmp_path), size=4, missing=True)
    data = ImageText(config)
    assert (data[0]["text"], data[1]["text"], data.size(1, "image")) == ("a", None, 0)
    assert image_text_columns(config)["image"] == "Image[r_image,3,4,4]"


def test_each_picture_comes_a_second_time_mirrored(tmp_path: Path) -> None:
    for name in ("a/one", "b/two"):
        file = picture(tmp_path / f"{name}.png", size=(4, 4)).with_suffix(".txt")
        file.write_text(name)
        image = Image.open(file.with_suffix(".png"))
        image.putpixel((0, 1), BLUE)
        image.save(file.with_suffix(".png"))
    plain = ImageText(c.ImageTextConfig(path=str(tmp_path), size=4))
    data = ImageText(c.ImageTextConfig(path=str(tmp_path), size=4, mirror=True))
    classes = ImageFolder(c.ImageFolderConfig(path=str(tmp_path), size=4, mirror=True))
    assert (len(plain), len(data), len(classes)) == (2, 4, 4)
    for first, second in ((data[1], data[3]), (classes[1], classes[3])):
        assert isinstance(first["image"], torch.Tensor) and isinstance(second["image"], torch.Tensor)
        assert not torch.equal(first["image"], second["image"])
        assert torch.equal(first["image"].flip(-1), second["image"])
        assert {k: v for k, v in first.items() if k != "image"} == {
            k: v for k, v in second.items() if k != "image"
        }
    assert (classes[3]["label"], classes.size(3, "label"), data.size(3, "image")) == (1, 1, 0)
    for dataset in (plain, data):
        with pytest.raises(IndexError):
            dataset[len(dataset)]


@pytest.mark.parametrize(("fit", "edge"), [("crop", 1.0), ("stretch", 1.0), ("pad", 0.0)])
def test_pictures_get_one_size(tmp_path: Path, fit: str, edge: float) -> None:
    file = picture(tmp_path / "wide.png", size=(16, 8))
    image = load_picture(file, c.PictureConfig.model_validate({"size": 8, "fit": fit}))
    assert image.shape == (3, 8, 8)
    assert (float(image[0, 0, 0]), float(image[0, 4, 4])) == (edge, 1.0)
    assert load_picture(file, c.PictureConfig(size=None)).shape == (3, 8, 16)
    assert load_picture(file, c.PictureConfig(size=(2, 6), channels=1)).shape == (1, 2, 6)


def test_folders_are_classes(tmp_path: Path) -> None:
    for name in ("black_cat/1", "black_cat/2", "a-dog/1"):
        picture(tmp_path / f"{name}.png")
    data = ImageFolder(c.ImageFolderConfig(path=str(tmp_path), size=4, template="a photo of {}"))
    found = [(data[i]["label"], data[i]["text"]) for i in range(3)]
    assert found == [(0, "a photo of a dog"), *[(1, "a photo of black cat")] * 2]
    picture(tmp_path / "stray.png")
    with pytest.raises(ValueError, match=r"stray\.png lies in no folder of a class"):
        ImageFolder(c.ImageFolderConfig(path=str(tmp_path)))


def test_sounds_keep_their_length_or_get_one(tmp_path: Path) -> None:
    sound(tmp_path / "bell/1.wav", 40)
    sound(tmp_path / "horn/1.wav", 90)
    free = c.AudioFolderConfig(path=str(tmp_path), rate=8000, labels=True)
    data = AudioFolder(free)
    assert audio_columns(free)["audio"] == "Audio[b,1,n]{8000}"
    assert [(row["audio"].shape, row["mask"], row["text"], row["label"]) for row in map(data.__getitem__, (0, 1))] == [
        ((1, 40), None, "bell", 0),
        ((1, 90), None, "horn", 1),
    ]  # fmt: skip
    fixed = c.AudioFolderConfig(path=str(tmp_path), rate=8000, labels=True, seconds=0.01)
    lengths = [AudioFolder(fixed)[i]["audio"].shape for i in range(2)]
    assert lengths == [(1, 80), (1, 80)]
    assert "mask" not in audio_columns(fixed)
    with pytest.raises(ValueError, match=r"8000 Hz, expected 16000 Hz"):
        AudioFolder(c.AudioFolderConfig(path=str(tmp_path), labels=True))[0]
    with pytest.raises(ValueError, match=r"2 of 2 files have no \.txt beside them.*labels: true"):
        AudioFolder(c.AudioFolderConfig(path=str(tmp_path)))


def test_videos_are_folders_of_frames_and_animations(tmp_path: Path) -> None:
    for i in range(6):
        picture(tmp_path / f"walk/a/{i}.png", (i * 40, 0, 0))
    frames = [Image.new("RGB", (8, 8), colour) for colour in (RED, BLUE)]
    (tmp_path / "run").mkdir()
    frames[0].save(tmp_path / "run/b.gif", save_all=True, append_images=frames[1:])
    config = c.VideoFolderConfig(path=str(tmp_path), frames=3, size=4, labels=True)
    assert video_columns(config)["video"] == "Video[b,3,3,4,4]"
    data = VideoFolder(config)
    run, walk = data[0], data[1]
    assert (run["text"], walk["text"], walk["label"]) == ("run", "walk", 1)
    assert isinstance(walk["video"], torch.Tensor)
    assert (walk["video"][:, 0].amax((1, 2)) * 255 / 40).tolist() == pytest.approx([1, 3, 5], abs=0.1)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(NotADirectoryError, match="there is no folder"):
        ImageFolder(c.ImageFolderConfig(path=str(tmp_path / "no")))
    assert len(ImageFolder(c.ImageFolderConfig(path=str(tmp_path)))) == 0
