"""A name -> the files of a new plugin package, complete and passing its own tests."""

from __future__ import annotations

import importlib.util
import keyword
import re
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

from mmm_graph.errors import InputError, problem

LAYOUT: Mapping[str, str] = {
    "pyproject.toml": "pyproject.toml.txt",
    "README.md": "README.md.txt",
    "src/@PACKAGE@/__init__.py": "init.py.txt",
    "src/@PACKAGE@/config.py": "config.py.txt",
    "src/@PACKAGE@/model.py": "model.py.txt",
    "src/@PACKAGE@/node.py": "node.py.txt",
    "src/@PACKAGE@/plugin.py": "plugin.py.txt",
    "tests/test_@NAME@.py": "test.py.txt",
}
"""File of the new package -> file in plugin_template/."""


def new_plugin(name: str, folder: Path) -> list[Path]:
    """Write the package `mmm_NAME` into `folder/mmm_NAME`; returns its files.

    Raises:
        InputError: E405 the name is no Python name or is taken, E406 the folder holds something already.
    """
    name = name.removeprefix("mmm_").removeprefix("mmm-").replace("-", "_")
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,40}", name) or keyword.iskeyword(name):
        hint = "use lower-case letters, digits and _, starting with a letter, such as honeybee"
        raise InputError(problem("E405", f"{name!r} cannot name a plugin", hint=hint))
    package = f"mmm_{name}"
    if importlib.util.find_spec(package) is not None:
        raise InputError(
            problem("E405", f"a package {package} is installed already", hint="choose another name")
        )
    root = folder / package
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise InputError(
            problem("E406", f"{root} exists and is not empty", hint="choose another folder with -o")
        )
    words = {
        "@NAME@": name,
        "@PACKAGE@": package,
        "@DIST@": package.replace("_", "-"),
        "@CLASS@": "".join(word.capitalize() for word in name.split("_")),
    }
    return [_write(root / _filled(path, words), source, words) for path, source in LAYOUT.items()]


def _write(path: Path, source: str, words: Mapping[str, str]) -> Path:
    text = (files("mmm_graph.registry") / "plugin_template" / source).read_text(encoding="utf-8")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(_filled(text, words), encoding="utf-8")
    return path


def _filled(text: str, words: Mapping[str, str]) -> str:
    for mark, word in words.items():
        text = text.replace(mark, word)
    return text
