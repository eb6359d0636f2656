"""Entry points in group "mmm_graph", and plugin files -> Registry. One plugin's failure stays its own."""

from __future__ import annotations

import hashlib
import importlib.util
import re
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

import pluggy

from mmm_graph.errors import InputError, Place, did_you_mean, problem
from mmm_graph.registry import hooks
from mmm_graph.registry.checks import check_contribution
from mmm_graph.registry.extension import Importer, PortKind, WeightSource
from mmm_graph.registry.node_type import NodeType, Saver
from mmm_graph.registry.registry import Contribution, Observer, PluginInfo, Registry, merge, saver_name

GROUP = "mmm_graph"
OBSERVERS = frozenset({"mmm_run_event", "mmm_train_event"})
REGISTERS: Mapping[str, tuple[Any, str]] = {
    "mmm_register_nodes": (NodeType, "node types"),
    "mmm_register_port_kinds": (PortKind, "PortKind values"),
    "mmm_register_weight_sources": (WeightSource, "WeightSource values"),
    "mmm_register_savers": (Saver, "Saver values"),
    "mmm_register_importers": (Importer, "Importer values"),
}


def load_registry(
    *,
    allow: Sequence[str] | None = None,
    strict: bool = False,
    extra_files: Sequence[str | Path] = (),
    points: Iterable[EntryPoint] | None = None,
) -> Registry:
    """Load the installed plugins, each on its own: one that fails is listed FAILED and brings nothing.

    Args:
        allow: names of the plugins or distributions to load, none else; None = all that are installed.
        strict: raise if any plugin failed or two registered one kind.
        extra_files: Python files to load as plugins too, whatever `allow` says.
        points: entry points to load instead of the installed ones.

    Raises:
        InputError: E403 a name in `allow` is not installed or a file does not exist; with `strict`, also E401
            for each failed plugin and E402 for each kind that two plugins registered.
    """
    found = entry_points(group=GROUP) if points is None else points
    candidates = [_installed(p) for p in found] + [_file(Path(f)) for f in extra_files if _exists(Path(f))]
    chosen = _allowed(sorted(candidates, key=lambda c: (c.info.name, c.info.distribution)), allow)
    loaded = [load_plugin(c) for c in chosen]
    kinds = frozenset(k.name for part in loaded for k in part.port_kinds)
    registry = merge(_guard(part.info, partial(check_contribution, part, kinds)) for part in loaded)
    if strict and registry.problems:
        raise InputError(registry.problems)
    return registry


@dataclass(frozen=True)
class Candidate:
    """A plugin that was found, not yet imported."""

    info: PluginInfo
    load: Callable[[], object]
    extra: bool = False


def load_plugin(candidate: Candidate) -> Contribution:
    """Import one plugin and call its register hooks; a FAILED contribution brings nothing but its cause."""
    return _guard(candidate.info, lambda: _contribution(candidate.info, candidate.load()))


def _guard(info: PluginInfo, work: Callable[[], Contribution]) -> Contribution:
    if info.status == "FAILED":
        return Contribution(info)
    try:
        return work()
    except (Exception, SystemExit) as error:  # a plugin may raise anything; Ctrl-C still ends the program
        place = _place(error, info.module)
        return Contribution(replace(info, status="FAILED", cause=_cause(error), place=place, kinds=()))


def _contribution(info: PluginInfo, plugin: object) -> Contribution:
    manager = pluggy.PluginManager(GROUP)  # one each: a failing plugin leaves nothing behind
    manager.add_hookspecs(hooks)
    manager.register(plugin, info.name)
    callers = {c.name: c for c in manager.get_hookcallers(plugin) or ()}
    _check_hooks(plugin, callers)
    nodes, port_kinds, sources, savers, importers = (_items(hook, callers.get(hook)) for hook in REGISTERS)
    kinds = (
        *(n.kind for n in nodes),
        *(f"port {k.name}" for k in port_kinds),
        *(f"source {s.scheme}" for s in sources),
        *(saver_name(s) for s in savers),
        *(f"importer {i.foreign}" for i in importers),
    )
    observed = OBSERVERS & callers.keys()
    observer = Observer(info.name, observed, manager.hook) if observed else None
    return Contribution(replace(info, kinds=kinds), nodes, port_kinds, sources, savers, importers, observer)


