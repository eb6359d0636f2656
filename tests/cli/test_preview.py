"""`mmm run --preview`."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from tests.cli.conftest import Mmm


def test_what_the_loop_shows_goes_through_the_rest_of_the_graph(mmm: Mmm, tiny: Path) -> None:
    assert mmm("run", tiny, "--preview", "--set", "steps=5", "--seed", "3,4").status == 0
    names = sorted(p.name for p in Path("out/preview").iterdir())
    assert names == [f"denoise.steps-{step:04d}-image-{i}.png" for step in (2, 4) for i in (0, 1)]
    assert Image.open(f"out/preview/{names[0]}").size == (8, 8)
    assert Image.open(f"out/preview/{names[0]}").tobytes() != Image.open("out/image-0.png").tobytes()
    plain = mmm("run", tiny, "--set", "steps=5", "--seed", "3,4", "-o", "plain")
    assert plain.status == 0
    assert Path("plain/image-0.png").read_bytes() == Path("out/image-0.png").read_bytes()
    assert not Path("plain/preview").exists()


def test_a_preview_does_not_claim_to_be_an_output(mmm: Mmm, tiny: Path) -> None:
    mmm("run", tiny, "--preview")
    done = mmm("run", "out/preview/denoise.steps-0002-image-0.png")
    assert done.status == 2
    assert "carries no graph" in done.err


def test_a_graph_that_shows_nothing(mmm: Mmm, tiny: Path, tiny_text: str) -> None:
    tiny.write_text(tiny_text.replace("    config: {preview: 2}\n", ""))
    done = mmm("run", tiny, "--preview")
    assert done.status == 2
    assert "--set nodes.NAME.config.preview=2" in done.err
    assert mmm("run", tiny, "--preview", "--set", "nodes.denoise.config.preview=2").status == 0
