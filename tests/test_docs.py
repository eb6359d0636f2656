"""What the documents say is true: links lead somewhere, snippets run, the format reference is up to date."""

from __future__ import annotations

import importlib.util
import re
import shlex
import sys
from pathlib import Path
from types import ModuleType

import pytest
from click.testing import CliRunner

from mmm_graph.cli.app import App
from mmm_graph.cli.main import cli
from mmm_graph.graph.compile import compile_graph
from mmm_graph.registry import load_registry
from mmm_graph.spec import load_spec

ROOT = Path(__file__).resolve().parent.parent
PAGES = [p for p in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")) if p.is_file()]
HEAVY = ("run", "train", "eval")
"""Verbs whose lines are only parsed here; tests/cli runs them."""


def snippets(language: str) -> list[tuple[str, str]]:
    """(page and line, code) of every fenced block of a language."""
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for match in re.finditer(rf"^```{language}\n(.*?)^```$", text, re.S | re.M):
            line = text[: match.start()].count("\n") + 1
            found.append((f"{page.relative_to(ROOT).as_posix()}:{line}", match[1]))
    return found


def commands() -> list[tuple[str, list[str]]]:
    lines = [(where, line) for where, code in snippets("sh") for line in code.splitlines()]
    words = [(where, shlex.split(line, comments=True)) for where, line in lines]
    return [(f"{where} {' '.join(w)}", w[1:]) for where, w in words if w[:1] == ["mmm"]]


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_generate", ROOT / "docs" / "generate.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_generated_files_are_up_to_date(generator: ModuleType):
    stale = [
        path.name for path, text in generator.pages().items() if path.read_text(encoding="utf-8") != text
    ]
    assert stale == [], "run: python docs/generate.py"


def test_every_key_of_the_format_is_explained_and_no_other(generator: ModuleType):
    texts = generator.key_texts()
    assert {m.__name__: set(generator.keys_of(m)) for m in generator.MODELS} == {
        k: set(v) for k, v in texts.items()
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path):
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.S | re.M)
    anchors = set(re.findall(r'<a id="([^"]+)"', text))
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        path, _, anchor = target.partition("#")
        assert (page.parent / path).exists() if path else anchor in anchors, target


@pytest.mark.parametrize(("where", "code"), snippets("yaml"), ids=lambda x: x.partition("\n")[0][:40])
def test_graphs_in_the_documents_compile(where: str, code: str):
    if not code.lstrip().startswith("mmm:"):
        pytest.skip("a part of a graph")
    compile_graph(load_spec(code), load_registry())


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the Python files that the documents show, and with the graphs that commands name."""
    folder = tmp_path_factory.mktemp("docs")
    for _, code in snippets("python"):
        name = re.match(r"# file: (\S+)\n", code)
        if name:
            (folder / name[1]).write_text(code, encoding="utf-8")
    for name in ("graphs", "docs"):
        (folder / name).symlink_to(ROOT / name)
    return folder


@pytest.mark.parametrize(
    "page", [p for p in PAGES if "```python" in p.read_text(encoding="utf-8")], ids=lambda p: p.name
)
def test_python_in_the_documents_runs(page: Path, written: Path, monkeypatch: pytest.MonkeyPatch):
    """The snippets of a page are one module, in order; line numbers are those of the page."""
    source, inside = [], False
    for line in page.read_text(encoding="utf-8").splitlines():
        fence = line.startswith("```")
        source.append(line if inside and not fence else "")
        inside = line == "```python" if fence else inside
    module = ModuleType(f"docs_{page.stem}")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.chdir(written)
    exec(compile("\n".join(source), str(page), "exec"), module.__dict__)


@pytest.mark.parametrize(("where", "words"), commands(), ids=lambda x: x if isinstance(x, str) else "")
def test_commands_in_the_documents_work(
    where: str, words: list[str], written: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(written)
    if words[0] in HEAVY:
        cli.commands[words[0]].make_context(words[0], words[1:], obj=App(()))
        return
    result = CliRunner().invoke(cli, words, catch_exceptions=False)
    assert result.exit_code == 0, result.output
