"""Every kind of file data keeps what it declares, on a folder with one of everything."""

from __future__ import annotations

import io
import json
import re
import sys
import tarfile
import wave
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from PIL import Image

from mmm_data.files.node import file_nodes
from mmm_graph.spec import DataSpec
from mmm_graph.spec.ports import parse_port
from mmm_graph.testing import check_node
from mmm_graph.train.collate import OWNERS
from mmm_graph.train.loader import Loader

CONFIGS: dict[str, dict[str, Any]] = {
    "data.image_text": {"path": "pairs", "size": 8},
    "data.image_folder": {"path": "classes", "size": [4, 8]},
    "data.triplets": {"path": "classes", "size": 4},
    "data.conversations": {"path": "chats.jsonl"},
    "data.audio_folder": {"path": "sounds", "rate": 8000},
    "data.video_folder": {"path": "videos", "size": 4, "frames": 2},
    "data.webdataset": {"path": "*.tar", "size": 4},
    "data.huggingface": {"path": "rows.csv", "columns": {"text": {"key": "caption"}}},
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number, name in enumerate(
        ("pairs/a", "pairs/b", "classes/x/a", "classes/x/b", "classes/y/a", "videos/v/a")
    ):
        file = tmp_path / f"{name}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (6, 6), (number, 0, 0)).save(file)
        file.with_suffix(".txt").write_text(name)
    (tmp_path / "videos/v.txt").write_text("a film")
    (tmp_path / "sounds").mkdir()
    with wave.open(str(tmp_path / "sounds/a.wav"), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(b"\0\0" * 10)
    (tmp_path / "sounds/a.txt").write_text("silence")
    turns = [{"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": "A square."}]
    (tmp_path / "chats.jsonl").write_text(json.dumps({"image": "pairs/a.png", "conversations": turns}))
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        tar.add(tmp_path / "pairs/a.png", "0.png")
        info = tarfile.TarInfo("0.txt")
        info.size = 2
        tar.addfile(info, io.BytesIO(b"hi"))
    (tmp_path / "rows.csv").write_text("caption\nhello\n")
    return tmp_path


class Rows(list[dict[str, str]]):
    """As much of a table of the `datasets` library as is read."""

    column_names = ("caption",)


@pytest.fixture
def datasets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stands for the library: what is tested is what we ask of it and make of its rows."""
    module = ModuleType("datasets")

    def load_dataset(kind: str, data_files: list[str], split: str) -> Rows:
        assert (kind, len(data_files), split) == ("csv", 1, "train")
        return Rows([{"caption": "hello"}])

    module.load_dataset = load_dataset  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "datasets", module)


@pytest.mark.usefixtures("datasets")
@pytest.mark.parametrize("node", file_nodes(), ids=lambda node: node.kind)
def test_kind_keeps_what_it_declares(node: Any, folder: Path) -> None:
    config = {**CONFIGS[node.kind], "path": str(folder / CONFIGS[node.kind]["path"])}
    check_node(node, config=config)
    made = node.config.model_validate(config)
    module, _, name = node.builder.partition(":")
    dataset = getattr(sys.modules[module], name)(made)
    columns = {k: parse_port(v) for k, v in node.columns(made).items()}
    values = Loader(dataset, columns, seed=1).at(0, 3).values
    assert [k for k, v in values.items() if v is None or k.endswith(OWNERS)] == []


def test_the_data_of_the_documents_is_as_it_is_written_there() -> None:
    page = (Path(__file__).parents[4] / "docs" / "data.md").read_text(encoding="utf-8")
    blocks = [yaml.safe_load(code) for code in re.findall(r"^```yaml\n(.*?)^```$", page, re.S | re.M)]
    data = [block["data"] for block in blocks if "data" in block]
    sources = [source for one in data for source in ([one] if "op" in one else one.values())]
    kinds = {node.kind: node for node in file_nodes()}
    for source in sources:
        spec = DataSpec.model_validate(source)
        assert kinds[spec.op].columns(kinds[spec.op].config.model_validate(spec.config))
    assert {source["op"] for source in sources} == kinds.keys()
