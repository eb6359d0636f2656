"""`mmm nodes list | describe`, in text that fits 80 columns and as JSON."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result
from pydantic import Field

from mmm_graph.cli.nodes import nodes_group
from mmm_graph.config import Config
from mmm_graph.errors import InputError
from mmm_graph.registry import composite_type, cond, method, model_type, op_type, registry_of


class Sizes(Config):
    width: int | None = Field(None, ge=1, description="width of the hidden layer [values]")
    factor: float


NODES = (
    model_type(
        "adaptor.toy",
        Sizes,
        "toy.model:Toy",
        methods={
            "forward": method(x="Embeds[b,l,$width]", returns={"y": "Embeds[b,l,d]"}, doc="One call."),
            "inverse": method(cond=cond(embeds="Embeds[b,t,d]"), returns={"x": "Embeds[b,l,d]"}, noise=True),
        },
        doc="A toy; it does nothing of use. " + "It is long. " * 20,
        source="nobody 2024",
    ),
    op_type(
        "loss.toy",
        "toy.ops:loss",
        pred="Latents",
        mask="Mask[b]?",
        returns={"loss": "Scalar[]"},
        doc="A loss.",
    ),
    composite_type("toy.twice", lambda c, u, i: {}, x="Latents", uses={"model": "denoiser"}),
)
APP = SimpleNamespace(registry=lambda: registry_of(*NODES))


def run(*args: str, obj: Any = APP) -> Result:
    done = CliRunner().invoke(nodes_group, args, obj=obj, catch_exceptions=False)
    assert done.exit_code == 0
    assert "--json" in args or max(map(len, done.output.splitlines())) <= 80
    return done


def test_list_gives_a_line_to_each_kind() -> None:
    assert [line.rstrip() for line in run("list").output.splitlines()] == [
        "adaptor.toy  inline     A toy",
        "loss.toy     inline     A loss",
        "toy.twice    inline",
    ]
    assert [r["kind"] for r in json.loads(run("list", "--json").output)] == [
        "adaptor.toy",
        "loss.toy",
        "toy.twice",
    ]


def test_list_by_role() -> None:
    assert [r["kind"] for r in json.loads(run("list", "--role", "loss", "--json").output)] == ["loss.toy"]
    with pytest.raises(InputError, match=r"no kind has the role 'los'\n.*did you mean loss"):
        run("list", "--role", "los")


def test_describe_a_model() -> None:
    text = run("describe", "adaptor.toy").output
    for part in (
        "adaptor.toy  model of plugin inline",
        "Source: nobody 2024",
        "method forward  (default)",
        "Embeds[b,l,$width]",
        "width of the hidden layer [values]; >= 1",
        "int | null = null",
        "float, required",
        "method inverse",
        "Cond{embeds: Embeds[b,t,d]}",
        "draws noise keyed by seed",
        "code: toy.model:Toy",
    ):
        assert part in text
    legend = " ".join(text.partition("axes: ")[2].split())
    assert legend == "b batch, t text tokens, l image or latent tokens, d model width, $x the config value x"


def test_describe_an_op_and_a_composite() -> None:
    assert "? may be absent" in run("describe", "loss.toy").output.replace("\n", " ")
    text = run("describe", "toy.twice").output
    assert "denoiser" in text
    assert "expands to other nodes when compiled" in text


def test_describe_as_json_round_trips() -> None:
    facts = json.loads(run("describe", "loss.toy", "--json").output)
    assert facts["inputs"] == {"pred": "Latents", "mask": "Mask[b]?"}


def test_an_unknown_kind_is_an_error_with_a_suggestion() -> None:
    with pytest.raises(InputError, match=r"did you mean loss\.toy"):
        run("describe", "loss.tyo")
