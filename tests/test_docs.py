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
from tests.pages import blocks, compare, run_page

ROOT = Path(__file__).resolve().parent.parent
PAGES = [p for p in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")) if p.is_file()]
HEAVY = ("run", "train", "eval", "export")
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


def whole_graphs() -> list[tuple[str, str]]:
    """Graphs that a page shows; those that are files are checked by the page's own commands."""
    return [(w, code) for w, code in snippets("yaml") if code.lstrip().startswith("mmm:")]


@pytest.mark.parametrize(("where", "code"), whole_graphs(), ids=lambda x: x.partition("\n")[0][:40])
def test_graphs_in_the_documents_compile(where: str, code: str):
    compile_graph(load_spec(code), load_registry())


def test_parts_of_files_are_what_the_files_say():
    wrong = []
    for where, code in snippets("yaml"):
        named = re.match(r"# from (\S+)\n", code)
        if named and code[named.end() :] not in (ROOT / named[1]).read_text(encoding="utf-8"):
            wrong.append(where)
    assert wrong == []


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files that the documents show, and with the graphs that commands name."""
    folder = tmp_path_factory.mktemp("docs")
    for page in PAGES:
        _prepare(page, folder)
    return folder


def _prepare(page: Path, folder: Path) -> None:
    for block in blocks(page):
        if block.file:
            (folder / block.file).write_text(block.code, encoding="utf-8")
    for name in ("graphs", "docs"):
        if not (folder / name).exists():
            (folder / name).symlink_to(ROOT / name)


@pytest.mark.parametrize(
    "page",
    [p for p in PAGES if {"python", "console"} & {b.language for b in blocks(p)}],
    ids=lambda p: p.name,
)
def test_what_a_page_runs_gives_what_it_shows(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The Python of a page is one module; it and the commands run in the order of the page, in one folder."""
    _prepare(page, tmp_path)
    module = ModuleType(f"docs_{page.stem}")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    run_page(page, module)


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        ("a\n", "a"),
        ("a\n...\nd", "a\nb\nc\nd"),
        ("a ... c", "a b c"),
        ("...", ""),
        ("...\nz", "y\nz"),
        ("a...a", "aa"),
    ],
)
def test_dots_stand_for_any_text(shown: str, printed: str):
    compare(shown, printed, "")


@pytest.mark.parametrize(
    ("shown", "printed"), [("a", "b"), ("a...a", "a"), ("a...b...c", "acb"), ("a\n...", "b\na")]
)
def test_what_is_shown_is_compared(shown: str, printed: str):
    with pytest.raises(AssertionError, match="another output"):
        compare(shown, printed, "")


def test_every_code_is_listed_and_every_listed_code_exists():
    page = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| ([EW]\d{3}) \|", page, re.M)
    sources = [p for folder in ("mmm_graph", "plugins") for p in (ROOT / folder).rglob("*.py")]
    used = {code for p in sources for code in re.findall(r'"([EW]\d{3})"', p.read_text(encoding="utf-8"))}
    assert listed == sorted(set(listed), key=lambda c: (page.index(f"| {c} |"), c))
    assert sorted(used - set(listed)) == [], "explain these in docs/errors.md"
    assert sorted(set(listed) - used) == [], "nothing says these any more"


def test_decisions_have_numbers_of_their_own():
    names = sorted(p.name for p in (ROOT / "docs" / "decisions").glob("*.md"))
    assert [int(name[:3]) for name in names] == list(range(1, len(names) + 1))


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
