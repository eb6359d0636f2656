"""graphs/models are what `mmm import` makes of the published pipelines, with names and comments for people."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import pytest

from mmm_graph.api.convert import import_graph
from mmm_graph.errors import InputError
from mmm_graph.graph.compile import compile_graph
from mmm_graph.plan.describe import program
from mmm_graph.plan.ops import Run
from mmm_graph.plan.place import make_plan
from mmm_graph.registry import load_registry
from mmm_graph.spec import load_spec
from tests.plugins.mmm_pipelines import published

MODELS = Path(__file__).resolve().parents[3] / "graphs" / "models"


@pytest.fixture(scope="module")
def registry():
    return load_registry()


def simple(path):
    """A name without the prefix of an include, and without the subgraph that sdxl.yaml has for what is not wanted."""
    return path.replace("uncond/enc/", "negative/").replace("uncond/blank", "blank").removeprefix("xl.")


def spread(config):
    """Settings of a model; a number for each level of a U-Net is one number if they are all the same."""
    found = config.model_dump()
    for key in ("num_heads", "transformer_layers"):
        values = found.get(key)
        if isinstance(values, tuple) and len(set(values)) == 1:
            found[key] = values[0]
    return found


def told(graph):
    """What a compiled graph does, by names that do not depend on how it is written."""
    models = {simple(name): (m.kind, spread(m.config)) for name, m in graph.models.items()}
    nodes = {simple(n.path): n for n in graph.nodes}
    return models, {p: (type(n), getattr(n, "config", None), sorted(n.inputs)) for p, n in nodes.items()}


@pytest.mark.parametrize("name", published.PIPELINES)
def test_the_example_is_what_import_makes(name, registry, tmp_path):
    folder = published.write(name, tmp_path / "published")
    imported = import_graph(str(folder), tmp_path / "graph.yaml", registry).tree
    example = load_spec(MODELS / f"{name}.yaml")
    repository = published.PIPELINES[name][0]
    linked = {simple(name): model.weights for name, model in example.models.items()}
    for model, entry in imported["models"].items():
        if "weights" in entry:
            assert linked[model] == entry["weights"].replace("file:published", f"hf:{repository}")
    theirs = compile_graph(load_spec(imported, base=tmp_path), registry)
    ours = compile_graph(example, registry)
    for one, other in zip(told(ours), told(theirs), strict=True):
        assert one == other
    params = {simple(name): value for name, value in ours.params.items()}
    assert {k: v for k, v in params.items() if k not in ("sampler", "dtype")} == theirs.params


@pytest.mark.parametrize("name", ["sd15_img2img", "sd15_inpaint_masked", "sdxl_img2img"])
def test_a_folder_as_another_pipeline(name, registry, tmp_path):
    def tree(which, as_class=None):
        folder = published.write(which, tmp_path / which / "published")
        return import_graph(str(folder), folder.parent / "graph.yaml", registry, as_class=as_class).tree

    wanted = published.PIPELINES[name][1]
    assert tree(name.partition("_")[0], wanted) == tree(name)


def test_what_is_not_another_pipeline(registry, tmp_path):
    folder = published.write("sd3", tmp_path / "published")
    with pytest.raises(InputError, match="StableDiffusion3Img2ImgPipeline, which no plugin can import"):
        import_graph(str(folder), tmp_path / "g.yaml", registry, as_class="StableDiffusion3Img2ImgPipeline")


@pytest.mark.parametrize(
    "name", ["sd15", "sdxl", "sd3", "pixart_sigma", "dit_xl2", "sdxl_img2img", "sd15_inpaint"]
)
def test_guidance_runs_its_branches_as_one_batch(name, registry):
    graph = compile_graph(load_spec(MODELS / f"{name}.yaml"), registry)
    runs = (
        i.fn for i in islice(program(graph, registry, make_plan(graph, registry)), 60) if isinstance(i, Run)
    )
    called = {str(fn[1]).rpartition("/")[2] for fn in runs if fn[0] == "slice"}
    assert "predict_cond" in called and "predict_uncond" not in called
