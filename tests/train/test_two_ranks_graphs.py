"""The graphs of graphs/digits train on two processes, whole or sharded, as they do on one; and go on to the bit.

Two processes sum in another order than one, so their gradients differ by rounding, about 1e-6 of their norm. Adam
divides each number of the gradient by its own size: where that is only rounding (a key's bias, to which attention is
blind, has no gradient at all) even its sign is, and the weight may go either way. So two runs of a recipe agree in
their losses, and in most weights (of the VLM after three stages all but one, by 1.5e-5); with an `eps` above the
rounding, in all. That nothing else is behind it is shown for the first step, whose differences are Adam's formula of
the two gradients.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from mmm_graph.train.checkpoint import Checkpoint, checkpoint_path, load_checkpoint
from mmm_graph.train.sharded import load_sharded, sharded_path
from tests.train.graph_ranks import Case, run, run_ranks

pytest.importorskip("sklearn")
pytestmark = pytest.mark.dist

CLOSE = 1e-5
EPS = 1e-5
"""Of Adam: above what rounding makes of a gradient whose norm is 1, and below what is learnt from."""
ALONE = "one"
SHARD = {"shard": "true"}
SMALL_LLM = {
    "models.llm.config": "{vocab_size: 96, max_length: 128, width: 32, depth: 2, num_heads: 2, hidden: 64, tied: true}"
}
SMALL_TOWERS = {
    "models.vision.config": "{size: 32, patch: 8, width: 32, depth: 2, num_heads: 2, hidden: 64, out_dim: 16}",
    "models.words.config": "{vocab_size: 96, max_length: 32, width: 32, depth: 1, num_heads: 2, hidden: 64, "
    "causal: false, pool: mean, projection: true, pooled_dim: 16}",
}
SMALL_NET = {
    "models.text.config": "{vocab_size: 32, max_length: 8, width: 16, depth: 1, num_heads: 2, hidden: 32, "
    "causal: false, pool: mean}",
    "models.unet.config": "{in_channels: 4, out_channels: 4, sample_size: 8, channels: [16, 16], layers_per_block: 1, "
    "attention: [none, cross], num_heads: 2, groups: 4, prediction: v}",
}


@dataclass(frozen=True)
class Recipe:
    """What is trained of a graph.

    Attributes:
        sets: of the file; `every`: keys of each stage.
    """

    graph: str
    stages: tuple[str, ...]
    sets: Mapping[str, str]
    steps: int = 20
    every: Mapping[str, str] = field(default_factory=dict)

    def case(self, name: str, **more: str) -> Case:
        """One training of it; `more` keys of each stage, dots as `__`."""
        keys = {"steps": str(self.steps), "save_every": "null", "eval": "null", **self.every}
        keys |= {key.replace("__", "."): value for key, value in more.items()}
        stages = {f"train.stages.{stage}.{key}": text for stage in self.stages for key, text in keys.items()}
        return Case(name, self.graph, self.stages, {**self.sets, **stages})


GRAPHS = {
    "clip": Recipe("clip.yaml", ("contrast",), {"batch": "8"}),
    "vae": Recipe("ldm.yaml", ("vae",), {"batch": "4"}),
    "ldm": Recipe("ldm.yaml", ("diffusion",), {"batch": "4"}),
    "vlm": Recipe("vlm.yaml", ("language", "align", "tune"), {"batch": "4"}),
    "together": Recipe("vlm.yaml", ("together",), {"batch": "4"}),
    "lora": Recipe("vlm.yaml", ("tune_lora",), {"batch": "4"}),
}


def few(stage: str) -> dict[str, str]:
    """A stage's data, which is drawn when it is opened."""
    return {f"train.stages.{stage}.data.config.length": "64"}


SMALL = {
    "clip": replace(GRAPHS["clip"], sets={"batch": "8", **SMALL_TOWERS, **few("contrast")}, steps=5),
    "together": replace(GRAPHS["together"], sets={"batch": "4", **SMALL_LLM, **few("align")}, steps=5),
    "ldm": replace(GRAPHS["ldm"], sets={"batch": "4", **SMALL_NET}, steps=5),
}


def weights(folder: Path) -> dict[str, Tensor]:
    return {
        f"{path.stem}/{name}": tensor
        for path in sorted(folder.glob("*.safetensors"))
        for name, tensor in load_file(path).items()
    }


def losses(folder: Path) -> Tensor:
    with (folder / "metrics.csv").open() as file:
        rows = [float(row["loss"]) for row in csv.DictReader(file) if row["loss"]]
    return torch.tensor(rows, dtype=torch.float64)


def same(a: Path, b: Path, tolerance: float = CLOSE) -> None:
    """All weights and all losses."""
    ours, theirs = weights(a), weights(b)
    assert ours and ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        torch.testing.assert_close(
            tensor, theirs[name], atol=tolerance, rtol=0, msg=lambda m, n=name: f"{n}: {m}"
        )
    same_curve(a, b, tolerance)


def same_curve(a: Path, b: Path, tolerance: float = CLOSE) -> None:
    torch.testing.assert_close(losses(a), losses(b), atol=tolerance, rtol=0)


def stopped(case: Case, step: int) -> list[Case]:
    """The same into another folder, in two parts."""
    again = replace(case, folder=f"{case.folder}_again")
    return [replace(again, stop=step), replace(again, resume=True)]


def point(folder: Path, stage: str) -> Checkpoint:
    path = checkpoint_path(folder, stage)
    shards = sharded_path(path)
    return load_checkpoint(path) if shards is None else load_sharded(shards)


