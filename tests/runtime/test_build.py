"""Model nodes -> objects: initialised, loaded, refused, lazy."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from mmm_graph.checkpoint.save import save_module
from mmm_graph.errors import RunError
from mmm_graph.graph.graph import ModelNode
from mmm_graph.registry import method, model_type, registry_of
from mmm_graph.runtime.build import build_models
from tests.runtime.toys import DenoiserConfig, ScaleConfig, toy_registry

REGISTRY = toy_registry()
UNET = ModelNode("unet", "denoiser.toy", DenoiserConfig(), init="default")


def build(node: ModelNode = UNET, **options: Any) -> Any:
    return build_models({node.name: node}, REGISTRY, base=options.pop("base", Path()), **options)[node.name]


def same(a: nn.Module, b: nn.Module) -> bool:
    return all(torch.equal(v, b.state_dict()[k]) for k, v in a.state_dict().items())


def test_initialisation_depends_on_name_and_seed_only() -> None:
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    a = build().object
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(2)
    assert same(a, build().object)
    assert not same(a, build(seed=1).object) and not same(a, build(replace(UNET, name="other")).object)
    assert not a.training


def test_ranks_that_are_threads_share_what_one_of_them_builds() -> None:
    wanted, built = build().object, build()
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: built.object, range(4)))
        others = list(pool.map(lambda n: build(replace(UNET, name=n)).object, ["a", "b", "unet", "c"]))
    assert all(one is found[0] for one in found) and same(found[0], wanted) and same(others[2], wanted)


def test_weights_are_loaded_on_top_of_the_meta_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = build(seed=5).object
    save_module(source, tmp_path / "unet.safetensors")
    drawn: list[int] = []
    monkeypatch.setattr(
        nn.init, "kaiming_uniform_", lambda *a, **k: drawn.append(0 if a[0].is_meta else a[0].numel())
    )
    built = build(replace(UNET, weights="file:unet.safetensors", init=None), base=tmp_path)
    assert (same(source, built.object) and sum(drawn) == 0) or all(n == 0 for n in drawn[: len(drawn) // 2])
    block = built.object.parts["block0"]
    assert torch.equal(block.scale, torch.full((1,), 0.5))  # a buffer that is not saved is computed
    assert not any(t.is_meta for t in [*built.object.parameters(), *built.object.buffers()])
    assert len(built.fingerprint) == 32


@pytest.mark.parametrize(
    ("dtype", "found"), [("f64", torch.float64), ("bf16", torch.bfloat16), (None, torch.float32)]
)
def test_dtype(tmp_path: Path, dtype: str | None, found: torch.dtype) -> None:
    save_module(build().object, tmp_path / "unet.safetensors")
    for node in (UNET, replace(UNET, weights="file:unet.safetensors")):
        model = build(replace(node, dtype=dtype), base=tmp_path).object
        assert {p.dtype for p in model.parameters()} == {found}


def test_a_folder_of_weights_comes_first_and_fresh_before_all(tmp_path: Path) -> None:
    trained = build(seed=9).object
    save_module(trained, tmp_path / "unet.safetensors")
    node = replace(UNET, weights="file:nothing.safetensors")
    assert same(build(node, overlay=tmp_path).object, trained)
    assert same(build(node, fresh=frozenset(("unet",))).object, build().object)


def test_all_that_is_missing_is_in_one_error(tmp_path: Path) -> None:
    nodes = {
        "a": replace(UNET, name="a", init=None),
        "b": replace(UNET, name="b", weights="file:b.safetensors"),
        "c": replace(UNET, name="c", weights="file:c.safetensors"),
    }
    with pytest.raises(RunError) as caught:
        build_models(nodes, REGISTRY, base=tmp_path, needed=frozenset("ab"))
    assert [p.code for p in caught.value.problems] == ["E601", "E603"]
    assert "a (denoiser.toy) has no weights" in str(caught.value) and str(tmp_path / "b.safetensors") in str(
        caught.value
    )
    assert "c.safetensors" not in str(caught.value)


def test_only_what_is_needed(tmp_path: Path) -> None:
    found = build_models({"a": UNET, "b": UNET}, REGISTRY, base=tmp_path, needed=frozenset("b"))
    assert list(found) == ["b"]


def test_models_without_weights() -> None:
    built = build(ModelNode("rule", "sampler.toy", ScaleConfig(scale=3.0)))
    assert built.object.config.scale == 3.0 and built.fingerprint == ""


class Reader:
    def __init__(self, config: ScaleConfig, path: Path | None = None) -> None:
        self.path = path


class Broken(nn.Module):
    def __init__(self, config: ScaleConfig) -> None:
        super().__init__()
        raise ValueError("width must be even")


def test_files_of_a_model_without_weights(tmp_path: Path) -> None:
    kind = model_type(
        "tokenizer.x",
        ScaleConfig,
        "tests.runtime.test_build:Reader",
        weights=False,
        methods={"encode": method(text="Text[b]", returns={"ids": "Ids[b,t]"})},
    )
    (tmp_path / "words.txt").write_text("a b c")
    node = ModelNode("tok", "tokenizer.x", ScaleConfig(), weights="file:words.txt")
    built = build_models({"tok": node}, registry_of(kind), base=tmp_path)["tok"]
    assert built.object.path == tmp_path / "words.txt" and len(built.fingerprint) == 32


def test_a_constructor_that_fails() -> None:
    kind = model_type(
        "vae.x",
        ScaleConfig,
        "tests.runtime.test_build:Broken",
        methods={"decode": method(z="Latents[b,c]", returns={"x": "Image[b,1,h,w]"})},
    )
    node = ModelNode("vae", "vae.x", ScaleConfig(), init="default")
    with pytest.raises(
        RunError, match=r"E620.*vae \(vae.x\) cannot be built: ValueError: width must be even"
    ):
        _ = build_models({"vae": node}, registry_of(kind), base=Path())["vae"].object


def test_nothing_is_drawn_on_the_meta_device() -> None:
    script = (
        "import sys, torch\n"
        "from mmm_graph.runtime.construct import on_meta\n"
        "with on_meta():\n"
        "    made = [torch.randn(2, 3), torch.rand((4,), generator=None), torch.nn.Linear(2, 3).weight]\n"
        "assert all(each.is_meta for each in made) and [tuple(m.shape) for m in made] == [(2, 3), (4,), (3, 2)]\n"
        "assert 'sympy' not in sys.modules, 'the compiler was imported'\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
