"""adaptor.linear and adaptor.mlp: LLaVA's projectors."""

import pytest
import torch
from safetensors.torch import load_file, save_file

from mmm_bridge.projector.config import LinearConfig, MlpConfig
from mmm_bridge.projector.foreign import read_llava
from mmm_bridge.projector.model import Projector
from mmm_bridge.projector.node import LINEAR, MLP
from mmm_bridge.projector.parts import TOKENS, projector_parts, projector_path
from mmm_graph.errors import InputError, RunError
from mmm_graph.testing import check_node
from tests.plugins.mmm_bridge.peers import close, llava, loaded, ours_of, put_back, run, saved

HUB = "multi_modal_projector"
CASES = [
    {},
    {"projector_hidden_act": "relu", "vision_feature_layer": [-2, -1]},
    {"projector_hidden_act": "gelu_pytorch_tanh", "multimodal_projector_bias": False},
    {"name": "LlavaNext", "image_grid_pinpoints": [[8, 16], [16, 8]]},
]


def features(width):
    return torch.randn(2, 7, width, generator=torch.Generator().manual_seed(1))


@pytest.mark.parity
@pytest.mark.parametrize("case", CASES)
def test_saved_by_transformers_and_back(tmp_path, case):
    import transformers

    theirs = llava(**case)
    file = saved(theirs, tmp_path)
    config = MlpConfig(**read_llava(theirs.config.to_dict()))
    ours = loaded(MLP, config, file, HUB)
    x = features(config.in_dim)
    with torch.no_grad():
        close(run(ours, features=x)["embeds"], theirs.model.multi_modal_projector(x))
        for weight in ours.parameters():
            weight.mul_(1.5)
    put_back(ours, MLP, config, file, f"{HUB}.")
    again = getattr(transformers, type(theirs).__name__).from_pretrained(tmp_path)
    with torch.no_grad():
        close(again.model.multi_modal_projector(x), run(ours, features=x)["embeds"])


@pytest.mark.parity
def test_every_layout_of_llava_gives_the_same(tmp_path):
    theirs = llava()
    config = MlpConfig(**read_llava(theirs.config.to_dict()))
    hub = load_file(saved(theirs, tmp_path))
    inner = {k: v for k, v in hub.items() if k.startswith(HUB)}
    memory = {f"model.{k}": v for k, v in inner.items()}
    numbers = {"linear_1": "0", "linear_2": "2"}
    original = {
        f"model.mm_projector.{numbers[k.split('.')[1]]}.{k.split('.')[2]}": v for k, v in inner.items()
    }
    for prefix, tensors in ((HUB, hub), (f"model.{HUB}", memory), ("model.mm_projector", original)):
        save_file(tensors, tmp_path / "some.safetensors")
        ours = loaded(MLP, config, tmp_path / "some.safetensors", prefix)
        want = {k: inner[f"{HUB}.{t}"] for k, t in NAMES.items()}
        assert all(torch.equal(v, want[k]) for k, v in ours_of(ours).items())
    with pytest.raises(RunError, match=r"E610.*4 missing.*layer0.proj.bias"):
        loaded(MLP, config, tmp_path / "some.safetensors", HUB)


NAMES = {f"layer{i}.proj.{end}": f"linear_{i + 1}.{end}" for i in range(2) for end in ("weight", "bias")}


def test_one_layer_of_llava_and_of_blip2(tmp_path):
    tensors = {"weight": torch.randn(6, 4), "bias": torch.randn(6)}
    config = LinearConfig(in_dim=4, out_dim=6)
    for prefix in ("model.mm_projector", "language_projection"):
        save_file({f"{prefix}.{k}": v for k, v in tensors.items()}, tmp_path / "a.safetensors")
        ours = loaded(LINEAR, config, tmp_path / "a.safetensors", prefix)
        x = features(4)
        want = torch.nn.functional.linear(x, tensors["weight"], tensors["bias"])
        assert torch.equal(run(ours, features=x)["embeds"], want)


def test_deep_projectors_of_llava_count_activations_too(tmp_path):
    config = MlpConfig(in_dim=4, out_dim=6, depth=3)
    ours = Projector(config)
    save_file({f"{2 * int(k[5])}.{k[12:]}": v for k, v in ours_of(ours).items()}, tmp_path / "a.safetensors")
    again = loaded(MLP, config, tmp_path / "a.safetensors")
    x = features(4)
    assert torch.equal(run(again, features=x)["embeds"], run(ours, features=x)["embeds"])


CLIP_L_336 = {
    **{"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16},
    **{"image_size": 336, "patch_size": 14, "projection_dim": 768},
}
"""As llava-hf/llava-1.5-7b-hf and llava-hf/llava-v1.6-vicuna-7b-hf have it."""


@pytest.mark.parity
@pytest.mark.parametrize("name", ["Llava", "LlavaNext"])
def test_full_size_is_that_of_llava_7b(name):
    import importlib

    import transformers

    theirs = getattr(transformers, f"{name}Config")(
        vision_config=transformers.CLIPVisionConfig(**CLIP_L_336),
        text_config=transformers.LlamaConfig(hidden_size=4096),
    )
    folder = {"Llava": "llava", "LlavaNext": "llava_next"}[name]
    family = importlib.import_module(f"transformers.models.{folder}.modeling_{folder}")
    config = MlpConfig(**read_llava(theirs.to_dict()))
    with torch.device("meta"):
        want = getattr(family, f"{name}MultiModalProjector")(theirs).state_dict()
        mine = ours_of(Projector(config))
    where = MLP.layouts[0].theirs(mine, config)
    assert {where[k].names[0]: v.shape for k, v in mine.items()} == {k: v.shape for k, v in want.items()}
    assert sum(part.params for part in projector_parts(config)) == 20_979_712


@pytest.mark.parametrize(
    "config",
    [LinearConfig(in_dim=8, out_dim=12), MlpConfig(in_dim=8, out_dim=12, depth=3, bias=False)],
)
def test_table_is_true_of_the_module(check_parts, config):
    with torch.device("meta"):
        given = {"features": torch.zeros(1, TOKENS, 8)}
        state = check_parts(projector_parts(config), Projector(config), given, projector_path(config, None))
    assert state["embeds"].shape == (1, TOKENS, 12)


def test_the_nodes_keep_their_promises():
    check_node(LINEAR, config={"in_dim": 8, "out_dim": 12})
    check_node(MLP, config={"in_dim": 8, "out_dim": 12, "depth": 3, "activation": "silu"})


def test_what_is_not_known_or_not_computed_is_refused():
    with pytest.raises(InputError, match=r"E208.*out_dim is not known"):
        Projector(MlpConfig(in_dim=4))
    with pytest.raises(
        ValueError, match="projector_hidden_act: 'mish' is not supported; expected one of gelu"
    ):
        read_llava({"projector_hidden_act": "mish"})
    assert read_llava({}) == {"in_dim": None, "out_dim": None, "activation": "gelu", "bias": True}
