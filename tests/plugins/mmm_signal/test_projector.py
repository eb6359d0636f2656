"""projector.signal: torch's own transformer between two linear layers, norms first."""

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from mmm_graph.registry import load_registry
from mmm_graph.testing import check_node
from mmm_signal.projector.config import SignalConfig
from mmm_signal.projector.model import SignalProjector
from mmm_signal.projector.node import SIGNAL
from mmm_signal.projector.parts import TOKENS, signal_parts, signal_path
from tests.plugins.mmm_bridge.peers import loaded

SMALL = {"in_dim": 12, "out_dim": 10, "num_queries": 5, "width": 8, "num_heads": 2, "hidden": 16}
SMALL |= {"encoder_depth": 2, "decoder_depth": 3}


class Published(nn.Module):
    """The layers of GILL's and NExT-GPT's projectors, under the names that their checkpoints have."""

    def __init__(self, c):
        super().__init__()
        self.fc = nn.Linear(c.in_dim, c.width)
        sizes = {"num_encoder_layers": c.encoder_depth, "num_decoder_layers": c.decoder_depth}
        more = {"dim_feedforward": c.hidden, "dropout": 0.0, "batch_first": True, "norm_first": True}
        self.tfm = nn.Transformer(c.width, c.num_heads, **sizes, **more)
        self.model = nn.Linear(c.width, c.out_dim)
        self.query_embs = nn.Parameter(torch.randn(1, c.num_queries, c.width))

    def forward(self, x):
        return self.model(self.tfm(self.fc(x), self.query_embs.expand(len(x), -1, -1)))


@pytest.mark.parity
@pytest.mark.filterwarnings("ignore:enable_nested_tensor")
def test_it_is_the_published_one(tmp_path):
    config = SignalConfig(**SMALL)
    theirs = Published(config).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in theirs.parameters():
            weight.add_(torch.randn(weight.shape, generator=generator) * 0.2)
    save_file({f"fcs.0.{k}": v for k, v in theirs.state_dict().items()}, tmp_path / "model.safetensors")
    ours = loaded(SIGNAL, config, tmp_path / "model.safetensors", "fcs.0")
    x = torch.randn(3, 4, 12, generator=generator)
    with torch.no_grad():
        torch.testing.assert_close(ours({"features": x})["embeds"], theirs(x), rtol=1e-5, atol=1e-6)


@pytest.mark.filterwarnings("ignore:enable_nested_tensor")
@pytest.mark.parametrize(
    ("out", "params"),
    [
        ({"out_dim": 768}, 31_958_784),  # Stable Diffusion 1.5
        ({"out_dim": 1024}, 32_090_112),  # Zeroscope
        ({"out_dim": 512, "num_queries": 1}, 31_788_544),  # AudioLDM
    ],
)
def test_full_sizes_are_those_of_next_gpt(out, params):
    config = SignalConfig(in_dim=4096, **out)
    with torch.device("meta"):
        ours, theirs = SignalProjector(config), Published(config)
    assert sum(part.params for part in signal_parts(config)) == params
    assert sum(p.numel() for p in ours.parameters()) == sum(p.numel() for p in theirs.parameters()) == params


def test_table_is_true_of_the_module(check_parts):
    config = SignalConfig(**SMALL)
    with torch.device("meta"):
        given = {"features": torch.zeros(1, TOKENS, 12)}
        state = check_parts(signal_parts(config), SignalProjector(config), given, signal_path(config, None))
    assert state["embeds"].shape == (1, 5, 10)


def test_the_nodes_keep_their_promises():
    check_node(SIGNAL, config=SMALL)
    models = load_registry(allow=["mmm-graph"]).models
    check_node(models["projector.linear"], config={"in_dim": 6, "out_dim": 8})
    sizes = {"in_dim": 6, "out_dim": 8, "num_queries": 3, "width": 8, "num_heads": 2, "hidden": 16}
    check_node(models["projector.qformer"], config=sizes)
    with pytest.raises(ValueError, match="width 9 does not divide into 2 heads"):
        SignalConfig(**{**SMALL, "width": 9})
