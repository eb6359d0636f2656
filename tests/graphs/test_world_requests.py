"""What graphs/world/any_to_any.yaml takes: words and files of any size, one by one, as a batch, in conversations."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image, ImageDraw

import mmm_graph as mmm
from mmm_audio.savers.files import save_wav
from mmm_graph.api.session import Session
from mmm_graph.errors import InputError
from mmm_graph.graph.graph import Op

WORLD = Path(__file__).resolve().parents[2] / "graphs" / "world"
ASKED = {"outputs": ["request.chat"]}
SMALL = "{vocab_size: 94, max_length: 320, width: 32, depth: 1, num_heads: 2, hidden: 64, tied: true}"
UNTRAINED = {f"models.{name}.weights": "null" for name in ("llm", "ear", "see", "watch", "listen")}


@pytest.fixture(scope="module")
def session() -> Session:
    return mmm.load(WORLD / "any_to_any.yaml", sets={**UNTRAINED, "models.llm.config": SMALL})


@pytest.fixture
def files(tmp_path: Path) -> Mapping[str, str]:
    """A photo-like picture, a stereo sound of a second, a video of six frames."""
    photo = Image.new("RGB", (280, 280), (240, 230, 200))
    ImageDraw.Draw(photo).line([(90, 60), (190, 60), (120, 220)], (40, 30, 60), 18)
    photo.save(tmp_path / "seven.png")
    save_wav(torch.rand(1, 2, 8000) - 0.5, tmp_path / "tone", {"rate": 8000}, {})
    frames = [Image.new("L", (48, 48), 40 * i) for i in range(6)]
    frames[0].save(tmp_path / "film.gif", save_all=True, append_images=frames[1:])
    named = {"image": "seven.png", "audio": "tone.wav", "video": "film.gif"}
    return {kind: str(tmp_path / name) for kind, name in named.items()}


def test_files_of_any_size_are_the_request_that_a_conversation_is(
    session: Session, files: Mapping[str, str]
) -> None:
    content = [{"type": kind, kind: file} for kind, file in files.items()]
    chat = [{"role": "user", "content": [*content, {"type": "text", "text": "What is this, then?"}]}]
    (plain,) = (n.path for n in session.graph.nodes if isinstance(n, Op) and n.kind == "image.isolate")
    wanted = ["text", plain]
    pieces = session.run(prompt="What is this, then?", **files, outputs=wanted)
    whole = session.run(chat=chat, outputs=wanted)
    assert pieces["text"] == whole["text"] and len(pieces["text"]) == 1
    canvas = pieces[plain]
    assert torch.equal(canvas, whole[plain]) and canvas.shape == (1, 3, 32, 32)
    lit = (canvas[0, 0] > 0.5).nonzero()
    assert lit.min() >= 8 and lit.max() < 24 and len(lit) > 20


def test_a_list_of_prompts_has_a_picture_each_or_one_for_all(
    session: Session, files: Mapping[str, str]
) -> None:
    prompts, file = ["draw it", "dial it"], files["image"]
    for image in ([file, file], file):
        first, second = session.run(prompt=prompts, image=image, **ASKED)["request.chat"]
        assert [s["type"] for s in first[0]["content"]] == ["image", "text"]
        assert second[0]["content"][1]["text"] == "dial it"
    with pytest.raises(InputError, match="image has 3 rows, prompt has 2"):
        session.run(prompt=prompts, image=[file] * 3, **ASKED)


def test_what_goes_before_and_nothing_at_all(session: Session) -> None:
    signal = {"type": "signal", "signal": "image"}
    before = [{"role": "user", "content": "draw a seven"}, {"role": "assistant", "content": [signal]}]
    (chat,) = session.run(prompt="dial it", chat=before, **ASKED)["request.chat"]
    assert [m["role"] for m in chat] == ["user", "assistant", "user"]
    with pytest.raises(InputError, match=r"E751.*nothing is asked"):
        session.run(**ASKED)


def test_the_demo_shows_every_direction(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(WORLD))
    monkeypatch.delitem(sys.modules, "demo_page", raising=False)
    demo: Any = runpy.run_path(str(WORLD / "demo.py"))
    shown = list(demo["requests"](tmp_path / "demo"))
    assert [one.given for one in shown[:16:4]] == ["text", "image", "audio", "video"]
    for one in shown:  # as if it had answered with what it was given
        one.text = "<7>" if "text" in one.wanted else ""
        one.answers = [(other.given, other.file) for other in shown[4:16:4] if other.given in one.wanted]
    page = demo["write_page"](tmp_path, shown, 3.0).read_text(encoding="utf-8")
    assert all(one.is_exact for one in shown) and page.count("<article>") == 17
    assert page.count("<audio controls") == page.count(" Hz + ") == 4 + 5  # asked and answered
    assert page.count("<img ") == 4 + 4 + 1 + 4 + 4 and page.count("&lt;7&gt;") == 5 and "http" not in page
