"""The page stands alone and holds the links of the graph."""

from __future__ import annotations

import json
import re
from dataclasses import replace

from mmm_graph.view.html import to_html
from tests.view.sample_graphs import text_to_image


def test_it_fetches_nothing():
    page = to_html(text_to_image())
    assert not re.search(r"(src|href)\s*=|@import|https?://(?!www\.w3\.org)|fetch\(|XMLHttp", page)


def test_links_are_data():
    page = to_html(text_to_image())
    found = re.search(r'<script id="links" type="application/json">(.*?)</script>', page, re.S)
    assert found
    links = {value: (source, targets) for value, source, targets in json.loads(found[1])}
    assert links["noise.latents"] == ("noise", ["denoise/start"])


def test_a_name_cannot_end_the_script():
    graph = replace(text_to_image(), name="</script><b>")
    assert "</script><b>" not in to_html(graph)
