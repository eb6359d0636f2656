"""Graphs written in Python are the files that say the same."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import mmm_graph as mmm
from mmm_graph.errors import InputError
from mmm_graph.spec import load_spec


def tiny() -> mmm.Graph:
    """tests/graphs/tiny.yaml, as far as it is a graph to run."""
    g = mmm.Graph("tiny")
    steps = g.param("steps", "int", 4, min=1, max=1000)
    scale = g.param("guidance_scale", "float", 1.5, min=0)
    kind = g.param("sampler", "kind", "sampler.ddim", role="sampler")
    prompt = g.input("prompt", "Text[b]", default=["zero", "one"])
    negative = g.input("negative_prompt", "Text[b]", default="")
    tok = g.model("tok", "tokenizer.label", config={"classes": [["zero", "0"], ["one", "1"], ["two", "2"]]})
    pixels = g.model("pixels", "vae.pixels", space="pixels", config={"channels": 1})
    sizes = {"in_channels": 1, "sample_size": 8, "patch_size": 2, "width": 16, "depth": 1, "num_heads": 2}
    more = {"num_classes": 11, "freq_dim": 16, "prediction": "v"}
    dit = g.model("dit", "denoiser.dit", init="default", config={**sizes, **more})
    scheduler = g.model("scheduler", "scheduler.cosine", config={"prediction": "v"})
    sampler = g.model("sampler", kind)
    guide = g.model("guide", "guidance.cfg", config={"scale": scale})
    cond = g.call(tok, node="cond", text=prompt)
    uncond = g.call(tok, node="uncond", text=negative)
    times = g.call(scheduler.times, node="times", config={"steps": steps})
    noise = g.call(pixels.noise, node="noise", like=prompt, config={"height": 8, "width": 8})
    denoised = g.op(
        "diffusion.denoise",
        config={"preview": 2},
        use={"denoiser": dit, "sampler": sampler, "guidance": guide},
        x=noise, times=times, cond={"label": cond}, uncond={"label": uncond},
    )  # fmt: skip
    image = g.call(pixels.decode, node="image", latents=denoised)
    g.output("image", image, type="Image[b,1,h,w]", save={"format": "png"})
    return g


def test_it_says_what_the_file_says(root: Path) -> None:
    spec, file = tiny().spec(), load_spec(root / "tests" / "graphs" / "tiny.yaml")
    for section in ("inputs", "models", "nodes", "outputs"):
        assert getattr(spec, section) == getattr(file, section)
    assert spec.params == {k: v for k, v in file.params.items() if k in spec.params}


def test_it_runs_as_it_is_dumped_and_as_the_file(root: Path, tmp_path: Path) -> None:
    g = tiny()
    g.dump(tmp_path / "dumped.yaml")
    assert [p.name for p in tmp_path.iterdir()] == ["dumped.yaml"]
    sources = (g, g.text(), tmp_path / "dumped.yaml", root / "tests" / "graphs" / "tiny.yaml")
    images = [mmm.load(source).run(seed=3)["image"] for source in sources]
    assert all(torch.equal(images[0], image) for image in images[1:])


def test_names_of_nodes_are_kept_apart() -> None:
    g = mmm.Graph("g")
    m = g.model("m", "vae.pixels")
    one, two = (g.call(m.encode, image=g.input(name, "Image[b,3,h,w]")) for name in "ab")
    assert (one.text, two.text, two.latents.text) == ("m_encode", "m_encode2", "m_encode2.latents")


def test_values_that_yaml_would_misread(tmp_path: Path) -> None:
    g = mmm.Graph("no")
    g.param("flag", "str", "yes")
    g.input("t", "Text[b]", default=["on", "1_000", "0x10", "null", "~", "é\n: #"])
    g.output("t", g.op("text.drop", text=mmm.api.builder.LinkText("$in.t")))
    assert g.spec().inputs["t"].default == ["on", "1_000", "0x10", "null", "~", "é\n: #"]
    assert g.spec().params["flag"].default == "yes"


def test_a_condition_and_several_inputs() -> None:
    g = mmm.Graph("g")
    flag = g.input("flag", "Bool", default=True)
    x = g.op(
        "image.resize", when=flag, image=g.input("i", "Image[b,3,h,w]"), config={"height": 2, "width": 2}
    )
    g.output("x", x)
    assert g.spec().nodes["resize"].when == "$in.flag"


@pytest.mark.parametrize("section", ["param", "input", "model", "output"])
def test_a_name_is_taken_once(section: str) -> None:
    g = mmm.Graph("g")
    again = {
        "param": lambda: g.param("x", "int", 1),
        "input": lambda: g.input("x", "Text[b]"),
        "model": lambda: g.model("x", "vae.pixels"),
        "output": lambda: g.output("x", mmm.api.builder.LinkText("$in.x")),
    }[section]
    again()
    with pytest.raises(InputError, match="has 'x' already"):
        again()


def test_a_node_named_twice_is_refused() -> None:
    g = mmm.Graph("g")
    g.op("image.resize", node="x", image=g.input("i", "Image[b,3,h,w]"))
    with pytest.raises(InputError, match="nodes has 'x' already"):
        g.op("image.resize", node="x", image=mmm.api.builder.LinkText("$in.i"))


def test_mistakes_are_found_when_it_is_checked() -> None:
    g = mmm.Graph("g")
    g.output("x", g.call(g.model("m", "vae.pixels").encod, image=g.input("i", "Image[b,3,h,w]")))
    with pytest.raises(InputError, match="did you mean encode"):
        mmm.load(g)
    with pytest.raises(InputError, match="unknown key 'weigths'"):
        h = mmm.Graph("h")
        h.model("m", "vae.pixels", weigths="file:x")
        h.spec()
    with pytest.raises(TypeError, match="expects a value of the graph"):
        g.output("y", "x")  # type: ignore[arg-type]


def test_it_is_written_where_it_can_be(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be written"):
        mmm.Graph("g").dump(tmp_path / "no" / "g.yaml")
