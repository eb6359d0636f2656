"""`mmm plugins new` writes a package that loads, passes check_node, and its own tests once installed."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from mmm_graph.errors import InputError
from mmm_graph.registry import load_registry
from mmm_graph.registry.template import new_plugin


def test_the_new_package_loads_and_keeps_its_promises(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mmm_graph.testing import check_node

    written = new_plugin("loaded_toy", tmp_path)
    assert sorted(str(p.relative_to(tmp_path)) for p in written) == [
        "mmm_loaded_toy/README.md",
        "mmm_loaded_toy/pyproject.toml",
        "mmm_loaded_toy/src/mmm_loaded_toy/__init__.py",
        "mmm_loaded_toy/src/mmm_loaded_toy/config.py",
        "mmm_loaded_toy/src/mmm_loaded_toy/model.py",
        "mmm_loaded_toy/src/mmm_loaded_toy/node.py",
        "mmm_loaded_toy/src/mmm_loaded_toy/plugin.py",
        "mmm_loaded_toy/tests/test_loaded_toy.py",
    ]
    assert not [p for p in written if "@" in p.read_text().replace("@hookimpl", "").replace("@pytest", "")]
    monkeypatch.syspath_prepend(str(tmp_path / "mmm_loaded_toy" / "src"))
    registry = load_registry(
        points=[EntryPoint("loaded_toy", "mmm_loaded_toy.plugin", "mmm_graph")], strict=True
    )
    assert registry.kinds() == ("adaptor.loaded_toy",)
    check_node(registry.get("adaptor.loaded_toy"), config={"hidden": 8})
    for name in [n for n in sys.modules if n.partition(".")[0] == "mmm_loaded_toy"]:
        del sys.modules[name]


@pytest.mark.parametrize("name", ["mmm_tiny_toy", "mmm-tiny-toy", "tiny-toy"])
def test_the_prefix_may_be_written_or_not(tmp_path: Path, name: str) -> None:
    assert new_plugin(name, tmp_path)[0] == tmp_path / "mmm_tiny_toy" / "pyproject.toml"


@pytest.mark.parametrize("name", ["", "9lives", "Über", "a b", "../x", "class", "A", "x" * 60])
def test_a_bad_name_is_refused_and_nothing_is_written(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"E405\].*cannot name a plugin"):
        new_plugin(name, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_package_that_exists_is_not_shadowed(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a package mmm_graph is installed already"):
        new_plugin("graph", tmp_path)


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    keep = tmp_path / "mmm_tiny_toy" / "README.md"
    keep.parent.mkdir()
    keep.write_text("mine")
    with pytest.raises(InputError, match=r"E406\].*is not empty"):
        new_plugin("tiny_toy", tmp_path)
    assert keep.read_text() == "mine"


def test_the_installed_package_passes_its_own_tests(tmp_path: Path) -> None:
    new_plugin("tiny_toy", tmp_path)
    root, target = tmp_path / "mmm_tiny_toy", tmp_path / "site"
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--disable-pip-version-check", "--target", str(target), str(root)], check=True)
    env = {**os.environ, "PYTHONPATH": str(target)}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", str(root / "tests")],
        cwd=root,
        env=env,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout
