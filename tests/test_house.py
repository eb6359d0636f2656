"""The house rules of CONTRIBUTING.md that a machine can check."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.covered_by import COVERED_BY

if sys.version_info >= (3, 11):
    import tomllib
else:  # pytest brings it along where the standard library has none
    import tomli as tomllib

ROOT = Path(__file__).resolve().parent.parent
FILE_LINES, FUNCTION_LINES, DOCSTRING_LINES = 400, 60, 3
TEXT = {".py", ".md", ".yaml", ".yml", ".toml", ".txt", ".cfg", ".json", ".svg", ".html", ""}
SKIPPED = re.compile(
    r"(^|/)(\.git|\.venv|\.mmm|out|runs|build|dist|node_modules|[^/]*cache[^/]*|[^/]*\.egg-info)(/|$)"
)
BROAD = {
    "mmm_graph/api/save.py": "whatever a saver raises becomes an error that names the output",
    "mmm_graph/registry/load.py": "one broken plugin must not take the program down",
    "mmm_graph/runtime/construct.py": "whatever a plugin's constructor raises becomes an error that names the model",
    "mmm_graph/runtime/executor.py": "whatever a plugin raises becomes an error that names the node",
    "mmm_graph/runtime/world.py": "an error of a thread is handed to its caller",
    "mmm_graph/testing/call.py": "whatever a plugin raises is a finding",
    "mmm_graph/testing/node.py": "whatever a plugin raises is a finding",
    "plugins/mmm_text/tokenizer_files.py": "the tokenizers library raises bare Exception",
    "mmm_graph/nn/output_files.py": "no half-written file stays, on Ctrl-C too",
}
"""Files that may catch everything, and why."""


def files(*folders: str) -> list[Path]:
    found = [p for folder in folders for p in (ROOT / folder).rglob("*") if p.is_file()]
    return sorted(p for p in found if not SKIPPED.search(p.relative_to(ROOT).as_posix()))


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


SOURCES = [p for p in files("mmm_graph", "plugins") if p.suffix == ".py"]
ALL_PYTHON = SOURCES + [p for p in files("tests", "benchmarks", "docs") if p.suffix == ".py"]
TREES = {p: ast.parse(p.read_text(encoding="utf-8")) for p in ALL_PYTHON}
PLUGINS = sorted(p.name for p in (ROOT / "plugins").glob("mmm_*") if (p / "plugin.py").exists())


def test_files_are_short():
    long = {
        name(p): n for p in ALL_PYTHON if (n := len(p.read_text(encoding="utf-8").splitlines())) > FILE_LINES
    }
    assert long == {}


def test_functions_are_short():
    long = [
        f"{name(path)}:{node.lineno} {node.name}"
        for path, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno + 1 > FUNCTION_LINES
    ]
    assert long == []


def test_modules_say_in_three_lines_what_they_do():
    docs = {name(p): ast.get_docstring(TREES[p]) for p in SOURCES if TREES[p].body}
    assert [n for n, doc in docs.items() if not doc] == []
    assert [n for n, doc in docs.items() if doc and len(doc.splitlines()) > DOCSTRING_LINES] == []


def test_annotations_are_not_evaluated():
    line = "from __future__ import annotations"
    assert [
        name(p)
        for p in SOURCES
        if any(isinstance(n, ast.FunctionDef | ast.ClassDef) for n in TREES[p].body)
        and line not in p.read_text(encoding="utf-8")
    ] == []


def test_only_the_listed_files_catch_everything():
    broad = {
        name(path)
        for path in SOURCES
        for node in ast.walk(TREES[path])
        if isinstance(node, ast.ExceptHandler)
        and (
            node.type is None
            or (isinstance(node.type, ast.Name) and node.type.id in ("Exception", "BaseException"))
        )
    }
    assert broad == set(BROAD)


def test_no_global_state_and_no_star_imports():
    found = [
        f"{name(path)}:{node.lineno}"
        for path in SOURCES
        for node in ast.walk(TREES[path])
        if isinstance(node, ast.Global)
        or (isinstance(node, ast.ImportFrom) and any(alias.name == "*" for alias in node.names))
    ]
    assert found == []


def test_no_machine_paths():
    pattern = re.compile(r"(?<![\w.}])/(home|root|Users|work|private)/\w|[A-Z]:\\\\?Users")
    bad = []
    for path in [
        *files("mmm_graph", "plugins", "tests", "graphs", "docs", "benchmarks", ".ci"),
        *ROOT.glob("*"),
    ]:
        if path.is_file() and path.suffix in TEXT and path != Path(__file__).resolve():
            lines = path.read_text(encoding="utf-8").splitlines()
            bad += [f"{name(path)}:{i}" for i, line in enumerate(lines, 1) if pattern.search(line)]
    assert bad == []


@pytest.mark.parametrize("package", ["spec", "registry", "graph", "plan", "view", "cli.main"])
def test_what_comes_before_execution_starts_without_torch(package: str):
    code = f"import sys, mmm_graph.{package}; print('torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert run.stdout.strip() == "False"


def test_every_source_file_has_its_test_file():
    missing = [
        n
        for n in map(name, SOURCES)
        if not n.endswith("__init__.py") and not _tests_of(n) and n not in COVERED_BY
    ]
    assert missing == [], "write the test, or name the test that covers it in tests/covered_by.py"


def test_the_list_of_exceptions_is_true():
    assert [n for n in COVERED_BY if not (ROOT / n).exists() or _tests_of(n)] == []
    assert [t for t in COVERED_BY.values() if not (ROOT / t).exists()] == []


def _tests_of(source: str) -> bool:
    """A mirrored test file; for the declarations and models of a plugin family also the family's tests."""
    path = Path(source.removeprefix("mmm_graph/"))
    mirror = ROOT / "tests" / path.parent
    if (mirror / f"test_{path.name}").exists():
        return True
    if path.parts[0] != "plugins" or path.name == "plugin.py":
        return path.name == "plugin.py" and any(mirror.rglob("test_*.py"))
    return (mirror.parent / f"test_{path.parent.name}.py").exists() or any(mirror.glob("test_*.py"))