def test_small_graphs(tmp_path: Path) -> None:
    """CLIP with negatives of both, a VLM whose tower is of an included file, and a diffusion model of frozen latents.

    The VLM is sharded with micro-batches and an evaluation on the way, for which the tied embedding must be whole.
    """
    eps = {"optim__config__eps": str(EPS)}
    more = {"accumulate": "2", "eval": "{names: [exact], every: 4}", **SHARD}
    sets = {"eval.exact.data.config.length": "4", "eval.exact.data.config.batch": "4"}
    vlm = replace(SMALL["together"], sets={**SMALL["together"].sets, **sets})
    trained = {
        "clip_ddp": SMALL["clip"].case("clip_ddp", **eps),
        "ldm_fsdp": SMALL["ldm"].case("ldm_fsdp", **eps, **SHARD),
        "together_fsdp": replace(vlm, sets={**vlm.sets, "batch": "2"}).case("together_fsdp", **more),
    }
    again = {"clip_ddp": 2, "ldm_fsdp": 3}
    parts = [part for name, step in again.items() for part in stopped(trained[name], step)]
    assert run_ranks(tmp_path, 2, [*trained.values(), *parts]) is None
    for name in again:
        same(tmp_path / name, tmp_path / f"{name}_again", tolerance=0.0)
    for name, recipe in SMALL.items():
        run(tmp_path, recipe.case(name, **({} if name == "together" else eps)))
    for name in trained:
        same(tmp_path / name, tmp_path / name.partition("_")[0])


@pytest.mark.slow
@pytest.mark.parametrize("name", list(GRAPHS))
def test_two_ranks_train_as_one(tmp_path: Path, name: str) -> None:
    """Twenty steps of each stage; and going on in the middle of it, which changes no bit."""
    recipe = GRAPHS[name]
    eps = (
        {} if name == "lora" else {"optim__config__eps": str(EPS)}
    )  # whose optimiser is that of another stage
    cases = [recipe.case("ddp", **eps), recipe.case("fsdp", **eps, **SHARD)]
    before = 20 * (len(recipe.stages) - 1)
    again = [part for case, step in zip(cases, (7, 13), strict=True) for part in stopped(case, before + step)]
    plain = [recipe.case("ddp_plain"), recipe.case("fsdp_plain", **SHARD)] if eps else []
    assert run_ranks(tmp_path, 2, [*cases, *again, *plain]) is None
    run(tmp_path, recipe.case(ALONE, **eps))
    for part in stopped(recipe.case(ALONE, **eps), before + 11):
        run(tmp_path, part)
    assert len(losses(tmp_path / ALONE)) == 20 * len(recipe.stages)
    for folder in ("ddp", "fsdp"):
        same(tmp_path / folder, tmp_path / ALONE)
    for folder in (ALONE, "ddp", "fsdp"):
        same(tmp_path / folder, tmp_path / f"{folder}_again", tolerance=0.0)
    if eps:
        run(tmp_path, recipe.case("one_plain"))
        for folder in ("ddp_plain", "fsdp_plain"):
            same_curve(tmp_path / folder, tmp_path / "one_plain")


@pytest.mark.slow
def test_another_number_of_ranks_goes_on(tmp_path: Path) -> None:
    """Sharded on four, then on two, then whole on one."""
    case = GRAPHS["clip"].case("all", optim__config__eps=str(EPS))
    sharded = GRAPHS["clip"].case("all", optim__config__eps=str(EPS), **SHARD)
    assert run_ranks(tmp_path, 4, [replace(sharded, stop=6)]) is None
    assert run_ranks(tmp_path, 2, [replace(sharded, stop=7, resume=True)]) is None
    run(tmp_path, replace(case, resume=True))
    run(tmp_path, replace(case, folder=ALONE))
    same(tmp_path / "all", tmp_path / ALONE)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["clip", "vae", "ldm"])
def test_what_differs_after_a_step_is_adams_answer_to_rounding(tmp_path: Path, name: str) -> None:
    """Gradients agree to 2e-6 of their norm; weights differ by what Adam's first step makes of that, and no more."""
    recipe = GRAPHS[name]
    stage = recipe.stages[0]
    one = replace(recipe.case(ALONE), stop=1)
    run(tmp_path, one)
    ranks = [replace(recipe.case("ddp"), stop=1), replace(recipe.case("fsdp", **SHARD), stop=1)]
    assert run_ranks(tmp_path, 2, ranks) is None
    alone = point(tmp_path / ALONE, stage)
    grads = first_gradients(alone)
    norm = torch.cat([grad.flatten() for grad in grads.values()]).norm()
    with (tmp_path / ALONE / "metrics.csv").open() as file:
        lr = float(next(csv.DictReader(file))["lr"])
    for folder in ("ddp", "fsdp"):
        other = point(tmp_path / folder, stage)
        moved = first_gradients(other)
        apart = torch.cat([(moved[weight] - grad).flatten() for weight, grad in grads.items()])
        assert apart.norm() < 2e-6 * norm
        for weight, grad in grads.items():
            said = lr * (adam(grad) - adam(moved[weight]))
            found = other.tensors[f"model/{weight}"] - alone.tensors[f"model/{weight}"]
            torch.testing.assert_close(found.double(), said, atol=3e-7, rtol=1e-4)


def first_gradients(point: Checkpoint) -> dict[str, Tensor]:
    """Of the only step so far, from Adam's mean of them."""
    return {
        name.removesuffix("/exp_avg"): tensor.double() / (1 - 0.9)
        for name, tensor in point.part("optim").items()
        if name.endswith("/exp_avg")
    }


def adam(grad: Tensor) -> Tensor:
    """Its first step, in units of the learning rate."""
    return grad / (grad.abs() + 1e-8)
