"""docs/adaptors.md: each family takes the place of another in one graph by the few lines that the page shows."""

import re

import pytest
import torch
import yaml

import mmm_graph as mmm
from mmm_graph.errors import InputError
from mmm_graph.graph.compile import compile_graph
from mmm_graph.registry import load_registry
from mmm_graph.spec import load_spec

MOST_LINES = 5
TOKENS = {"linear": 16, "mlp": 16, "qformer": 32, "perceiver": 64, "grouping": 8, "honeybee": 9}


def page(root):
    return (root / "docs" / "adaptors.md").read_text(encoding="utf-8")


def block(text, language, name):
    return next(b for b in re.findall(rf"^```{language}\n(.*?)^```$", text, re.S | re.M) if name in b)


def diffs(text):
    return re.findall(r"^```diff\n(.*?)^```$", text, re.S | re.M)


def patched(graph, diff):
    """The graph after a diff, and how many lines it changes."""
    lines, at, changed = graph.splitlines(), 0, 0
    for hunk in re.findall(r"((?:^-.*\n)*)((?:^\+.*\n)*)(^ .*\n)?", diff, re.M):
        gone, come, kept = (re.findall(r"^[-+ ](.*)$", part, re.M) for part in hunk)
        for line in gone:
            assert lines.count(line) == 1, f"{line!r} is not a line of the graph"
            at = lines.index(line)
            del lines[at]
        lines[at:at] = come
        changed += max(len(gone), len(come))
        for line in kept:
            at = lines.index(line) + 1
    return "\n".join(lines), changed


@pytest.fixture(scope="module")
def honeybee(root, tmp_path_factory):
    file = tmp_path_factory.mktemp("plugin") / "honeybee.py"
    file.write_text(block(page(root), "python", "# file: honeybee.py"), encoding="utf-8")
    return file


def test_each_family_needs_five_lines_at_most_and_runs(root, honeybee):
    text = page(root)
    graph = block(text, "yaml", "# file: vlm.yaml")
    registry = load_registry(extra_files=[honeybee])
    ids = torch.randint(0, 40, (2, 5), generator=torch.Generator().manual_seed(0))
    index = torch.tensor([[-1, 0, -1, -1, -1], [1, -1, -1, 2, -1]])
    pictures = [torch.rand(3, *size) for size in ((8, 8), (9, 30), (12, 10))]
    seen = set()
    for diff in ["", *diffs(text)]:
        changed, count = patched(graph, diff)
        assert count <= MOST_LINES, diff
        spec = load_spec(changed)
        kind = compile_graph(spec, registry).models["bridge"].kind.partition(".")[2]
        session = mmm.load(yaml.safe_load(changed), registry=registry)
        logits = session.run(image=pictures, ids=ids, media_index=index)["logits"]
        grown = 3 + 2 * TOKENS[kind] if "embeds.splice" in changed else 5
        assert logits.shape == (2, grown, 40) and bool(logits.isfinite().all())
        seen.add(kind if "gated_xattn" not in changed else "gated_xattn")
    assert seen == {*TOKENS, "gated_xattn"}


def test_the_context_is_checked_when_the_graph_is_compiled(root):
    graph = block(page(root), "yaml", "# file: vlm.yaml")
    registry = load_registry()
    compile_graph(load_spec(graph.replace("4096", "16")), registry)
    with pytest.raises(InputError, match=r"E212.*16 tokens .* are 1 more than the context of 15"):
        compile_graph(load_spec(graph.replace("4096", "15")), registry)
    wider = graph.replace("adaptor.linear, init", "adaptor.perceiver, init")
    with pytest.raises(InputError, match=r"E212.*64 of one medium.* are 48 more than the context of 16"):
        compile_graph(load_spec(wider.replace("4096", "16")), registry)


STAGES = {
    "ranks": 2,
    "stages": [{"ranks": [0], "place": ["vision"]}, {"ranks": [1], "place": ["bridge", "llm"]}],
}


@pytest.mark.dist
@pytest.mark.parametrize("name", ["linear", "perceiver"])
def test_adaptors_live_where_a_plan_says(root, name):
    graph = yaml.safe_load(block(page(root), "yaml", "# file: vlm.yaml"))
    graph["models"]["bridge"]["kind"] = f"adaptor.{name}"
    graph["parallel"] = {"plans": {"p": STAGES}}
    given = {"image": [torch.rand(3, 9, 20)], "ids": torch.tensor([[3, 1, 2]])}
    given["media_index"] = torch.tensor([[-1, 0, -1]])
    want = mmm.load(graph).run(**given)["logits"]
    assert torch.equal(mmm.load(graph, plan="p").run(**given)["logits"], want)
