"""What must hold where the published code of NExT-GPT fails; the numbers are those of its defects."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file

from mmm_generate.config import GenerateConfig
from mmm_graph.api.session import Session
from mmm_graph.errors import InputError, RunError
from mmm_graph.graph.compile import compile_graph
from mmm_graph.registry import Registry, resolve
from mmm_graph.spec import load_spec
from mmm_graph.train.options import TrainOptions
from mmm_graph.train.trainer import train
from mmm_losses.diffusion.config import DiffusionLossConfig
from mmm_losses.diffusion.ops import diffusion
from mmm_losses.distance.config import AlignConfig
from mmm_losses.distance.ops import align
from mmm_signal.runs.config import FindConfig
from mmm_signal.runs.ops import find
from mmm_text.chat_config import ChatConfig
from mmm_text.config import TokenizerConfig
from mmm_text.tokenizer import HfTokenizer
from tests.plugins.mmm_signal.asks import PATCHES, TOKENS, chat_of, registry, spec_of
from tests.plugins.mmm_text.chat_cases import LLAMA2, save


@pytest.fixture(scope="module")
def known() -> Registry:
    return registry()


@pytest.fixture(scope="module")
def trained(known: Registry, tmp_path_factory: Any) -> tuple[Path, list[dict[str, float]]]:
    """The folder of a short decoding-side alignment, and what was logged of each step."""
    base = tmp_path_factory.mktemp("asks")
    events: list[Any] = []
    train(spec_of(base), known, base / "out", options=TrainOptions(log_every=1), on_event=events.append)
    return base, [e.data for e in events if e.kind == "step"]


def test_1_nothing_stands_between_the_tokens_of_a_signal(tmp_path: Path) -> None:
    """With the tokenizer of Llama 2, which puts spaces before words."""
    save(tmp_path, "pieces", LLAMA2)
    tokenizer = HfTokenizer(TokenizerConfig(signals="default"), tmp_path)
    written = " ".join(f"<image_{i:02}>" for i in range(4))
    assert tokenizer.encode([written])["ids"].shape[1] > 5  # by strings there would be
    said = [{"type": "text", "text": "Hello"}, *({"type": "signal", "signal": k} for k in tokenizer.signals)]
    chat = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": [*said, said[0]]}]
    labels = tokenizer.chat([chat], ChatConfig(generate=False))["labels"]
    for kind, run in tokenizer.signals.items():
        found = find(labels, FindConfig(kind=kind), tokenizer)
        assert labels[0, found["places"][0]].tolist() == list(run) and len(run) == {
            "image": 4,
            "video": 24,
        }.get(kind, 8)
        assert found["places"].diff().tolist() == [[1] * (len(run) - 1)] and found["report"] == [""]


def test_2_states_are_read_where_signals_stand_after_media_were_put_in(
    known: Registry, trained: tuple[Path, Any]
) -> None:
    session = Session(trained[0] / "asks.yaml", registry=known)
    asked = (
        "sig.rows",
        "sig.places",
        "states.features",
        "lm.hidden",
        "ctx/ctx.embeds",
        "ctx/ctx.labels",
        "ctx/enc.labels",
    )
    chats = [chat_of(2), chat_of(0), chat_of(1)]
    rows, places, features, hidden, embeds, after, before = (
        session.run(outputs=asked, chat=chats)[name] for name in asked
    )
    run = session.module("tok").signals["image"]
    assert rows.tolist() == [1, 2] and after.shape[1] > before.shape[1]
    assert [after[r, p].tolist() for r, p in zip(rows, places, strict=True)] == [list(run)] * 2
    old = find(before, FindConfig(), session.module("tok"))["places"]
    assert (places - old).tolist() == [[PATCHES - 1] * TOKENS, [0] * TOKENS]  # a picture before one of them
    torch.testing.assert_close(features, (hidden + embeds)[rows[:, None], places])


NOISED = """
mmm: 1
name: gen
inputs: {x: "Latents[b,4,2,2]", pred: "Latents[b,4,2,2]"}
models: {s: {kind: scheduler.scaled_linear, config: {prediction: %s}}}
nodes:
  noised: {call: s.add_noise, in: {x: $in.x}}
  loss: {op: loss.diffusion, config: {prediction: %s}, in: {pred: $in.pred, target: noised.target}}
