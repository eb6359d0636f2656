"""`mmm chat`: a line, an answer; commands and media; a question that fails does not end the talk."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image

from mmm_audio.savers.files import save_wav
from mmm_graph.api.rerun import session_of_image
from mmm_graph.cli import chat as module
from mmm_graph.cli.app import App
from mmm_graph.cli.chat import chat
from tests.api.test_talk import DRAWS, GRAPH, drawing
from tests.plugins.mmm_generate.toy_llm import registry


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "talk.yaml"
    path.write_text(GRAPH, encoding="utf-8")
    return path


def talk(file: Path, *lines: str, options: tuple[str, ...] = ()) -> Result:
    app = App(_registry=[drawing() if "image.dots" in file.read_text() else registry()])
    return CliRunner().invoke(
        chat, [str(file), *options], obj=app, input="\n".join(lines), standalone_mode=False
    )


def test_a_line_is_a_question(file: Path) -> None:
    both, one = talk(file, "abc", "", "de"), talk(file, "abc")
    first, second = both.stdout.splitlines()
    assert both.return_value == 0 and one.stdout.splitlines() == [first] and second


def test_new_forgets_and_exit_ends(file: Path) -> None:
    seeds = ("--seed", "1")
    alone = talk(file, "de", options=seeds).stdout.splitlines()
    again = talk(file, "abc", "/new", "de", "/exit", "never asked").stdout.splitlines()
    assert len(again) == 2 and again[1:] == alone


def test_a_picture_that_is_not_there(file: Path) -> None:
    found = talk(file, "/image nothing.png", "abc")
    assert "there is no file nothing.png" in found.stderr and len(found.stdout.splitlines()) == 1


def test_what_answers_show_is_saved_and_named_by_the_answer(file: Path, tmp_path: Path) -> None:
    file.write_text(DRAWS)
    Image.new("RGB", (4, 4)).save(tmp_path / "a picture.png")
    attach = (f"/image '{tmp_path}/a picture.png'", "", "abc", "de")
    found = talk(file, *attach, options=("-o", str(tmp_path / "out")))
    assert found.return_value == 0 and "write what to do with it" in found.stderr
    names = [f"answer_0{k}_image-{i}.png" for k in (1, 2) for i in (0, 1)]
    said = [f"image: {tmp_path / 'out' / name}" for name in names]
    assert found.stdout.splitlines() == ["dd", *said[:2], "dd", *said[2:]]
    with Image.open(tmp_path / "out" / names[0]) as image:
        assert image.size == (3, 2) and image.getpixel((0, 0)) == 255
    session, seed, outputs = session_of_image(tmp_path / "out" / names[2], {"registry": drawing()})
    again = session.result(seed=seed, outputs=outputs)
    assert seed == 1 and again.owners["image"] == (0, 0)


def test_files_that_cannot_go_with_a_message(file: Path, tmp_path: Path) -> None:
    save_wav(torch.zeros(1, 1, 8), tmp_path / "tone", {"rate": 16000}, {})
    tone = tmp_path / "tone.wav"
    found = talk(file, f"/image {tone}", f"/video {file}", f"/audio {tone}", "abc")
    assert found.return_value == 0 and found.stderr.count("error[E302]") == 3
    assert found.stderr.count("cannot identify image file") == 2
    assert f"{tone} is not taken as audio: of files of sound the graph does not say the rate" in found.stderr
    file.write_text(GRAPH.replace('"Chat[b]"', '"Chat[b]{8000}"'))
    assert "16000 Hz, expected 8000 Hz" in talk(file, f"/audio {tone}", "abc").stderr


def test_ctrl_c_at_the_prompt_is_an_empty_line(monkeypatch: pytest.MonkeyPatch) -> None:
    typed = iter([KeyboardInterrupt(), "/exit"])

    def read(prompt: str) -> str:
        found = next(typed)
        if isinstance(found, BaseException):
            raise found
        return found

    monkeypatch.setattr("builtins.input", read)
    terminal = module._Terminal(None, 0, Path())
    terminal.is_terminal = True
    assert terminal.run() == 0 and next(typed, None) is None


def test_a_question_that_fails(file: Path) -> None:
    file.write_text(
        GRAPH.replace("temperature: 1.0", "processors: [{op: logits.suppress, config: {ids: [99]}}]")
    )
    found = talk(file, "abc", "de")
    assert found.return_value == 1 and found.stderr.count("error[E701]") == 2


def test_the_last_answer_counts(file: Path) -> None:
    found = talk(file, "/image", "abc")
    assert found.return_value == 0 and "/image FILE" in found.stderr
