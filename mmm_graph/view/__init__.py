"""Pictures of the nouns: graph -> SVG, HTML or terminal text; any noun -> plain JSON. Pure functions, no torch."""

from __future__ import annotations

from mmm_graph.view.html import to_html
from mmm_graph.view.json import dump_json, to_json
from mmm_graph.view.svg import to_svg
from mmm_graph.view.text import to_text

__all__ = ["dump_json", "to_html", "to_json", "to_svg", "to_text"]
