"""`mmm plugins list | new`."""

from __future__ import annotations

import json
from importlib.metadata import EntryPoint
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from mmm_graph.cli.plugins import plugins_group
from mmm_graph.errors import InputError
from mmm_graph.registry import load_registry

POINTS = [EntryPoint("gone", "no_such_package.plugin", "mmm_graph"), EntryPoint("bare", "json", "mmm_graph")]
APP = SimpleNamespace(registry=lambda: load_registry(points=POINTS))


def test_list_shows_each_plugin_and_the_cause_of_a_failure() -> None:
    done = CliRunner().invoke(plugins_group, ["list"], obj=APP)
    assert done.exit_code == 0
    rows = done.output.splitlines()
    assert rows[1].split()[:2] == ["bare", "FAILED"]
    assert rows[2].split()[:2] == ["gone", "FAILED"]
    text = " ".join(done.output.split())
    assert "error[E401] plugin gone ((no distribution)) failed to load: ModuleNotFoundError" in text
    assert max(map(len, rows)) <= 80


def test_list_as_json() -> None:
    done = CliRunner().invoke(plugins_group, ["list", "--json", "--failed"], obj=APP)
    rows = json.loads(done.output)
    assert [r["name"] for r in rows] == ["bare", "gone"]
    assert rows[0]["status"] == "FAILED"
    assert "it has no function marked with @hookimpl" in rows[0]["cause"]


def test_list_without_plugins() -> None:
    app = SimpleNamespace(registry=lambda: load_registry(points=[]))
    assert CliRunner().invoke(plugins_group, ["list"], obj=app).output == "no plugins are installed\n"
    assert CliRunner().invoke(plugins_group, ["list", "--failed"], obj=app).output == "no plugin failed\n"


def test_new_writes_a_package_and_says_what_next(tmp_path: Path) -> None:
    done = CliRunner().invoke(plugins_group, ["new", "tiny_toy", "-o", str(tmp_path)], obj=APP)
    assert done.exit_code == 0
    assert (tmp_path / "mmm_tiny_toy" / "src" / "mmm_tiny_toy" / "plugin.py").is_file()
    assert "pip install -e" in done.output
    with pytest.raises(InputError, match="E406"):
        CliRunner().invoke(plugins_group, ["new", "tiny_toy", "-o", str(tmp_path)], catch_exceptions=False)
