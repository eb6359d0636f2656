"""Where pairs of a LoRA belong in a model: fused tensors, kernels, names with underscores."""

from __future__ import annotations

import torch
from safetensors.torch import save_file

from mmm_graph.checkpoint.fit import OWN
from mmm_graph.checkpoint.lora import open_lora
from mmm_graph.checkpoint.lora_fit import fit_lora, read_lora
from mmm_graph.registry import Cut, Layout

OURS = {"q.weight": (4, 3), "k.weight": (4, 3), "v.weight": (4, 3), "v.bias": (4,), "conv.weight": (5, 3, 2, 2),
        "patch.weight": (4, 12), "table.weight": (7, 3)}  # fmt: skip
FUSED = Layout(
    "fused",
    {**{name: Cut("a.qkv_all", i, 3) for i, name in enumerate("qkv")}, "conv": "a.conv_in", "patch": "p"},
)
PLAIN = Layout("plain", {"q": "to_q", "table": "table", "conv": "conv_in"})
ABLE = frozenset(n for n in OURS if n.endswith("weight") and n != "table.weight")


def fitted(tmp_path, tensors, part="unet"):
    save_file(tensors, tmp_path / "a.safetensors")
    file = open_lora(tmp_path / "a.safetensors")
    return file, fit_lora(file, part, OURS, ABLE, (PLAIN, FUSED), None)


def pair(module, down, up, names=("lora_down", "lora_up")):
    generator = torch.Generator().manual_seed(len(module))
    return {
        f"{module}.{name}.weight": torch.randn(shape, generator=generator)
        for name, shape in zip(names, (down, up), strict=True)
    }


def test_pieces_of_a_fused_tensor_share_what_is_read(tmp_path):
    tensors = pair("lora_unet_a_qkv_all", (2, 3), (12, 2)) | pair(
        "lora_unet_a_conv_in", (2, 3, 2, 2), (5, 2, 1, 1)
    )
    tensors |= pair("lora_unet_p", (2, 3, 2, 2), (4, 2)) | {"lora_unet_p.alpha": torch.tensor(3)}
    file, fit = fitted(tmp_path, tensors)
    assert (fit.layout, fit.problems) == ("fused", 0)
    wanted = frozenset(("k.weight", "v.weight", "conv.weight", "patch.weight"))
    found = {a.weight: a for a in read_lora(file, fit, wanted, what="LoRA", place=None)}
    assert found.keys() == wanted
    down, up = (tensors[f"lora_unet_a_qkv_all.lora_{half}.weight"] for half in ("down", "up"))
    whole = up @ down
    for index, name in ((1, "k"), (2, "v")):
        assert torch.equal(
            found[f"{name}.weight"].up @ found[f"{name}.weight"].down, whole[4 * index : 4 * index + 4]
        )
    assert found["conv.weight"].up.shape == (5, 2) and found["patch.weight"].factor == 1.5


def test_the_layout_with_most_names(tmp_path):
    _, fit = fitted(tmp_path, pair("unet.to_q", (2, 3), (4, 2), ("lora_A", "lora_B")))
    assert (fit.layout, fit.problems) == ("plain", 0)
    _, fit = fitted(tmp_path, pair("q", (2, 3), (4, 2), ("lora_A", "lora_B")), "")
    assert (fit.layout, fit.problems) == (OWN, 0)


def test_all_that_does_not_fit_is_named(tmp_path):
    tensors = pair("lora_unet_to_q", (2, 3), (5, 2)) | pair("lora_unet_to_k", (2, 3), (4, 2))
    tensors |= pair("lora_unet_table", (2, 3), (7, 2)) | pair("lora_unet_conv_in", (2, 3, 1, 1), (5, 2, 1, 1))
    _, fit = fitted(tmp_path, tensors)
    assert fit.problems == 4 and fit.unknown == ("to_k",)
    text = fit.describe()
    assert "read as the layout plain" in text and "the model lacks 1 that it is for (to_k)" in text
    assert "to_q: down [2, 3] and up [5, 2] in the file, [4, 3] in the model" in text
    assert "table: is no linear layer" in text and "conv_in: down [2, 3, 1, 1]" in text
    _, fit = fitted(tmp_path, pair("lora_unet_to_q", (2, 3), (4, 3)))
    assert "are no pair of one rank" in fit.describe()


def test_names_that_are_one_with_underscores_mean_neither(tmp_path):
    layout = Layout("twice", {"q": "a.b_c", "k": "a_b.c"})
    save_file(pair("lora_unet_a_b_c", (2, 3), (4, 2)), tmp_path / "a.safetensors")
    file = open_lora(tmp_path / "a.safetensors")
    assert fit_lora(file, "unet", OURS, ABLE, (layout,), None).unknown == ("a_b_c",)
