"""A picture -> the run that made it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from mmm_graph.api.origin import KEY, read_origin
from mmm_graph.api.rerun import differences, session_of_image
from mmm_graph.api.save import save_outputs
from mmm_graph.api.session import Session
from mmm_graph.checkpoint.save import save_module
from mmm_graph.errors import InputError

RESIZE = """
mmm: 1
inputs: {image: "Image[b,1,h,w]"}
nodes: {a: {op: image.resize, in: {image: $in.image}, config: {height: 8, width: 8}}}
outputs: {a: {from: a, save: {format: png}}}
"""


def save(session: Session, folder: Path, seed: Any = 0, outputs: list[str] | None = None) -> Path:
    result = session.result(seed=seed, outputs=outputs)
    origin = session.origin({}, seed, outputs)
    return save_outputs(session.graph, session.registry, result, folder, origin=origin)[0].files[0]


def again(path: Path, folder: Path, **options: Any) -> Path:
    session, seed, outputs = session_of_image(path, options)
    assert differences(path, session) == ()
    return save(session, folder, seed, outputs)


def with_weights(tiny: Path, folder: str = ".") -> Path:
    """The file, with the weights that its start gives written out."""
    Path(folder).mkdir(exist_ok=True)
    save_module(Session(tiny).module("dit"), Path(folder) / "dit.safetensors")
    text = tiny.read_text().replace("init: default", "weights: file:dit.safetensors")
    (Path(folder) / "g.yaml").write_text(text)
    return Path(folder) / "g.yaml"


def test_bit_for_bit_with_params_keys_inputs_and_seeds(tiny: Path) -> None:
    sets = {
        "steps": "3",
        "prompt": "[two, one]",
        "sampler": "sampler.euler",
        "nodes.noise.config.height": "10",
    }
    first = save(Session(tiny, sets=sets, params={"guidance_scale": 2}), Path("out"), [4, 5], ["image"])
    second = again(first, Path("again"))
    assert first.read_bytes() == second.read_bytes()
    other = save(Session(tiny), Path("other"), [4, 5], ["image"])
    assert other.read_bytes() != first.read_bytes()


def test_from_another_folder_and_when_all_has_moved(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = save(Session(with_weights(tiny, "graphs")), Path("out"))
    Path("else").mkdir()
    monkeypatch.chdir("else")
    assert again(tmp_path / first, Path("b")).read_bytes() == (tmp_path / first).read_bytes()
    (tmp_path / "graphs").rename(tmp_path / "else" / "moved")
    with pytest.raises(InputError, match=r"was made by graphs/g\.yaml, which is found neither"):
        session_of_image(tmp_path / first, {})
    monkeypatch.chdir("moved")
    assert again(tmp_path / first, Path("c")).read_bytes() == (tmp_path / first).read_bytes()


def test_a_graph_without_files_needs_only_the_picture(tiny: Path) -> None:
    first = save(Session(tiny), Path("out"))
    tiny.unlink()
    assert again(first, Path("again")).read_bytes() == first.read_bytes()


def test_other_weights_are_refused(tiny: Path) -> None:
    first = save(Session(with_weights(tiny)), Path("out"))
    old = Path("dit.safetensors").read_bytes()
    module = Session(tiny).module("dit")
    torch.nn.init.ones_(next(module.parameters()))
    save_module(module, Path("dit.safetensors"))
    with pytest.raises(InputError, match="dit: the weights are not those that made the picture"):
        again(first, Path("again"))
    Path("old").mkdir()
    Path("old/dit.safetensors").write_bytes(old)
    assert again(first, Path("again"), weights=Path("old")).read_bytes() == first.read_bytes()


def test_images_are_found_by_name_and_compared(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("resize.yaml").write_text(RESIZE)
    Image.linear_gradient("L").resize((16, 16)).save("in.png")
    first = save(Session("resize.yaml", sets={"image": "in.png"}), Path("out"))
    Path("else").mkdir()
    monkeypatch.chdir("else")
    assert again(tmp_path / first, Path("again")).read_bytes() == (tmp_path / first).read_bytes()
    Image.new("L", (16, 16)).save(tmp_path / "in.png")
    with pytest.raises(InputError, match=r"image was the file in\.png, which is not the same any more"):
        session_of_image(tmp_path / first, {})
    (tmp_path / "in.png").unlink()
    with pytest.raises(InputError, match=r"image was the file in\.png, which is not found"):
        session_of_image(tmp_path / first, {})


def test_a_tensor_is_not_in_the_file(tiny: Path) -> None:
    session = Session(RESIZE, params={"image": torch.zeros(1, 1, 16, 16)})
    with pytest.raises(InputError, match=r"image was given as torch\.float32 \[1, 1, 16, 16\]"):
        session_of_image(save(session, Path("out")), {})


def test_secrets_are_neither_carried_nor_needed_unless_used(tiny: Path) -> None:
    first = save(Session(tiny, sets={"token": "geheim"}), Path("out"))
    assert b"geheim" not in first.read_bytes()
    assert again(first, Path("again")).read_bytes() == first.read_bytes()
    session, _, _ = session_of_image(first, {}, {"token": "geheim"})
    assert session.spec.values["token"].get_secret_value() == "geheim"
    with pytest.raises(InputError, match="is run again exactly as it was, without --set steps"):
        session_of_image(first, {}, {"steps": "3"})


def test_another_version_is_told_of(tiny: Path) -> None:
    first = save(Session(tiny), Path("out"))
    origin = replace(read_origin(first), torch="1.0", plugins="0" * 64)
    info = PngInfo()
    info.add_itxt(KEY, origin.text())
    Image.open(first).save("changed.png", pnginfo=info)
    session, _, _ = session_of_image(Path("changed.png"), {})
    texts = [str(p) for p in differences(Path("changed.png"), session)]
    assert len(texts) == 2
    assert "was made with torch 1.0" in texts[0]


def test_a_graph_that_was_changed_by_hand(tiny: Path) -> None:
    first = save(Session(tiny), Path("out"))
    tree = json.loads(read_origin(first).text())
    info = PngInfo()
    info.add_itxt(KEY, json.dumps({**tree, "graph": "mmm: 7"}))
    Image.open(first).save("changed.png", pnginfo=info)
    with pytest.raises(InputError, match="mmm"):
        session_of_image(Path("changed.png"), {})
