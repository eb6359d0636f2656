"""GraphSpec -> YAML text that loads as an equal spec: the user's keys, without defaults, includes merged."""

from __future__ import annotations

from typing import Any

import yaml

from mmm_graph.spec.graph import GraphSpec
from mmm_graph.spec.scalars import read_scalar


def dump_spec(spec: GraphSpec) -> str:
    """The spec as YAML. Changed keys are in it; values of params (`spec.values`), and so secrets, are not."""
    return to_yaml(dump_tree(spec))


def to_yaml(tree: dict[str, Any]) -> str:
    """Plain values as YAML 1.2 text that `load_tree` reads as the same values."""
    options: dict[str, Any] = {"sort_keys": False, "default_flow_style": None, "allow_unicode": True}
    text: str = yaml.dump(_plain(tree), Dumper=_Dumper, width=110, **options)
    return text


def dump_tree(spec: GraphSpec) -> dict[str, Any]:
    """The same as plain values, ready for JSON."""
    tree = _plain(spec.model_dump(by_alias=True, exclude_unset=True))
    assert isinstance(tree, dict)
    return tree


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


class _Dumper(yaml.SafeDumper):
    """Quotes what YAML 1.2 does not read as text, where PyYAML goes by 1.1; writes no alias."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


_BREAKS = frozenset("\x85\u2028\u2029")
"""Line breaks that only a double-quoted scalar keeps, as escapes."""


def _represent_text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    try:
        is_plain = isinstance(read_scalar(text), str) and not _BREAKS.intersection(text)
    except ValueError:
        is_plain = False
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if is_plain else '"')


_Dumper.add_representer(str, _represent_text)
