"""LoRA and rows of an embedding, from the file to what is written: only they learn, and everything resumes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

import mmm_graph as mmm
from mmm_graph.errors import Cancelled, InputError, MmmError, RunError
from mmm_graph.runtime.construct import skeleton
from mmm_graph.spec import load_spec
from mmm_graph.train.checkpoint import checkpoint_path, load_checkpoint
from mmm_graph.train.data import Sources
from mmm_graph.train.evaluate import evaluate
from mmm_graph.train.events import TrainEvent
from mmm_graph.train.numbers import count_trained
from mmm_graph.train.options import EvalOptions, TrainOptions
from mmm_graph.train.stage import Stage, make_stage
from mmm_graph.train.trainer import train
from tests.train.texts import GRAPH, REGISTRY, text_spec

LORA = "{lora: {rank: 2, alpha: 4, targets: [q, v]}}"
ROWS = '{rows: ["<img>", 3, "5:7"]}'
CHOSEN = [3, 5, 6, 10]
TIED = GRAPH.replace("hidden: 24}", "hidden: 24, tied: true}")
IDS = torch.tensor([[1, 10, 5, 3]])


def fit(out: Path, trained: str, text: str = GRAPH, stop: int | None = None, **sets: str) -> list[TrainEvent]:
    """Train; `stop`: cancel after so many steps."""
    events: list[TrainEvent] = []
    cancel = None if stop is None else lambda: sum(e.kind == "step" for e in events) >= stop
    options = TrainOptions(log_every=1, resume=(out / "checkpoints").exists())
    spec = text_spec(out, trained, text, **sets)
    train(spec, REGISTRY, out, options=options, on_event=events.append, cancel=cancel)
    return events


def files(out: Path) -> dict[str, dict[str, Tensor]]:
    return {path.name: load_file(path) for path in sorted(out.glob("*.safetensors"))}


def plan(out: Path, trained: str, text: str = GRAPH, **sets: str) -> Stage:
    spec = text_spec(out, trained, text, **sets)
    return make_stage(spec, REGISTRY, "fit", Sources(spec, REGISTRY))


def logits(out: Path) -> Tensor:
    found: Tensor = mmm.load(out / "graph.yaml", registry=REGISTRY).run(ids=IDS)["logits"]
    return found


def losses(events: list[TrainEvent]) -> list[float]:
    return [e.data["loss"] for e in events if e.kind == "step"]


def test_what_a_file_says(tmp_path: Path) -> None:
    learns = plan(tmp_path, f"[{LORA}, {ROWS}]").learns["llm"]
    assert learns.parts == () and not learns.is_whole and learns.whats == ("lora", "rows")
    assert learns.lora is not None
    assert learns.lora.layers == tuple(f"block{i}.attn.{p}" for p in "qv" for i in range(2))
    assert (learns.lora.rank, learns.lora.alpha, learns.lora.dropout) == (2, 4.0, 0.0)
    assert [(t.layers, t.rows) for t in learns.tables] == [(("embed.token", "head.out"), (3, 5, 6, 10))]
    whole = plan(tmp_path, "[{parts: [block1]}, {lora: {rank: 2}}]").learns["llm"]
    assert whole.parts == ("block1",) and whole.lora is not None and whole.is_whole
    assert whole.lora.layers == tuple(f"block0.attn.{p}" for p in ("q", "k", "v", "out")), (
        "its parts are left out"
    )
    assert whole.lora.alpha == 2.0


REFUSED = [
    ("{lora: {rank: 2, targets: [qq]}}", "E819", "is named 'qq'"),
    ("{lora: {rank: 2, targets: [gatee]}}", "E819", "did you mean gate"),
    ("[{lora: {rank: 2}}, {lora: {rank: 3}}]", "E853", "several LoRAs"),
    ("[full, {lora: {rank: 2}}]", "E853", "as a whole, and by something else too"),
    (
        "[{parts: [embed]}, {rows: [1]}]",
        "E853",
        "rows of embed.token in llm, whose part is trained as a whole",
    ),
    ('[{parts: ["block*"]}, {lora: {rank: 2}}]', "E812", "lora target 'attention' of llm names only layers"),
    ("{rows: [12]}", "E819", "no row 12: the embedding has 12"),
    ('{rows: ["4:4"]}', "E819", "the rows 4:4 are none"),
    ('{rows: ["<imgg>"]}', "E819", "no token '<imgg>': none of words has it"),
    (
        "{rows: [signals]}",
        "E819",
        "no token 'signals': none of words has it; `signals` of a tokenizer adds some",
    ),
    ("{rows: [-1]}", "E", "rows"),
]


@pytest.mark.parametrize(("trained", "code", "words"), REFUSED, ids=[t for t, _, _ in REFUSED])
def test_refuses_before_anything_is_built(tmp_path: Path, trained: str, code: str, words: str) -> None:
    with pytest.raises(MmmError) as error:
        plan(tmp_path, trained)
    assert words in str(error.value) and code in str(error.value)
    assert all(p.place is not None and p.place.line > 0 for p in error.value.problems)


def test_parts_without_weights_need_no_loss(tmp_path: Path) -> None:
    """`last` only picks a token, and no call of the stage uses it."""
    assert plan(tmp_path, '{parts: ["block*", last]}').learns["llm"].parts == ("block0", "block1", "last")
    assert plan(tmp_path, '{parts: ["*"]}').learns["llm"].parts is None
    with pytest.raises(InputError, match=r"E813.*llm has no weights to train in last"):
        plan(tmp_path, "{parts: [last]}")
    with pytest.raises(InputError, match=r"E812.*no loss reaches llm parts embed\b"):
        text = GRAPH.replace(
            "e:  {call: llm.embed, in: {ids: $data.ids}}", "e:  {op: toy.embeds, in: {ids: $data.ids}}"
        )
        plan(tmp_path, "{parts: [embed, last, head]}", text)


def test_rows_are_of_what_a_loss_reaches(tmp_path: Path) -> None:
    text = GRAPH.replace(
        "e:  {call: llm.embed, in: {ids: $data.ids}}", "e:  {op: toy.embeds, in: {ids: $data.ids}}"
    )
    assert [table.layers for table in plan(tmp_path, ROWS, text).learns["llm"].tables] == [("head.out",)]


@pytest.mark.parametrize("text", [GRAPH, TIED], ids=["apart", "tied"])
def test_rows_learn_and_no_other_bit_moves(tmp_path: Path, text: str) -> None:
    """Twenty steps with decay of everything and a momentum."""
    events = fit(tmp_path, ROWS, text, steps="20", **{"optim.config.decay": "all", "optim.config.lr": "0.1"})
    fresh = mmm.load(text, registry=REGISTRY).module("llm").state_dict()
    after = files(tmp_path)["llm.safetensors"]
    others = [i for i in range(12) if i not in CHOSEN]
    moved = [n for n, t in after.items() if not torch.equal(t, fresh.get(n, fresh.get(f"parts.{n}")))]
    assert moved == (
        ["embed.token.weight"] if "tied: true" in text else ["embed.token.weight", "head.out.weight"]
    )
    for name in moved:
        old = fresh[f"parts.{name}"]
        assert torch.equal(after[name][others], old[others])
        assert (after[name][CHOSEN] != old[CHOSEN]).any(1).all()
    stage = plan(tmp_path, ROWS, text)
    node = stage.graph.models["llm"]
    counted = count_trained(skeleton(node, REGISTRY.models[node.kind]), stage.learns["llm"])
    assert sum(counted.parts.values()) == len(CHOSEN) * 16 * len(moved)
    assert losses(events)[-1] < losses(events)[0]
    assert list(files(tmp_path)) == ["llm.safetensors"]


def test_a_lora_learns_beside_weights_that_stay(tmp_path: Path) -> None:
    events = fit(tmp_path, LORA, steps="20")
    assert losses(events)[-1] < losses(events)[0] - 0.05
    found = files(tmp_path)
    names = {f"layers.{i}.self_attn.{p}_proj.lora_{h}.weight" for i in range(2) for p in "qv" for h in "AB"}
    assert found["llm.lora.safetensors"].keys() == {f"base_model.model.model.{name}" for name in names}
    fresh = mmm.load(GRAPH, registry=REGISTRY)
    for name, tensor in found[
        "llm.safetensors"
    ].items():  # it began with random weights, which are nowhere else
        assert torch.equal(tensor, fresh.module("llm").state_dict()[f"parts.{name}"])
    assert (logits(tmp_path) - fresh.run(ids=IDS)["logits"]).abs().max() > 0.05


def test_weights_that_stay_in_their_file_are_not_written_again(tmp_path: Path) -> None:
    (base := tmp_path / "base").mkdir()
    fit(base, "full", steps="1")
    (out := tmp_path / "out").mkdir()
    text = GRAPH.replace("init: default", "weights: 'file:base/llm.safetensors'\n    dtype: bf16")
    spec = text_spec(tmp_path, f"[{LORA}]", text)
    train(spec, REGISTRY, out, options=TrainOptions(log_every=1))
    assert list(files(out)) == ["llm.lora.safetensors"]
    session = mmm.load(out / "graph.yaml", registry=REGISTRY)
    assert session.module("llm").get_submodule("parts.block0.attn.q").lora.is_on
    assert next(session.module("llm").parameters()).dtype is torch.bfloat16, "its dtype stays"
    assert session.run(ids=IDS)["logits"].isfinite().all()


def test_a_lora_beside_quantized_weights(tmp_path: Path) -> None:
    (base := tmp_path / "base").mkdir()
    big = GRAPH.replace("width: 16", "width: 32").replace("hidden: 24", "hidden: 32")
    fit(base, "full", big, steps="1")
    text = big.replace("init: default", "weights: 'file:base/llm.safetensors'\n    quantize: int4")
    (out := tmp_path / "out").mkdir()
    events: list[TrainEvent] = []
    options = TrainOptions(log_every=1)
    train(text_spec(tmp_path, LORA, text, steps="12"), REGISTRY, out, options=options, on_event=events.append)
    assert losses(events)[-1] < losses(events)[0]
    saved = load_checkpoint(checkpoint_path(out, "fit"))
    assert not any("codes" in name for name in saved.tensors), "packed weights are not in a checkpoint"
    kept = mmm.load(out / "graph.yaml", registry=REGISTRY)
    plain = mmm.load(text.replace("file:base", f"file:{base}"), registry=REGISTRY)
    assert (kept.run(ids=IDS)["logits"] - plain.run(ids=IDS)["logits"]).abs().max() > 0.01


BOTH = f"[{{parts: [norm]}}, {{lora: {{rank: 2, targets: ['*attn.q', gate], dropout: 0.2}}}}, {ROWS}]"


@pytest.mark.parametrize("more", [{}, {"ema": "0.9", "accumulate": "2"}], ids=["plain", "ema"])
def test_resume_is_bit_for_bit(tmp_path: Path, more: Mapping[str, str]) -> None:
    (once := tmp_path / "once").mkdir()
    (twice := tmp_path / "twice").mkdir()
    fit(once, BOTH, **more)
    with pytest.raises(Cancelled):
        fit(twice, BOTH, stop=3, **more)
    fit(twice, BOTH, **more)
    first, second = files(once), files(twice)
    assert first.keys() == second.keys() == {"llm.safetensors", "llm.lora.safetensors"}
    for name, tensors in first.items():
        assert all(torch.equal(tensor, second[name][key]) for key, tensor in tensors.items()), name
    one, two = (load_checkpoint(checkpoint_path(out, "fit")).tensors for out in (once, twice))
    assert one.keys() == two.keys() and all(torch.equal(tensor, two[key]) for key, tensor in one.items())


def test_dropout_does_not_depend_on_micro_batches(tmp_path: Path) -> None:
    """Samples are keyed by their place in the whole batch."""
    found = []
    for accumulate, batch in (("1", "4"), ("2", "2")):
        (out := tmp_path / accumulate).mkdir()
        text = GRAPH.replace("config: {batch: 4}", f"config: {{batch: {batch}, masked: 0.0}}")
        trained = "{lora: {rank: 2, targets: [q], dropout: 0.3}}"
        found.append(losses(fit(out, trained, text, accumulate=accumulate)))
    assert found[0] == pytest.approx(found[1], abs=1e-5)


SECOND = (
    GRAPH
    + """\
    second: {extends: fit, train: {llm: NEXT}, steps: 4}
