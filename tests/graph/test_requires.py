"""A file says which plugin distributions it needs."""

from __future__ import annotations

import pytest

from mmm_graph.errors import InputError
from mmm_graph.graph.compile import compile_graph
from mmm_graph.spec import load_spec
from tests.graph.registry import REGISTRY

GRAPH = 'mmm: 1\nrequires: {%s: "%s"}\ninputs: {x: "Text[b]"}\noutputs: {x: $in.x}\n'


def test_the_inline_plugin_has_version_zero():
    compile_graph(load_spec(GRAPH % ("inline", ">=0")), REGISTRY)


@pytest.mark.parametrize(
    ("name", "versions", "message"),
    [
        ("inline", ">=1.2", "requires inline >=1.2, but 0 is installed"),
        ("inlin", ">=0", "requires inlin >=0, which is not installed\n    hint: did you mean inline?"),
        ("inline", "new", "requires.inline: 'new' is not a range of versions"),
    ],
)
def test_what_is_missing(name, versions, message):
    with pytest.raises(InputError) as caught:
        compile_graph(load_spec(GRAPH % (name, versions)), REGISTRY)
    assert message in str(caught.value) and str(caught.value).startswith("<text>:2:")