outputs: {loss: loss, noisy: noised.x, t: noised.t, snr: noised.snr, target: noised.target}
"""


def test_3_the_target_of_the_diffusion_loss_is_what_the_scheduler_says(
    known: Registry, tmp_path: Path
) -> None:
    """Of a v model it is no epsilon, and a loss that is told otherwise is refused before anything runs."""
    x = torch.randn(3, 4, 2, 2, generator=torch.Generator().manual_seed(0))
    made = {}
    for prediction in ("epsilon", "v"):
        (tmp_path / f"{prediction}.yaml").write_text(NOISED % (prediction, prediction))
        session = Session(tmp_path / f"{prediction}.yaml", registry=known)
        made[prediction] = session.run(x=x, pred=torch.zeros_like(x))
    eps, v = made["epsilon"]["target"], made["v"]["target"]
    alpha = (made["v"]["snr"] / (1 + made["v"]["snr"])).sqrt().view(-1, 1, 1, 1)
    torch.testing.assert_close(made["v"]["noisy"], alpha * x + (1 - alpha**2).sqrt() * eps)
    torch.testing.assert_close(v, alpha * eps - (1 - alpha**2).sqrt() * x)
    torch.testing.assert_close(made["v"]["loss"], v.square().mean())
    with pytest.raises(InputError, match=r"E212.*the scheduler's target is v.*told epsilon.*must agree"):
        compile_graph(load_spec(NOISED % ("v", "epsilon")), known)


def test_4_min_snr_weighs_each_sample_by_itself() -> None:
    error = torch.tensor([1.0, 10.0]).view(2, 1, 1, 1).expand(2, 4, 3, 3)
    snr = torch.tensor([1.0, 100.0])
    config = DiffusionLossConfig(weighting="min_snr", prediction="epsilon", gamma=5.0)
    found = diffusion(error, torch.zeros_like(error), config, snr)
    assert float(found) == pytest.approx((1.0 * 1 + 0.05 * 100) / 2)  # not mean(w) mean(e^2), which is 26.5


def test_5_a_distance_of_zero_has_a_gradient_and_terms_are_logged_by_themselves(
    trained: tuple[Path, Any],
) -> None:
    goal = torch.randn(2, 5, 4, generator=torch.Generator().manual_seed(0))
    pred = torch.cat([goal[:1], goal[1:] + 1.0]).requires_grad_()
    align(pred, goal, AlignConfig(distance="l2")).backward()
    assert bool(pred.grad.isfinite().all()) and not bool(pred.grad[0].any()) and bool(pred.grad[1].all())
    for step in trained[1]:
        terms = step["loss.lm"], step["loss.align"]
        assert step["loss"] == pytest.approx(sum(terms), rel=1e-6) and min(terms) > 0.1


@pytest.mark.parametrize("kind", ["projector.signal", "projector.qformer"])
def test_6_outputs_of_queries_differ_from_the_start(known: Registry, kind: str) -> None:
    node = known.models[kind]
    sizes = {"width": 32, "hidden": 64, "num_heads": 4, "in_dim": 24, "out_dim": 16}
    torch.manual_seed(0)
    model = resolve(node.builder)(node.config(**sizes)).eval()
    with torch.no_grad():
        out = model({"features": torch.randn(2, TOKENS, 24)})["embeds"]
    assert out.shape == (2, 77, 16)
    apart = torch.cdist(out, out) + 1e9 * torch.eye(77)
    assert float(apart.min()) > 0.1 * float(out.norm(dim=-1).mean())


GROUPED = """
mmm: 1
name: grouped
inputs: {%s}
models:
  eye: {kind: encoder.vit, init: default, config: {size: 8, patch: 2, width: 12, depth: 1, num_heads: 2, hidden: 16}}
  see:
    kind: adaptor.grouping
    init: default
    config: {groups: [8], depths: [1], width: 16, num_heads: 2, hidden: 32, out_dim: 16}
nodes:
%s  soft: {call: see, in: {features: %s}}
outputs: {soft: soft}
"""
STATES = "  states: {call: eye.hidden, in: {image: $in.image}, config: {select: patch}}\n"


def test_7_patches_reach_the_grouping_and_one_vector_does_not(known: Registry, tmp_path: Path) -> None:
    (tmp_path / "grouped.yaml").write_text(GROUPED % ('image: "Image[b,3,8,8]"', STATES, "states"))
    image = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    session = Session(tmp_path / "grouped.yaml", registry=known)
    found = session.run(outputs=("states", "soft"), image=image)
    assert found["states"].shape == (2, 16, 12) and found["soft"].shape == (2, 8, 16)
    for tokens in found["soft"]:
        apart = torch.cdist(tokens, tokens) + 1e9 * torch.eye(8)
        assert float(apart.min()) > 0.1 * float(tokens.norm(dim=-1).mean())
    moved = session.run(image=torch.cat([image[:, :, :, :6], 1 - image[:, :, :, 6:]], dim=-1))["soft"]
    assert not torch.allclose(moved, found["soft"], atol=1e-3), "of the patches at its edge, too"
    one = GROUPED % ('states: "Embeds[b,1,12]"', "", "$in.states")
    with pytest.raises(InputError, match=r"E212.*1 feature of an element cannot be put into 8 groups"):
        compile_graph(load_spec(one), known)
    (tmp_path / "one.yaml").write_text(one.replace("b,1,12", "b,l,12"))
    with pytest.raises(RunError, match=r"(?s)E788.*link the states of its patches"):
        Session(tmp_path / "one.yaml", registry=known).run(states=torch.zeros(2, 1, 12))


def test_8_only_the_rows_of_signals_and_the_projector_learn(
    known: Registry, trained: tuple[Path, Any]
) -> None:
    base = trained[0]
    session = Session(base / "asks.yaml", registry=known)
    before = {k.removeprefix("parts."): v for k, v in session.module("llm").state_dict().items()}
    after = load_file(base / "out" / "llm.safetensors")
    rows = {n for run in session.module("tok").signals.values() for n in run}
    changed = {k for k, v in after.items() if not torch.equal(v, before[k])}
    assert changed == {"embed.token.weight", "head.out.weight"}
    for name in changed:
        moved = torch.nonzero((after[name] != before[name]).any(1))[:, 0].tolist()
        assert set(moved) <= rows and len(moved) >= TOKENS
    assert sorted(p.stem for p in (base / "out").glob("*.safetensors")) == ["draw", "llm"]


def test_9_captions_need_no_files_of_embeddings(trained: tuple[Path, Any]) -> None:
    """The goal is made by the frozen text encoder inside the graph; and settings that make no sense are refused."""
    text = (trained[0] / "asks.yaml").read_text()
    assert "goal:   {call: clip" in text and ".npy" not in text
    assert trained[1][-1]["loss.align"] < trained[1][0]["loss.align"]
    with pytest.raises(ValidationError):
        GenerateConfig(top_p=10.0)
