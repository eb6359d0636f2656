"""Players that learn in turn: each moves its own weights, by its own optimiser, when it is its turn."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from mmm_graph.errors import Cancelled, InputError
from mmm_graph.train.balance import TINY, balanced, part_weights
from mmm_graph.train.data import Sources
from mmm_graph.train.options import TrainOptions
from mmm_graph.train.player import Term
from mmm_graph.train.ranks import ALONE
from mmm_graph.train.stage import make_stage
from mmm_graph.train.trainer import train
from mmm_vae.config import VaeConfig
from mmm_vae.model import AutoencoderKL
from tests.train.toys import GRAPH, REGISTRY, toy_spec

ALONE_KEYS = GRAPH[GRAPH.index("      loss:  {") : GRAPH.index("      ema:")]
PLAYERS = GRAPH.replace(
    ALONE_KEYS,
    """\
      updates:
        fit:
          loss: {mse: mse}
          train: {body: full}
          optim: {op: optim.adamw, config: {lr: 0.01}}
        size:
          loss: {size: {from: size, weight: 0.5}}
          train: {head: full}
          optim: {op: optim.adamw, config: {lr: 0.02}, clip: 0.1}
          after: 2
          every: 2
""",
).replace("      ema:   0.9\n", "")


def weights(out: Path) -> dict[str, Tensor]:
    return {f"{m}.{k}": t for m in ("body", "head") for k, t in load_file(out / f"{m}.safetensors").items()}


def run(
    out: Path, steps: int, text: str = PLAYERS, *, stop: int = 0, resume: bool = False
) -> dict[str, Tensor]:
    spec = toy_spec(Path(), text=text, sets={"train.stages.fit.steps": str(steps)})
    asked = iter(range(1, 1000))
    options = TrainOptions(log_every=1, resume=resume)
    train(spec, REGISTRY, out, options=options, cancel=lambda: next(asked) == stop)
    return weights(out)


def test_each_player_moves_its_own_weights_in_its_own_steps(tmp_path: Path) -> None:
    made = [run(tmp_path / str(n), n) for n in (1, 2, 3, 4, 5)]
    moved = [[any(not a[k].equal(b[k]) for k in a if k.startswith(m)) for m in ("body", "head")]
             for a, b in itertools.pairwise(made)]  # fmt: skip
    # Steps 1 to 4 of 0, 1, 2 ...: the head learns in step 2 and 4. The loss of the body goes through the head.
    assert moved == [[True, False], [True, True], [True, False], [True, True]]
    rows = (tmp_path / "5" / "metrics.csv").read_text().splitlines()
    assert "loss.fit.mse,loss.size.size" in rows[0]


def test_a_player_that_plays_alone_trains_as_a_stage_of_its_own(tmp_path: Path) -> None:
    own = PLAYERS[: PLAYERS.index("        size:\n          loss")] + PLAYERS[PLAYERS.index("      steps:") :]
    keys = "      loss: {mse: mse}\n      train: {body: full}\n      optim: {op: optim.adamw, config: {lr: 0.01}}\n"
    alone = GRAPH.replace(ALONE_KEYS, keys).replace("      ema:   0.9\n", "")
    made = []
    for name, text in (("one", own), ("two", alone)):
        spec = toy_spec(Path(), text=text, sets={"train.stages.fit.steps": "4"})
        train(spec, REGISTRY, tmp_path / name, options=TrainOptions())
        made.append(load_file(tmp_path / name / "body.safetensors"))
    assert all(made[0][k].equal(made[1][k]) for k in made[1])


def test_going_on_changes_no_bit(tmp_path: Path) -> None:
    whole = run(tmp_path / "whole", 7)
    with pytest.raises(Cancelled):
        run(tmp_path / "parts", 7, stop=5)
    parts = run(tmp_path / "parts", 7, resume=True)
    assert all(whole[name].equal(parts[name]) for name in whole)


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        ("train: {head: full}", "train: {body: full}", r"E803.*body is trained by fit and by size"),
        (
            "op: optim.adamw, config: {lr: 0.02}",
            "op: optim.adamv",
            r"E811.*there is no optimiser 'optim.adamv'",
        ),
        (
            "loss: {mse: mse}",
            "loss: {mse: mse, more: {from: mse, balance: body.blok1}}",
            r"E811.*'body.blok1'",
        ),
        ("      steps: 6", "      shard: true\n      steps: 6", r"E862.*several players"),
        ("train: {head: full}", "train: {heat: full}", r"E811.*there is no model 'heat'"),
    ],
)
def test_mistakes(tmp_path: Path, old: str, new: str, match: str) -> None:
    assert old in PLAYERS
    with pytest.raises(InputError, match=match):
        spec = toy_spec(tmp_path, text=PLAYERS.replace(old, new))
        make_stage(spec, REGISTRY, "fit", Sources(spec, REGISTRY))


def test_a_balanced_term_pulls_as_hard_as_the_others() -> None:
    """Esser et al. 2021, eq. 7, by hand."""
    torch.manual_seed(0)
    model = nn.Module()
    model.parts = nn.ModuleDict({"last": nn.Linear(3, 2, bias=False), "other": nn.Linear(2, 3)})
    weight = model.parts["last"].weight
    x = torch.randn(5, 3)
    each = {"rec": (x @ weight.T).square().mean(), "gan": -(x @ weight.T).mean() * 7}
    terms = {"rec": Term(2.0), "gan": Term(0.5, balance=("m", "last"))}
    loss = balanced(each, {"rec": 2.0, "gan": 0.5}, terms, {"m": model}, ALONE)
    rec, gan = (torch.autograd.grad(term, weight, retain_graph=True)[0] for term in each.values())
    factor = 2 * rec.norm() / (gan.norm() + TINY)
    (found,) = torch.autograd.grad(loss, weight)
    torch.testing.assert_close(found, 2 * rec + 0.5 * factor * gan)


def test_of_the_last_layer_of_an_autoencoder_the_kernel_counts() -> None:
    """Its norm, too, is a part of dec_out."""
    config = {"image_channels": 1, "channels": (8, 8), "layers_per_block": 1, "groups": 4, "sample_size": 8}
    model = AutoencoderKL(VaeConfig.model_validate(config)).to(memory_format=torch.channels_last)
    kernel = model.parts["dec_out"].conv.weight
    assert [id(w) for w in part_weights(model, "dec_out")] == [id(kernel)]
    rec = model.decode(model.posterior(torch.rand(2, 1, 8, 8))["mean"])
    each = {"rec": rec.square().mean(), "gan": -rec.mean()}
    loss = balanced(
        each,
        {"rec": 1.0, "gan": 0.5},
        {"rec": Term(1.0), "gan": Term(0.5, balance=("m", "dec_out"))},
        {"m": model},
        ALONE,
    )
    rec_grad, gan_grad = (torch.autograd.grad(term, kernel, retain_graph=True)[0] for term in each.values())
    factor = rec_grad.norm() / (gan_grad.norm() + TINY)
    torch.testing.assert_close(loss, each["rec"] + 0.5 * factor * each["gan"])


def test_a_stage_with_a_balanced_term_trains(tmp_path: Path) -> None:
    text = GRAPH.replace(
        "size: {from: size, weight: 0.01}", "size: {from: size, weight: 0.5, balance: body.last}"
    )
    spec = toy_spec(Path(), text=text)
    assert train(spec, REGISTRY, tmp_path)["fit"].loss["loss"] > 0
