"""A file, its includes and the user's overrides -> GraphSpec, or every problem at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mmm_graph.errors import InputError, Problem, did_you_mean, problem
from mmm_graph.spec.base import param_name
from mmm_graph.spec.explain import explain, in_order
from mmm_graph.spec.files import MAX_PROBLEMS, Path_, Tree, mark_key, read_text, read_tree
from mmm_graph.spec.graph import GraphSpec, Source
from mmm_graph.spec.include import merge_includes
from mmm_graph.spec.override import SECTIONS, SET, Given, apply_sets, as_mapping, resolve_values, take_values
from mmm_graph.spec.scalars import describe

TEXT = "<text>"
MEMORY = "<memory>"


def load_spec(
    source: str | Path | Mapping[str, Any],
    *,
    sets: Mapping[str, str] | None = None,
    params: Mapping[str, Any] | None = None,
    params_file: str | Path | None = None,
    base: str | Path | None = None,
) -> GraphSpec:
    """Read and check a graph file: its form, not yet what its kinds mean.

    Args:
        source: a file (JSON if its name ends in .json); or YAML text, that is a str with a line break or a {
            in front; or what such a file holds, as plain Python values.
        sets: what the user wrote as `--set name=value`: a param, an input, or a key of the file by its path,
            such as `models.unet.dtype`. Values are text, read as the param's type says.
        params: values of params and inputs from Python, already typed.
        params_file: a YAML or JSON file that maps params and inputs to values.
        base: folder that `file:` sources and includes are relative to; default: the file's own folder.

    Returns:
        The spec with includes merged; `spec.values` has each param's value by the precedence
        sets > params > params_file > default, and `spec.origins` says which it was.

    Raises:
        InputError: with every problem found, in the order of the files.
    """
    name, file, (tree, problems) = _read(source)
    if tree.value is None and problems:
        raise InputError(problems)
    folder = Path(base) if base is not None else file.parent if file else Path()
    tree = merge_includes(tree, folder, problems, (file,) if file else ())
    tree, changed = apply_sets(tree, sets or {}, problems)
    spec = check_tree(tree, problems)
    if spec is not None:
        rest = {key: text for key, text in (sets or {}).items() if key not in changed}
        given = resolve_values(spec, rest, params or {}, params_file, problems)
        origins = {**given.origins, **dict.fromkeys(changed, SET)}
        spec = spec.with_source(Source(name, folder, tree.places, given.params, given.inputs, origins))
    if problems or spec is None:
        raise InputError(in_order(problems)[:MAX_PROBLEMS])
    return spec


def with_values(spec: GraphSpec, params: Mapping[str, Any]) -> GraphSpec:
    """The same spec with these values of params and inputs over those it has; no file is read again.

    Raises:
        InputError: E302, E305, with every value that does not fit.
    """
    problems: list[Problem] = []
    given = Given(dict(spec.values), dict(spec.given), dict(spec.origins))
    take_values(spec, given, params, problems)
    if problems:
        raise InputError(problems)
    return spec.with_values(given.params, given.inputs, given.origins)


def _read(source: str | Path | Mapping[str, Any]) -> tuple[str, Path | None, tuple[Tree, list[Problem]]]:
    """The source's name, its file if it is one, what could be read, and problems."""
    if isinstance(source, Mapping):
        return MEMORY, None, (Tree(dict(source)), [])
    if isinstance(source, str) and ("\n" in source or source.lstrip().startswith("{")):
        return TEXT, None, read_text(source, TEXT)
    return str(source), Path(source), read_tree(source)


def check_tree(tree: Tree, problems: list[Problem]) -> GraphSpec | None:
    """The tree as a GraphSpec. Its problems are added, but for those of a value that could not be read."""
    spec, found = None, _check_names(tree)
    try:
        spec = GraphSpec.model_validate(tree.value)
    except ValidationError as error:
        found = explain(error, GraphSpec, tree.value, tree.places) + found
    known = {p.place for p in problems}
    for one in found:
        if one.place not in known:
            problems.append(one)
            known.add(one.place)
    return spec


def _check_names(tree: Tree) -> list[Problem]:
    """What can be said of params and inputs however wrong the rest is."""
    root = tree.value if isinstance(tree.value, dict) else {}
    params, inputs = set(as_mapping(root.get("params"))), set(as_mapping(root.get("inputs")))
    found = []
    for name in sorted(inputs & params):
        message = f"{describe(name)} is an input and a param; they share one namespace"
        found.append(problem("E304", message, tree.places.get(mark_key(("inputs", name)))))
    for path, text in _texts({key: root[key] for key in SECTIONS if key in root}, ()):
        wanted, place = param_name(text), tree.places.get(path)
        if wanted in params or len(found) >= MAX_PROBLEMS:
            continue
        if wanted is None:
            found.append(problem("E301", f"{describe(text)} is not a param", place, "write $params.name"))
        elif wanted in inputs:
            hint = f"link to it by `in: {{port: $in.{wanted}}}`"
            found.append(problem("E301", f"{describe(wanted)} is an input, not a param", place, hint))
        else:
            hint = did_you_mean(wanted[:60], list(params)[:1000]) or "declare it under `params:`"
            found.append(problem("E301", f"there is no param {describe(wanted)}", place, hint))
    return found


def _texts(value: Any, path: Path_) -> Iterator[tuple[Path_, str]]:
    """Every text that begins with `$params`, and where."""
    if isinstance(value, str):
        if value.startswith("$params"):
            yield path, value
    elif isinstance(value, (dict, list)):
        for step, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _texts(item, (*path, step))
