"""`include: {sd: sd15.yaml}`: a file's params, models and graphs under a prefix, references rewritten."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import ValidationError

from mmm_graph.errors import Problem, problem
from mmm_graph.spec.base import is_name
from mmm_graph.spec.explain import explain, nearest
from mmm_graph.spec.files import MAX_VALUES, Tree, mark_key, read_tree
from mmm_graph.spec.graph import GraphSpec
from mmm_graph.spec.scalars import describe

SECTIONS = ("params", "models", "graphs")
MAX_FILES = 64


def merge_includes(tree: Tree, folder: Path, problems: list[Problem], chain: tuple[Path, ...]) -> Tree:
    """The tree with what its `include:` names brought in, and `include:` itself gone.

    Args:
        tree: a tree as read, not yet checked.
        folder: where the paths of included files begin.
        problems: gets what is wrong, with places in the file that is wrong.
        chain: the files that led here, to find cycles.
    """
    return _merge(tree, folder, problems, chain, [0])


def _merge(
    tree: Tree, folder: Path, problems: list[Problem], chain: tuple[Path, ...], count: list[int]
) -> Tree:
    includes = tree.value.get("include") if isinstance(tree.value, dict) else None
    if not isinstance(includes, dict):
        return tree  # absent, or its form is reported by the check of the whole tree; so below
    if not all(isinstance(file, str) and is_name(prefix) for prefix, file in includes.items()):
        return tree
    value = {key: (dict(item) if isinstance(item, dict) else item) for key, item in tree.value.items()}
    places = dict(tree.places)
    for prefix, file in includes.items():
        path = _find(file, folder, chain)
        count[0] += 1
        if isinstance(path, str) or count[0] > MAX_FILES:
            message = path if isinstance(path, str) else f"more than {MAX_FILES} files are included"
            problems.append(
                problem("E120", f"include.{prefix}: {message}", nearest(("include", prefix), places))
            )
            continue
        inner = _load(path, folder, problems, chain, count)
        if inner is not None and len(places) + len(inner.places) > 2 * MAX_VALUES:
            message = f"include.{prefix}: the files hold more than {MAX_VALUES} values"
            problems.append(problem("E106", message, nearest(("include", prefix), places)))
        elif inner is not None:
            _bring(Tree(value, places), _prefixed(inner, prefix, PurePosixPath(file).parent), problems)
    del value["include"]
    return Tree(value, places)


def _find(file: str, folder: Path, chain: tuple[Path, ...]) -> Path | str:
    """The included file, or what is wrong with it."""
    pure = PurePosixPath(file)
    if pure.is_absolute() or ":" in file or "\\" in file or "\0" in file:
        return f"expects a path from the folder of this file, got {describe(file)}"
    path = folder / file
    try:
        resolved = path.resolve()
        if any(resolved == other.resolve() for other in chain):
            return f"{describe(file)} includes itself: " + " -> ".join(p.name for p in (*chain, path))
        if not path.is_file():
            return f"there is no file {path}"
    except (OSError, RuntimeError, ValueError) as error:
        return f"{describe(file)} cannot be read: {error}"
    return path


def _load(
    path: Path, folder: Path, problems: list[Problem], chain: tuple[Path, ...], count: list[int]
) -> Tree | None:
    """The included file with its own includes, checked; None after reporting what is wrong."""
    tree, found = read_tree(path)
    if not found:
        tree = _merge(tree, path.parent, found, (*chain, path), count)
    if tree.value is not None:
        try:
            GraphSpec.model_validate(tree.value)
        except ValidationError as error:
            known = {p.place for p in found}
            found += [p for p in explain(error, GraphSpec, tree.value, tree.places) if p.place not in known]
    problems += found
    return None if found else tree


def _bring(into: Tree, inner: Tree, problems: list[Problem]) -> None:
    """Add the params, models and graphs of `inner` to the (fresh, unshared) mappings of `into`."""
    places = into.places
    assert isinstance(places, dict)
    for section in SECTIONS:
        mine = into.value.setdefault(section, {})
        for name, item in inner.value.get(section, {}).items():
            if not isinstance(mine, dict):
                break  # its form is reported by the check of the whole tree
            if name in mine:
                place = places.get(mark_key((section, name)))
                problems.append(
                    problem("E121", f"{section}.{name}: an included file has that name too", place)
                )
            mine.setdefault(name, item)
        if mine == {}:
            del into.value[section]
    for path, place in inner.places.items():
        if path and path[0] in SECTIONS and path not in places:
            places[path] = place


def _prefixed(tree: Tree, prefix: str, folder: PurePosixPath) -> Tree:
    """Params, models and graphs of a checked tree under `prefix.`, with what refers to them."""
    names = {section: set(tree.value.get(section) or {}) for section in SECTIONS}
    rewrite = _Rewrite(prefix, folder, names["models"], names["graphs"])
    value: dict[str, Any] = {}
    for section, each in (
        ("params", rewrite.literals),
        ("models", rewrite.model),
        ("graphs", rewrite.subgraph),
    ):
        items = tree.value.get(section) or {}
        value[section] = {f"{prefix}.{name}": each(item) for name, item in items.items()}
    places = {
        (path[0], f"{prefix}.{path[1]}", *path[2:]) if len(path) > 1 and path[0] in SECTIONS else path: place
        for path, place in tree.places.items()
    }
    return Tree(value, places)


class _Rewrite:
    """Rewrites the references of one included file; names bound by an instance (`models:`) are left alone."""

    def __init__(self, prefix: str, folder: PurePosixPath, models: set[str], graphs: set[str]) -> None:
        self.prefix, self.folder, self.models, self.graphs = prefix, folder, models, graphs

    def literals(self, value: Any) -> Any:
        """`$params.x` -> `$params.sd.x` and `file:x` -> `file:folder/x`, also inside lists and maps."""
        if isinstance(value, dict):
            return {key: self.literals(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.literals(item) for item in value]
        if not isinstance(value, str):
            return value
        if value.startswith("$params."):
            return f"$params.{self.prefix}.{value[len('$params.') :]}"
        if value.startswith("file:") and not value.startswith("file:/"):
            return f"file:{self.folder / value[len('file:') :]}" + ("/" if value.endswith("/") else "")
        return value

    def name(self, name: str, local: set[str]) -> str:
        """A model's name with the prefix; `$params.x` keeps its meaning."""
        return name if name in local else f"{self.prefix}.{name}"

    def model(self, model: Mapping[str, Any]) -> dict[str, Any]:
        made: dict[str, Any] = self.literals(dict(model))
        if "use" in made:
            made["use"] = {role: self.name(name, set()) for role, name in made["use"].items()}
        for attached in made.get("attach", ()):
            if "model" in attached:
                attached["model"] = self.name(attached["model"], set())
        return made

    def subgraph(self, graph: Mapping[str, Any]) -> dict[str, Any]:
        return {**graph, "nodes": self.nodes(graph["nodes"], set(graph.get("models", ())))}

    def nodes(self, nodes: Mapping[str, Any], local: set[str]) -> dict[str, Any]:
        return {name: self.node(node, local) for name, node in nodes.items()}

    def node(self, node: Mapping[str, Any], local: set[str]) -> dict[str, Any]:
        made = dict(node)
        if isinstance(made.get("loop"), dict):
            made["loop"] = {**made["loop"], "nodes": self.nodes(made["loop"]["nodes"], local)}
            if "max" in made["loop"]:
                made["loop"]["max"] = self.literals(made["loop"]["max"])
        if made.get("call") is not None:
            model = _longest(made["call"], self.models | local)
            made["call"] = made["call"] if model in local else f"{self.prefix}.{made['call']}"
        if made.get("graph") is not None:
            made["graph"] = f"{self.prefix}.{made['graph']}"
        for key in ("config", "when"):
            if key in made:
                made[key] = self.literals(made[key])
        if "use" in made:
            made["use"] = {role: self.name(name, local) for role, name in made["use"].items()}
        return made


def _longest(call: str, models: set[str]) -> str:
    """The model's name in `sd.vae.encode`: the longest one that is known, else the first word."""
    steps = call.split(".")
    known = (".".join(steps[:n]) for n in range(len(steps), 0, -1))
    return next((name for name in known if name in models), steps[0])
