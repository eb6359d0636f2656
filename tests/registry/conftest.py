"""Plugins written to a temporary folder and installed there: a package plus its .dist-info with the entry point."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint, distributions
from pathlib import Path

import pytest

GOOD = """
from mmm_graph.config import Config
from mmm_graph.registry import hookimpl, method, model_type, op_type

class AddConfig(Config):
    in_dim: int | None = None

@hookimpl
def mmm_register_nodes():
    return [
        model_type("adaptor.{name}", AddConfig, "{name}.model:Add",
                   methods={{"forward": method(x="Embeds[b,l,$in_dim]", returns={{"y": "Embeds[b,l,$in_dim]"}})}}),
        op_type("{name}.double", "{name}.model:double", x="Scalar[]", returns={{"y": "Scalar[]"}}),
    ]
"""


class Site:
    """A folder that plays site-packages."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def install(self, name: str, source: str = GOOD, version: str = "1.0", dist: str = "") -> Path:
        """Write package `name` with that plugin.py and its metadata; returns plugin.py."""
        dist = dist or f"mmm-{name}"
        package = self.path / name
        package.mkdir(exist_ok=True)
        (package / "__init__.py").write_text("")
        plugin = package / "plugin.py"
        plugin.write_text(textwrap.dedent(source.format(name=name) if source is GOOD else source))
        info = self.path / f"{dist.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {dist}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(f"[mmm_graph]\n{name} = {name}.plugin\n")
        return plugin

    def points(self) -> list[EntryPoint]:
        """The entry points installed here and nowhere else."""
        return [p for d in distributions(path=[str(self.path)]) for p in d.entry_points]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """An empty Site on sys.path; what it imported is forgotten afterwards."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield Site(tmp_path)
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "") or "").startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, str], Path]:
    """Write a plugin file into the temporary folder."""

    def write(name: str, source: str) -> Path:
        path = tmp_path / name
        path.write_text(textwrap.dedent(source))
        return path

    return write
