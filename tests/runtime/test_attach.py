"""LoRA files that are attached to models of a graph: what is taken, and every way in which one may be wrong."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file

from mmm_graph.errors import RunError
from mmm_graph.graph.graph import Lora, ModelNode
from mmm_graph.registry import load_registry
from mmm_graph.runtime.build import build_models
from mmm_text.config import TextEncoderConfig
from mmm_unet.config import UNetConfig

REGISTRY = load_registry(strict=True)
NET = UNetConfig(
    channels=(8, 16), attention=("cross", "none"), cond_dim=8, num_heads=2, groups=4, layers_per_block=1
)
TEXT = TextEncoderConfig(vocab_size=9, max_length=5, width=8, depth=1, num_heads=2, hidden=12, eos_id=8)
Q = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"
FLAT = "lora_unet_" + Q.replace(".", "_")
TE = "text_model_encoder_layers_0_self_attn_q_proj"


def models(*loras, text=(), **more):
    attached = {"unet": loras, "text": text}
    kinds = {"unet": ("denoiser.unet", NET), "text": ("encoder.text", TEXT)}
    nodes = {
        name: ModelNode(
            name,
            *kinds[name],
            init="default",
            attach=tuple(x if isinstance(x, Lora) else Lora(x) for x in attached[name]),
        )
        for name in kinds
    }
    return nodes, more


def build(tmp_path, *loras, text=(), **more):
    nodes, more = models(*loras, text=text, **more)
    return build_models(nodes, REGISTRY, base=tmp_path, **more)


def pair(name, shape=(8, 8), rank=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    down, up = (
        torch.randn(rank, shape[1], generator=generator),
        torch.randn(shape[0], rank, generator=generator),
    )
    return {f"{name}.lora_down.weight": down, f"{name}.lora_up.weight": up}


def changed(pairs, drop=(), **new):
    found = {k: t for k, t in pairs.items() if not k.endswith(drop or "never")}
    return found | {f"{FLAT}.{k}": t for k, t in new.items()}


GOOD = pair(FLAT)
WEIGHT = "parts.down0_0.attn.layers.0.attn.q"
DAMAGE = {
    "unknown": (pair("lora_unet_down_blocks_7_conv"), "E631", "down_blocks_7_conv"),
    "shape": (
        pair(FLAT, (8, 9)),
        "E631",
        r"to_q: down \[2, 9\] and up \[8, 2\] in the file, \[8, 8\] in the model",
    ),
    "rank": (changed(GOOD, **{"lora_up.weight": torch.ones(8, 3)}), "E631", "no pair of one rank"),
    "half": (changed(GOOD, "lora_up.weight"), "E630", "1 without the other half, `up`"),
    "other half": (changed(GOOD, "lora_down.weight"), "E630", "1 without the other half, `down`"),
    "alpha alone": ({f"{FLAT}.alpha": torch.tensor(1.0)}, "E630", "1 alphas of nothing"),
    "alphas": (changed(GOOD, alpha=torch.ones(3)), "E631", r"alpha \[3\] is no number"),
    "nan": (changed(GOOD, **{"lora_up.weight": torch.full((8, 2), torch.nan)}), "E630", "finite numbers"),
    "int8": (
        changed(GOOD, **{"lora_up.weight": torch.ones(8, 2, dtype=torch.int8)}),
        "E630",
        "need not be whole",
    ),
    "weights": ({"conv_in.weight": torch.ones(3)}, "E630", r"1 tensors are no LoRA, .*\(conv_in.weight\)"),
    "dora": (changed(GOOD, dora_scale=torch.ones(8)), "E630", "1 tensors are DoRA"),
    "peft's dora": ({f"unet.{Q}.lora_magnitude_vector": torch.ones(8)}, "E630", "1 tensors are DoRA"),
    "loha": (
        {f"{FLAT}.hada_w1_a": torch.ones(8, 2), f"{FLAT}.alpha": torch.tensor(1.0)},
        "E630",
        "1 tensors are LoHa",
    ),
    "lokr": ({f"{FLAT}.lokr_w1": torch.ones(2, 2)}, "E630", "1 tensors are LoKr"),
    "oft": ({f"{FLAT}.oft_blocks": torch.ones(2, 2)}, "E630", "1 tensors are OFT"),
    "tucker": (changed(GOOD, **{"lora_mid.weight": torch.ones(2, 2, 3, 3)}), "E630", "LoCon in Tucker form"),
    "difference": ({f"{FLAT}.diff": torch.ones(8, 8)}, "E630", "1 tensors are whole differences"),
    "other model": (pair(f"lora_te_{TE}"), "E632", "is for text_encoder too, and only unet takes of it"),
    "empty": ({}, "E630", "holds no LoRA weights"),
}


@pytest.mark.parametrize("name", DAMAGE)
@pytest.mark.parametrize("merge", [False, True])
def test_damage(name, merge, tmp_path):
    tensors, code, message = DAMAGE[name]
    save_file(tensors, tmp_path / "a.safetensors")
    with pytest.raises(RunError, match=message) as caught:
        _ = build(tmp_path, Lora("file:a.safetensors", merge=merge))["unet"].object
    assert {p.code for p in caught.value.problems} == {code}


def test_files_that_are_none(tmp_path):
    (tmp_path / "a.ckpt").write_bytes(b"\x80\x04")
    (tmp_path / "b.safetensors").write_bytes(b"\x08\x00")
    for name, code in (("a.ckpt", "E604"), ("b.safetensors", "E605"), ("c.safetensors", "E603")):
        with pytest.raises(RunError) as caught:
            build(tmp_path, f"file:{name}")
        assert [p.code for p in caught.value.problems] == [code]


def test_twice_the_same_is_twice_as_much(tmp_path):
    save_file(GOOD, tmp_path / "a.safetensors")
    x = torch.randn(3, 8)
    once = build(tmp_path, Lora("file:a.safetensors", 1.0))["unet"].object.get_submodule(WEIGHT)
    two = build(tmp_path, *[Lora("file:a.safetensors", 0.5)] * 2)["unet"].object.get_submodule(WEIGHT)
    merged = build(tmp_path, *[Lora("file:a.safetensors", 0.5, merge=True)] * 2)["unet"].object
    assert (once(x) - two(x)).abs().max() <= 1e-5
    assert (once(x) - merged.get_submodule(WEIGHT)(x)).abs().max() <= 1e-5


def test_every_part_is_taken_or_left_by_name(tmp_path):
    save_file(GOOD | pair(f"lora_te_{TE}", seed=1), tmp_path / "a.safetensors")
    file = "file:a.safetensors"
    with pytest.raises(RunError, match=r"E632.*is for text_encoder too(.|\n)*a.safetensors#unet"):
        build(tmp_path, file)
    with pytest.raises(RunError, match=r"E632.*is for unet too(.|\n)*#text_encoder"):
        build(tmp_path, text=[file])
    both = build(tmp_path, file, text=[file])
    assert both["text"].object.get_submodule("parts.block0.attn.q").lora.is_on
    for part in ("unet", "transformer"):
        assert build(tmp_path, f"{file}#{part}")["unet"].object.get_submodule(WEIGHT).lora.is_on
    with pytest.raises(RunError, match=r"E631.*has nothing for text_encoder_2; it is for text_encoder, unet"):
        _ = build(tmp_path, f"{file}#text_encoder_2")["unet"].object


def test_the_text_encoder_that_fits(tmp_path):
    """Sizes tell which of two is meant; where they do not, the file has to."""
    first, second = pair(f"lora_te1_{TE}"), pair(f"lora_te2_{TE}", (8, 9))
    save_file(first | second, tmp_path / "a.safetensors")
    save_file(first | pair(f"lora_te2_{TE}", seed=1), tmp_path / "b.safetensors")
    files = [f"file:{n}.safetensors#{p}" for n in "ab" for p in ("text_encoder", "te2")]
    found = [build(tmp_path, text=[f])["text"] for f in files]
    ups = [found[i].object.get_submodule("parts.block0.attn.q").lora.up for i in (0, 2, 3)]
    assert torch.equal(ups[0], ups[1]) and not torch.equal(ups[0], ups[2])
    with pytest.raises(RunError, match="E631"):
        _ = found[1].object
    with pytest.raises(RunError, match=r"E632.*text_encoder_2 too, and only text takes of it"):
        build(tmp_path, text=["file:b.safetensors"])


def test_identity_has_files_and_scales_and_the_fingerprint_has_files(tmp_path):
    for name, seed in (("a", 0), ("b", 1)):
        save_file(pair(FLAT, seed=seed), tmp_path / f"{name}.safetensors")
    none, one, other, less, merged = (
        build(tmp_path, *loras)["unet"]
        for loras in (
            (), ["file:a.safetensors"], ["file:b.safetensors"], [Lora("file:a.safetensors", 0.5)],
            [Lora("file:a.safetensors", merge=True)],
        )
    )  # fmt: skip
    assert len({b.identity for b in (none, one, other, less, merged)}) == 5
    assert len({b.fingerprint for b in (none, one, other)}) == 3 and one.fingerprint == less.fingerprint
    one.rescale(less.node)
    assert one.identity == less.identity


def test_a_rank_reads_what_it_has(tmp_path):
    other = "lora_unet_up_blocks_1_attentions_0_transformer_blocks_0_attn1_to_q"
    save_file(GOOD | pair(other), tmp_path / "a.safetensors")
    built = build(tmp_path, "file:a.safetensors")["unet"]
    built.parts = frozenset(("embed", "down0_0"))
    assert built.object.get_submodule(WEIGHT).lora.is_on and len(built.object.parts) == 2
