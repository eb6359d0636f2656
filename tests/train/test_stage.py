"""What a stage resolves to, and everything that is refused before a step is made."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmm_graph.errors import InputError, MmmError
from mmm_graph.train.data import Sources
from mmm_graph.train.stage import Stage, make_stage
from tests.train.toys import GRAPH, REGISTRY, toy_spec


def stage(path: Path, text: str = GRAPH, **sets: str) -> Stage:
    spec = toy_spec(path, text=text, sets={f"train.stages.fit.{k}": v for k, v in sets.items()})
    return make_stage(spec, REGISTRY, "fit", Sources(spec, REGISTRY))


def replaced(old: str, new: str) -> str:
    assert old in GRAPH
    return GRAPH.replace(old, new)


def test_resolves_what_the_file_says(tmp_path: Path) -> None:
    made = stage(tmp_path)
    assert made.trained == {"body": None, "head": None}
    assert {name: term.weight for name, term in made.terms.items()} == {"mse": 1.0, "size": 0.01}
    only = made.players[0]
    assert (made.steps, made.batch, made.accumulate, only.warmup, only.clip) == (6, 4, 1, 2, 1.0)
    assert (made.precision, made.ema, made.evals, made.save_every) == ("f32", 0.9, (), None)
    assert only.optim.kind == "optim.adamw" and only.config.model_dump()["lr"] == 0.01


def test_names_may_be_params(tmp_path: Path) -> None:
    text = replaced(
        "params: {", "params: {how: {type: str, default: bf16}, fall: {type: str, default: linear}, "
    )
    text = text.replace("schedule: cosine", "schedule: $params.fall").replace(
        "steps: 6", "steps: 6\n      precision: $params.how"
    )
    made = stage(tmp_path, text)
    assert (made.precision, made.players[0].schedule) == ("bf16", "linear")


def test_epochs_become_steps(tmp_path: Path) -> None:
    """Ten samples, four to a step."""
    for epochs, accumulate, steps in (("1", "1", 3), ("2", "1", 5), ("2", "2", 3), ("0.1", "1", 1)):
        text = replaced("      steps: 6\n", f"      epochs: {epochs}\n")
        assert stage(tmp_path, text, accumulate=accumulate).steps == steps


def test_parts_are_chosen_by_pattern(tmp_path: Path) -> None:
    text = replaced("body: full", "body: {parts: ['block*', stem]}")
    assert stage(tmp_path, text).trained["body"] == ("stem", "block0", "block1")


def test_a_group_takes_only_what_it_names(tmp_path: Path) -> None:
    text = replaced("schedule: cosine", "groups: {head: {lr: 0.5}}, schedule: cosine")
    assert stage(tmp_path, text).players[0].groups == {"head": {"lr": 0.5}}


REFUSED = [
    ("body: full", "bodi: full", "E811", "no model 'bodi'\n    hint: did you mean body?"),
    ("body: full", "body: {parts: ['blok*']}", "E811", "body has no part 'blok*'"),
    ("body: full", "body: {lora: {rank: 4}}", "E819", "body: it has no attention; name `targets:` of linear"),
    ("body: full", "body: [{rows: [1]}]", "E819", "body: it has no embedding, and `rows:` are of the one"),
    ("optim.adamw", "optim.adamv", "E811", "no optimiser 'optim.adamv'"),
    ("schedule: cosine", "schedule: cosin", "E811", "no schedule 'cosin'\n    hint: did you mean cosine"),
    ("lr: $params.lr", "lr: -1", "E210", "optim.config.lr"),
    ("lr: $params.lr", "rate: 1", "E210", "there is no such setting"),
    ("schedule: cosine", "groups: {tail: {lr: 1}}", "E811", "no trained model 'tail'"),
    ("schedule: cosine", "groups: {head: {speed: 1}}", "E210", "there is no such setting"),
    ("schedule: cosine", "groups: {body.lora: {lr: 1}}", "E811", "nothing that is trained is 'body.lora'"),
    ("      steps: 6\n", "", "E810", "does not say how long to train"),
    ("steps: 6", "steps: 6\n      precision: f16", "E810", "it cannot train in f16"),
    ("steps: 6", "steps: 6\n      eval: fitt", "E811", "no evaluation 'fitt'"),
    ("steps: 6", "steps: 6\n      init_from: first", "E811", "no stage 'first'"),
    ("steps: 6", "steps: 6\n      cache: true", "E817", "no frozen model makes rows of one size"),
    ("train: {body: full, head: full}", "train: {}", "E810", "`train:` is missing"),
    ("data: {op: data.line, config: {batch: 4}}\n      nodes:\n        x:", "nodes:\n        x:", "E", ""),
    (
        "{call: body, in: {x: x}}",
        "{call: body.short, in: {x: x}}",
        "E812",
        "no loss reaches body parts block0, block1",
    ),
    (
        "loss:  {mse: mse, size: {from: size, weight: 0.01}}",
        "loss: {mse: {from: mse, balance: body.last}}",
        "E810",
        "nothing that it could be balanced against",
    ),
]


@pytest.mark.parametrize(
    ("old", "new", "code", "words"), REFUSED, ids=[f"{c}-{n[:24]}" for _, n, c, _ in REFUSED]
)
def test_refuses_before_anything_is_built(tmp_path: Path, old: str, new: str, code: str, words: str) -> None:
    head, _, tail = GRAPH.partition("train:")
    assert old in tail
    with pytest.raises(MmmError) as error:
        stage(tmp_path, head + "train:" + tail.replace(old, new))
    assert words in str(error.value)
    assert code in str(error.value)
    assert all(p.place is not None and p.place.line > 0 for p in error.value.problems)


def test_a_model_with_loras_is_not_trained(tmp_path: Path) -> None:
    body = next(line for line in GRAPH.splitlines() if line.strip().startswith("body:"))
    text = GRAPH.replace(body, body.replace("init: default", 'init: default, attach: [{lora: "file:a"}]'))
    with pytest.raises(MmmError, match=r"E814.*body has a LoRA that runs beside the weights"):
        stage(tmp_path, text)


def test_a_quantized_model_is_not_trained(tmp_path: Path) -> None:
    body = next(line for line in GRAPH.splitlines() if line.strip().startswith("body:"))
    text = GRAPH.replace(body, body.replace("init: default", "init: default, quantize: int8"))
    with pytest.raises(MmmError, match=r"E814.*the weights of body are quantized"):
        stage(tmp_path, text)


def test_unreached_model_is_refused(tmp_path: Path) -> None:
    text = replaced("models:\n", "models:\n  idle: {kind: projector.head, init: default}\n")
    text = text.replace("train: {body: full, head: full}", "train: {body: full, head: full, idle: full}")
    with pytest.raises(InputError, match=r"E812.*no loss reaches idle"):
        stage(tmp_path, text)


def test_sharding_needs_nodes_that_all_ranks_run(tmp_path: Path) -> None:
    assert stage(tmp_path, shard="true").shard
    old = "x:    {op: toy.jitter, in: {x: $data.x}}"
    text = replaced(old, f"on: {{op: toy.positive, in: {{x: $data.x}}}}\n        {old}")
    text = text.replace(
        "size: {op: loss.size, in: {pred: p}}", "size: {op: loss.size, in: {pred: p}, when: on}"
    )
    with pytest.raises(InputError, match=r"E862.*nodes that some ranks may skip"):
        stage(tmp_path, text, shard="true")


def test_all_mistakes_are_reported_at_once(tmp_path: Path) -> None:
    text = replaced("body: full", "bodi: full").replace("schedule: cosine", "schedule: cosin")
    with pytest.raises(InputError) as error:
        stage(tmp_path, text)
    assert len(error.value.problems) == 2