"""
)


def stages(out: Path, after: str) -> list[TrainEvent]:
    events: list[TrainEvent] = []
    spec = text_spec(out, LORA, SECOND.replace("NEXT", after))
    train(spec, REGISTRY, out, options=TrainOptions(log_every=1), on_event=events.append)
    return [event for event in events if event.stage == "second" and event.kind == "step"]


def test_a_later_stage_goes_on_with_the_lora(tmp_path: Path) -> None:
    """Before its first step it is where the stage before ended."""
    fit(tmp_path, LORA)
    before = logits(tmp_path)
    with pytest.raises(Cancelled):
        spec = text_spec(
            tmp_path, LORA, SECOND.replace("NEXT", "{lora: {rank: 2, alpha: 8, targets: [q, v, k]}}")
        )
        options = TrainOptions(resume=True)
        train(spec, REGISTRY, tmp_path, options=options, cancel=lambda: True)
    point = load_checkpoint(checkpoint_path(tmp_path, "second")).part("model")
    old = load_checkpoint(checkpoint_path(tmp_path, "fit")).part("model")
    name = "llm/parts.block0.attn.q.beside"
    assert torch.equal(point[f"{name}.down"], old[f"{name}.down"])
    assert torch.allclose(point[f"{name}.up"] * 2, old[f"{name}.up"]), "alpha / r is twice as much"
    assert not point["llm/parts.block0.attn.k.beside.up"].any()
    assert torch.equal(logits(tmp_path), before)


def test_a_later_stage_with_another_rank_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"E854.*has a rank of 2, and the stage has not"):
        stages(tmp_path, "{lora: {rank: 3, targets: [q, v]}}")


@pytest.mark.parametrize("after", ["full", "{parts: [head]}", ROWS], ids=["full", "parts", "rows"])
def test_a_later_stage_of_other_weights_has_the_lora_in_them(tmp_path: Path, after: str) -> None:
    first = losses(fit(tmp_path, LORA))
    spec = text_spec(tmp_path, LORA, SECOND.replace("NEXT", after))
    events: list[TrainEvent] = []
    train(spec, REGISTRY, tmp_path, options=TrainOptions(log_every=1, resume=True), on_event=events.append)
    assert losses(events)[0] < first[0], "it goes on where the stage before ended"
    assert list(files(tmp_path)) == ["llm.safetensors"]
    with safe_open(tmp_path / "llm.safetensors", "pt") as file:
        assert "mmm.lora" in file.metadata()
    assert (
        not mmm.load_spec(tmp_path / "graph.yaml").models["llm"].attach if hasattr(mmm, "load_spec") else True
    )
    assert (
        "attach: []" in (tmp_path / "graph.yaml").read_text()
        or "lora:" not in (tmp_path / "graph.yaml").read_text().split("train:")[0]
    )


def test_weights_are_trained_with_a_lora_that_is_merged_into_them(tmp_path: Path) -> None:
    fit(tmp_path, LORA)
    text = (
        (tmp_path / "graph.yaml")
        .read_text()
        .replace("{lora: 'file:llm.lora.safetensors'}", "{lora: 'file:llm.lora.safetensors', merge: true}")
    )
    assert "merge: true" in text
    (out := tmp_path / "merged").mkdir()
    sets = {"train.stages.fit.train": "{llm: full}", "train.stages.fit.optim.config.lr": "1.0e-9"}
    sets |= {"models.llm.init": "null"}
    train(load_spec(text, base=tmp_path, sets=sets), REGISTRY, out, options=TrainOptions())
    assert list(files(out)) == ["llm.safetensors"] and not load_spec(out / "graph.yaml").models["llm"].attach
    assert torch.allclose(logits(out), logits(tmp_path), atol=1e-5)


def test_groups_of_a_lora_and_of_rows(tmp_path: Path) -> None:
    sets = {"optim.groups": "{llm: {lr: 0.01}, llm.lora: {lr: 0.02}, llm.rows: {lr: 0.03}}"}
    groups = plan(tmp_path, f"[{LORA}, {ROWS}]", **sets).players[0].groups
    assert groups == {"llm": {"lr": 0.01}, "llm.lora": {"lr": 0.02}, "llm.rows": {"lr": 0.03}}


def test_a_lora_is_not_written_over_the_one_that_is_attached(tmp_path: Path) -> None:
    fit(tmp_path, LORA)
    spec = load_spec(tmp_path / "graph.yaml")
    with pytest.raises(RunError, match=r"E854.*would be written over"):
        train(spec, REGISTRY, tmp_path, options=TrainOptions())
    (out := tmp_path / "other").mkdir()
    train(spec, REGISTRY, out, options=TrainOptions())
    text = (out / "graph.yaml").read_text()
    assert "../llm.lora.safetensors" in text and "file:llm.lora.safetensors" in text
    assert logits(out).isfinite().all()


def test_an_evaluation_of_the_folder_has_the_lora_once(tmp_path: Path) -> None:
    text = (
        GRAPH
        + """\