def test_readme_tree_matches_the_disk():
    listed = set(_readme_tree())
    assert [p for p in sorted(listed) if not (ROOT / p).exists()] == []
    packages = [f"mmm_graph/{p.parent.name}" for p in (ROOT / "mmm_graph").glob("*/__init__.py")]
    modules = [name(p) for p in (ROOT / "mmm_graph").glob("*.py") if p.name != "__init__.py"]
    visible = [
        p.name
        for p in ROOT.iterdir()
        if p.is_dir() and p.name[0] != "." and p.name not in ("out", "runs", "build")
    ]
    visible = [n for n in visible if not n.endswith(".egg-info") and n != "__pycache__"]
    expected = {*packages, *modules, *(f"plugins/{n}" for n in PLUGINS), *visible}
    assert sorted(expected - listed) == []


def _readme_tree() -> list[str]:
    """Paths in the code block under "The tree": two spaces of indent a level, names, two spaces, a comment."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    block = re.search(r"^## The tree$.*?^```\w*$(.*?)^```$", text, re.S | re.M)
    assert block, "README.md has no code block under '## The tree'"
    found, parents = [], list[str]()
    for line in filter(str.strip, block[1].splitlines()):
        depth = (len(line) - len(line.lstrip())) // 2
        names = re.split(r"\s{2,}", line.strip())[0].split()
        parents = parents[:depth]
        found += ["/".join([*parents, n.rstrip("/")]) for n in names]
        parents.append(names[-1].rstrip("/"))
    return found


def test_every_plugin_is_an_entry_point_and_under_the_import_rules():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    entries = project["project"]["entry-points"]["mmm_graph"]
    assert sorted(entries.values()) == [f"{n}.plugin" for n in PLUGINS]
    rules = project["tool"]["importlinter"]
    assert set(PLUGINS) < set(rules["root_packages"])
    lists = [c.get("modules") or c.get("source_modules") for c in rules["contracts"][-2:]]
    assert [sorted(found) for found in lists] == [PLUGINS, PLUGINS]


def test_every_requirement_is_pinned():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *(r for rs in project["optional-dependencies"].values() for r in rs)]
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = {_normal(pin) for pin in pins if "==" in pin}
    assert {_normal(w) for w in wanted} - {"mmm-graph"} <= pinned


def _normal(requirement: str) -> str:
    return re.sub(r"[-_.]+", "-", re.split(r"[\[=<>;~! ]", requirement)[0]).lower()