class Refused(ValueError):
    """A plugin that breaks a rule of the loader, with the place of the hook that does."""

    def __init__(self, message: str, function: Callable[..., object] | None = None) -> None:
        super().__init__(message)
        code = getattr(function, "__code__", None)
        self.place = Place(code.co_filename, code.co_firstlineno, 1) if code else None


def _check_hooks(plugin: object, callers: Mapping[str, pluggy.HookCaller]) -> None:
    known = [*REGISTERS, *sorted(OBSERVERS)]
    for name, caller in callers.items():
        impl = caller.get_hookimpls()[0]
        if not caller.has_spec():
            raise Refused(f"there is no hook {name!r}; {did_you_mean(name, known)}", impl.function)
        if impl.wrapper or impl.hookwrapper:
            raise Refused(f"{name} is a wrapper, but plugins are called one by one", impl.function)
    for name in known:
        function = getattr(plugin, name, None)
        if name not in callers and callable(function):
            raise Refused(f"{name} is not marked with @hookimpl, so it would never be called", function)
    if not callers:
        raise Refused(f"it has no function marked with @hookimpl; the hooks are {', '.join(known)}")


def _items(hook: str, caller: pluggy.HookCaller | None) -> tuple[Any, ...]:
    if caller is None:
        return ()
    cls, expected = REGISTERS[hook]
    function = caller.get_hookimpls()[0].function
    results = caller()
    got = results[0] if results else None  # pluggy leaves out a result of None
    if not isinstance(got, list | tuple):
        raise Refused(f"{hook} returned {type(got).__name__}; expected a list of {expected}", function)
    for item in got:
        if not isinstance(item, cls):
            raise Refused(f"{hook} returned a list with {item!r:.80}; expected only {expected}", function)
    return tuple(got)


def _installed(point: EntryPoint) -> Candidate:
    name, version = (point.dist.name, point.dist.version) if point.dist else ("(no distribution)", "")
    return Candidate(PluginInfo(point.name, name, version, point.value.partition(":")[0]), point.load)


def _exists(path: Path) -> bool:
    if not path.is_file():
        raise InputError(problem("E403", f"there is no plugin file {path}", hint="name a .py file"))
    return True


def _file(path: Path) -> Candidate:
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    info = PluginInfo(path.stem, path.name, digest, path.stem)
    return Candidate(info, partial(_import_file, path.resolve()), extra=True)


def _import_file(path: Path) -> object:
    """Run a file as the module of its own name, so that "name:Class" strings in it resolve."""
    before = importlib.util.find_spec(path.stem)
    if before is not None and before.origin != str(path):
        raise ImportError(f"there is a module {path.stem!r} already; rename the file {path.name}")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path.name} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[path.stem]
        raise
    return module


def _allowed(candidates: Sequence[Candidate], allow: Sequence[str] | None) -> list[Candidate]:
    if allow is None:
        return list(candidates)
    names = {_normal(n) for c in candidates for n in (c.info.name, c.info.distribution)}
    missing = [a for a in allow if _normal(a) not in names]
    if missing:
        raise InputError(
            problem("E403", f"no plugin {name!r} is installed", hint=did_you_mean(name, names))
            for name in missing
        )
    wanted = {_normal(a) for a in allow}
    return [c for c in candidates if c.extra or wanted & {_normal(c.info.name), _normal(c.info.distribution)}]


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _cause(error: BaseException) -> str:
    """The error in one line."""
    text = " ".join(str(error.msg if isinstance(error, SyntaxError) else error).split())
    return f"{type(error).__name__}: {text[:400]}" if text else type(error).__name__


def _place(error: BaseException, module: str) -> Place | None:
    """The innermost line of the plugin's own modules that the error passed through, else its file."""
    if isinstance(error, Refused) and error.place:
        return error.place
    if isinstance(error, SyntaxError) and error.filename:
        return Place(error.filename, error.lineno or 0, error.offset or 0)
    top, place = module.partition(".")[0], None
    for frame, line in traceback.walk_tb(error.__traceback__):
        if frame.f_globals.get("__name__", "").partition(".")[0] == top:
            place = Place(frame.f_code.co_filename, line, 1)
    file = getattr(sys.modules.get(module), "__file__", None)
    return place or (Place(file) if file else None)