eval:
  same:
    data: {op: data.texts, config: {batch: 4}}
    nodes:
      e:  {call: llm.embed, in: {ids: $data.ids}}
      l:  {call: llm.logits, in: {embeds: e}}
      ce: {op: loss.next, in: {logits: l.logits, labels: $data.labels}}
    metrics: {ce: ce.loss}
"""
    )
    events = fit(tmp_path, LORA, text.replace("steps: 6", "steps: 6\n      eval: same"))
    ended = next(event.data for event in events if event.kind == "eval")
    own = evaluate(load_spec(tmp_path / "graph.yaml"), REGISTRY)
    laid = EvalOptions(weights=tmp_path)
    assert own["same.ce"] == pytest.approx(next(v for k, v in ended.items() if k.endswith("ce")), abs=1e-5)
    for spec in (text_spec(tmp_path, LORA, text), load_spec(tmp_path / "graph.yaml")):
        assert evaluate(spec, REGISTRY, options=laid)["same.ce"] == pytest.approx(own["same.ce"], abs=1e-6)


def test_weights_of_a_folder_are_not_laid_over_without_its_lora(tmp_path: Path) -> None:
    fit(tmp_path, LORA)
    with pytest.raises(
        MmmError, match=r"E855.*has a LoRA of llm, which weights from a folder are laid over without"
    ):
        mmm.load(GRAPH, registry=REGISTRY, weights=tmp_path).run(ids=IDS)
    again = mmm.load(tmp_path / "graph.yaml", registry=REGISTRY, weights=tmp_path)
    assert torch.equal(again.run(ids=IDS)["logits"], logits(tmp_path))


def test_a_lora_that_gets_no_gradient_is_found_before_the_first_update(tmp_path: Path) -> None:
    text = GRAPH.replace(
        "ce: {op: loss.next, in: {logits: l.logits,",
        "cut: {op: toy.cut, in: {logits: l.logits}}\n        ce: {op: loss.next, in: {logits: cut,",
    )
    with pytest.raises(
        RunError, match=r"E812.*the losses give no gradient to the lora of llm, the rows of llm"
    ):
        fit(tmp_path, f"[{LORA}, {ROWS}]", text)
