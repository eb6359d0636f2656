"""`requires:` of a graph file: distributions that must have loaded plugins, and their versions; never installed."""

from __future__ import annotations

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from mmm_graph.errors import did_you_mean
from mmm_graph.graph.context import Context


def check_requires(ctx: Context) -> None:
    """Report what is missing, has failed to load, or has another version."""
    loaded = {p.distribution: p.version for p in ctx.registry.plugins if p.status == "ok"}
    failed = {p.distribution for p in ctx.registry.plugins if p.status != "ok"}
    for name, wanted in ctx.spec.requires.items():
        place = ctx.spec.place("requires", name)
        try:
            versions = SpecifierSet(wanted)
        except InvalidSpecifier:
            hint = 'write ">=0.3,<1" or "==1.2.0"'
            ctx.report("E214", f"requires.{name}: {wanted!r} is not a range of versions", place, hint)
            continue
        if name not in loaded:
            state = "failed to load" if name in failed else "is not installed"
            hint = "see `mmm plugins list`" if name in failed else did_you_mean(name, loaded)
            ctx.report("E214", f"requires {name} {wanted}, which {state}", place, hint)
        elif not versions.contains(loaded[name], prereleases=True):
            ctx.report("E214", f"requires {name} {wanted}, but {loaded[name]} is installed", place)
