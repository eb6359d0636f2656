"""Folders of other libraries, as importers see them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mmm_graph.errors import InputError
from mmm_graph.registry import Importer, Registry, load_registry
from mmm_graph.registry.foreign import open_foreign
from tests.foreign.folders import PLUGIN, checkpoint, write_json


@pytest.fixture(scope="module")
def registry() -> Registry:
    return load_registry(allow=[], extra_files=[PLUGIN])


def test_a_pipeline(tmp_path: Path, registry: Registry) -> None:
    foreign = open_foreign(checkpoint(tmp_path, watermark=["theirs", "Mark"]), "hf:a/b", registry)
    tree = foreign.translate()
    assert tree["models"] == {"net": {"kind": "encoder.toy", "weights": "hf:a/b/net"}}
    assert tree["params"]["steps"]["default"] == 4
    assert foreign.notes == ["watermark (Mark) is left out: no node draws one"]


def test_sizes_that_are_not_the_default_are_written(tmp_path: Path, registry: Registry) -> None:
    folder = checkpoint(tmp_path, config={"hidden_size": 5})
    assert open_foreign(folder / "net", "file:net", registry).model()["config"] == {"width": 5}


@pytest.mark.parametrize(
    ("net", "index", "said"),
    [
        ({"act": "gelu"}, {}, "act: 'gelu' is not supported"),
        ({}, {"extra": ["theirs", "Extra"]}, "components that cannot be imported: extra"),
        ({}, {"net": ["theirs", "OtherToy"]}, "OtherToy, which no model kind can read"),
        ({}, {"net": [None, None]}, "has no net"),
        ({}, {"scheduler": ["theirs", "TheirSchedular"]}, "did you mean TheirScheduler"),
    ],
)
def test_what_is_refused(tmp_path: Path, registry: Registry, net: dict, index: dict, said: str) -> None:
    foreign = open_foreign(checkpoint(tmp_path, config=net, **index), "file:x", registry)
    with pytest.raises(InputError) as caught:
        foreign.translate()
    assert said in str(caught.value) and "E612" in str(caught.value)


def test_one_model_alone(tmp_path: Path, registry: Registry) -> None:
    with pytest.raises(InputError, match="one model: name the folder of the pipeline"):
        open_foreign(checkpoint(tmp_path) / "net", "file:x", registry).translate()


def test_an_importer_that_refuses(tmp_path: Path, registry: Registry) -> None:
    with pytest.raises(InputError, match=r"E612.*TheirScheduler.*steps: 0 is not supported"):
        open_foreign(checkpoint(tmp_path, steps=0), "file:x", registry).translate()


@pytest.mark.parametrize("text", ["{", "[1]", '{"a": 1}'])
def test_a_config_that_is_none(tmp_path: Path, registry: Registry, text: str) -> None:
    write_json(tmp_path / "config.json", {})
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(InputError, match="E612"):
        open_foreign(tmp_path, "file:x", registry)


def test_a_folder_that_names_no_class_is_known_by_its_config(tmp_path: Path) -> None:
    importer = Importer("TheirFolder", "tests.foreign.folders:nothing", config="their_config.json")
    registry = replace(load_registry(allow=[]), importers={"TheirFolder": importer})
    with pytest.raises(InputError, match="names a class"):
        open_foreign(tmp_path, "file:x", registry)
    write_json(tmp_path / "their_config.json", {"a": 1})
    found = open_foreign(tmp_path, "file:x", registry)
    assert found.class_name == "TheirFolder" and found.config == {"a": 1}
    write_json(tmp_path / "config.json", {"architectures": ["TheirToy"]})
    assert open_foreign(tmp_path, "file:x", registry).class_name == "TheirToy"


def test_other_files_of_a_folder(tmp_path: Path, registry: Registry) -> None:
    foreign = open_foreign(checkpoint(tmp_path), "file:x", registry)
    write_json(tmp_path / "words.json", {"a": 1})
    assert foreign.beside("words.json") == {"a": 1} and foreign.beside("nothing.json") == {}
